//! Each mount of the spec as a plan.

use std::path::{Path, PathBuf};

use anyhow::bail;
use mounts::{Attributes, Flags, IdMap, Options};

use super::spec;

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
    pub(crate) propagation: Vec<Flags>,
    pub(crate) copy_up: bool,
    /// Of an idmapped mount.
    pub(crate) uid_map: Vec<spec::IdMapping>,
    pub(crate) gid_map: Vec<spec::IdMapping>,
    pub(crate) idmap_recursive: bool,
}

impl MountPlan {
    /// A relative bind source is below the bundle.
    pub(crate) fn from_spec(mount: &spec::Mount, bundle: &Path) -> anyhow::Result<Self> {
        let options = Options::parse(&mount.options);
        let mut plan = Self {
            // The spec wants absolute ones; runc takes others as below the root, and images rely on it.
            destination: Path::new("/").join(&mount.destination),
            kind: Kind::Remount,
            attributes: options.attributes,
            recursive: options.recursive,
            copy_up: options.copy_up,
            uid_map: mount.uid_mappings.clone(),
            gid_map: mount.gid_mappings.clone(),
            idmap_recursive: options.id_map == Some(IdMap::Tree),
            propagation: options.propagation.clone(),
        };
        let bind = options.is_bind().then_some(options.flags & libc::MS_REC != 0);
        let remount = options.flags & libc::MS_REMOUNT != 0;
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
                data: options.superblock(),
            },
        };
        if plan.copy_up && !matches!(&plan.kind, Kind::Filesystem { fstype, .. } if fstype == "tmpfs") {
            bail!("mount {}: tmpcopyup needs a tmpfs", plan.destination.display());
        }
        Ok(plan)
    }
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
        assert_eq!(p.attributes, Options::parse(&["rw", "nosuid"]).attributes);
        assert!(matches!(p.kind, Kind::Filesystem { data, .. } if data == ["size=1m"]));
    }

    #[test]
    fn binds_take_relative_sources_from_the_bundle_and_recursive_options_apart() {
        let p = plan("none", "data", &["bind", "rro", "rslave"]).unwrap();
        assert_eq!(p.kind, Kind::Bind { source: "/bundle/data".into(), recursive: false });
        assert_eq!(p.recursive, Attributes::read_only());
        assert_eq!(p.propagation, [libc::MS_SLAVE | libc::MS_REC]);
        assert!(plan("bind", "", &[]).is_err());
    }

    #[test]
    fn relatime_and_rw_are_words_not_recursive_forms() {
        let p = plan("bind", "/a", &["relatime", "rw"]).unwrap();
        assert!(p.recursive.is_empty());
    }
}
