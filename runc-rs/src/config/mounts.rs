//! Mount options of the spec as the kernel's attributes, and each mount as a plan.

use std::path::{Path, PathBuf};

use anyhow::bail;

use super::spec;

pub(crate) const RDONLY: u64 = 0x1;
const NOSUID: u64 = 0x2;
const NODEV: u64 = 0x4;
const NOEXEC: u64 = 0x8;
/// The atime field is one of several values, not bits: it is cleared before it is set.
pub(crate) const ATIME: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;
const NODIRATIME: u64 = 0x80;
const NOSYMFOLLOW: u64 = 0x20_0000;

/// `MOUNT_ATTR_*` bits to set and to clear.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) set: u64,
    pub(crate) clear: u64,
}

impl Attributes {
    fn add(&mut self, set: u64, clear: u64) {
        self.set = (self.set & !clear) | set;
        self.clear = (self.clear & !set) | clear;
    }

    pub(crate) fn is_empty(self) -> bool {
        self.set == 0 && self.clear == 0
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Bind {
        source: PathBuf,
        recursive: bool,
    },
    /// A cgroup tree: what is mounted depends on the machine and the namespaces.
    Cgroup {
        v2: bool,
    },
    Filesystem {
        fstype: String,
        source: String,
        data: Vec<String>,
    },
    /// Neither: changes the attributes or the propagation of what is there.
    Remount,
}

/// One mount of the spec, ready to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountPlan {
    pub(crate) destination: PathBuf,
    pub(crate) kind: Kind,
    pub(crate) attributes: Attributes,
    /// For the mounts below as well (`rro`, `rnosuid`, …).
    pub(crate) recursive: Attributes,
    /// `MS_SHARED`, … with or without `MS_REC`, in the order given.
    pub(crate) propagation: Vec<u64>,
    pub(crate) copy_up: bool,
    /// Of an idmapped mount.
    pub(crate) uid_map: Vec<spec::IdMapping>,
    pub(crate) gid_map: Vec<spec::IdMapping>,
    pub(crate) idmap_recursive: bool,
}

impl MountPlan {
    /// A relative bind source is below the bundle.
    pub(crate) fn from_spec(mount: &spec::Mount, bundle: &Path) -> anyhow::Result<Self> {
        let mut bind = None;
        let mut remount = false;
        let mut plan = Self {
            // The spec wants absolute ones; runc takes others as below the root, and images rely on it.
            destination: Path::new("/").join(&mount.destination),
            kind: Kind::Remount,
            attributes: Attributes::default(),
            recursive: Attributes::default(),
            propagation: Vec::new(),
            copy_up: false,
            uid_map: mount.uid_mappings.clone(),
            gid_map: mount.gid_mappings.clone(),
            idmap_recursive: false,
        };
        let mut data = Vec::new();
        for option in &mount.options {
            match option.as_str() {
                "bind" => bind = bind.or(Some(false)),
                "rbind" => bind = Some(true),
                "remount" => remount = true,
                "defaults" | "" | "loud" | "silent" | "idmap" => {}
                "ridmap" => plan.idmap_recursive = true,
                "tmpcopyup" => plan.copy_up = true,
                name => {
                    if let Some(flags) = propagation(name) {
                        plan.propagation.push(flags);
                    } else if let Some((set, clear)) = attribute(name) {
                        plan.attributes.add(set, clear);
                    } else if let Some((set, clear)) = name.strip_prefix('r').and_then(attribute) {
                        plan.recursive.add(set, clear);
                    } else {
                        data.push(name.to_owned());
                    }
                }
            }
        }
        plan.kind = match (mount.kind.as_str(), bind) {
            ("cgroup", None) => Kind::Cgroup { v2: false },
            ("cgroup2", None) => Kind::Cgroup { v2: true },
            ("bind", _) | (_, Some(_)) => {
                if mount.source.as_os_str().is_empty() {
                    bail!("mount {}: a bind mount needs a source", plan.destination.display());
                }
                let recursive = bind.unwrap_or(mount.kind == "bind");
                Kind::Bind { source: bundle.join(&mount.source), recursive }
            }
            ("", None) | ("none", None) if remount || !plan.propagation.is_empty() => Kind::Remount,
            ("", None) => bail!("mount {}: neither a type nor a bind", plan.destination.display()),
            (fstype, None) => Kind::Filesystem {
                fstype: fstype.to_owned(),
                source: mount.source.to_string_lossy().into_owned(),
                data,
            },
        };
        if plan.copy_up && !matches!(&plan.kind, Kind::Filesystem { fstype, .. } if fstype == "tmpfs") {
            bail!("mount {}: tmpcopyup needs a tmpfs", plan.destination.display());
        }
        Ok(plan)
    }
}

/// A propagation option, or `linux.rootfsPropagation`.
pub(crate) fn propagation(name: &str) -> Option<u64> {
    let (name, rec) = match name {
        "rprivate" | "rshared" | "rslave" | "runbindable" => (&name[1..], libc::MS_REC),
        _ => (name, 0),
    };
    let flag = match name {
        "private" => libc::MS_PRIVATE,
        "shared" => libc::MS_SHARED,
        "slave" => libc::MS_SLAVE,
        "unbindable" => libc::MS_UNBINDABLE,
        _ => return None,
    };
    Some(flag | rec)
}

fn attribute(name: &str) -> Option<(u64, u64)> {
    Some(match name {
        "ro" => (RDONLY, 0),
        "rw" => (0, RDONLY),
        "nosuid" => (NOSUID, 0),
        "suid" => (0, NOSUID),
        "nodev" => (NODEV, 0),
        "dev" => (0, NODEV),
        "noexec" => (NOEXEC, 0),
        "exec" => (0, NOEXEC),
        "noatime" => (NOATIME, ATIME & !NOATIME),
        "atime" | "relatime" => (0, ATIME),
        "strictatime" => (STRICTATIME, ATIME & !STRICTATIME),
        "norelatime" | "nostrictatime" => (0, ATIME),
        "nodiratime" => (NODIRATIME, 0),
        "diratime" => (0, NODIRATIME),
        "nosymfollow" => (NOSYMFOLLOW, 0),
        "symfollow" => (0, NOSYMFOLLOW),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(kind: &str, source: &str, options: &[&str]) -> anyhow::Result<MountPlan> {
        let options = options.iter().map(|o| o.to_string()).collect();
        let mount = spec::Mount {
            destination: "/x".into(),
            kind: kind.into(),
            source: source.into(),
            options,
            ..Default::default()
        };
        MountPlan::from_spec(&mount, Path::new("/bundle"))
    }

    #[test]
    fn later_options_win_over_earlier_ones() {
        let p = plan("tmpfs", "tmpfs", &["ro", "rw", "nosuid", "size=1m"]).unwrap();
        assert_eq!(p.attributes, Attributes { set: NOSUID, clear: RDONLY });
        assert!(matches!(p.kind, Kind::Filesystem { data, .. } if data == ["size=1m"]));
    }

    #[test]
    fn binds_take_relative_sources_from_the_bundle_and_recursive_options_apart() {
        let p = plan("none", "data", &["bind", "rro", "rslave"]).unwrap();
        assert_eq!(p.kind, Kind::Bind { source: "/bundle/data".into(), recursive: false });
        assert_eq!(p.recursive.set, RDONLY);
        assert_eq!(p.propagation, [libc::MS_SLAVE | libc::MS_REC]);
        assert!(plan("bind", "", &[]).is_err());
    }

    #[test]
    fn relatime_and_rw_are_words_not_recursive_forms() {
        let p = plan("bind", "/a", &["relatime", "rw"]).unwrap();
        assert!(p.recursive.is_empty());
    }
}
