//! Which namespaces are made, and which are joined.

use std::path::PathBuf;

use anyhow::bail;

use super::spec;

/// The kernel's flag and the file under /proc/PID/ns of each type that the spec knows.
pub(crate) const TYPES: &[(&str, &str, i32)] = &[
    ("user", "user", libc::CLONE_NEWUSER),
    ("ipc", "ipc", libc::CLONE_NEWIPC),
    ("uts", "uts", libc::CLONE_NEWUTS),
    ("network", "net", libc::CLONE_NEWNET),
    ("pid", "pid", libc::CLONE_NEWPID),
    ("mount", "mnt", libc::CLONE_NEWNS),
    ("cgroup", "cgroup", libc::CLONE_NEWCGROUP),
    ("time", "time", CLONE_NEWTIME),
];

pub(crate) const CLONE_NEWTIME: i32 = 0x80;

/// A namespace that is entered by its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) flag: i32,
    pub(crate) path: PathBuf,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Namespaces {
    /// `CLONE_NEW*` of all that are made.
    pub(crate) new: i32,
    pub(crate) joined: Vec<Joined>,
}

impl Namespaces {
    pub(crate) fn from_spec(list: &[spec::Namespace]) -> anyhow::Result<Self> {
        let mut result = Self::default();
        for ns in list {
            let Some((_, _, flag)) = TYPES.iter().find(|(name, _, _)| *name == ns.kind) else {
                bail!("namespace {:?} does not exist", ns.kind);
            };
            if result.has(*flag) {
                bail!("malformed spec file: duplicated ns {:?}", ns.kind);
            }
            if ns.path.as_os_str().is_empty() {
                result.new |= flag;
            } else if ns.path.is_absolute() {
                result.joined.push(Joined { flag: *flag, path: ns.path.clone() });
            } else {
                bail!("path of the {} namespace is not absolute: {}", ns.kind, ns.path.display());
            }
        }
        Ok(result)
    }

    pub(crate) fn makes(&self, flag: i32) -> bool {
        self.new & flag != 0
    }

    pub(crate) fn joins(&self, flag: i32) -> bool {
        self.joined.iter().any(|j| j.flag == flag)
    }

    /// Made or joined: not the caller's own.
    pub(crate) fn has(&self, flag: i32) -> bool {
        self.makes(flag) || self.joins(flag)
    }

    /// Flags of all that differ from the caller's.
    pub(crate) fn mask(&self) -> i32 {
        self.joined.iter().fold(self.new, |mask, j| mask | j.flag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ns(kind: &str, path: &str) -> spec::Namespace {
        spec::Namespace { kind: kind.into(), path: path.into() }
    }

    #[test]
    fn namespaces_are_made_or_joined_but_named_once() {
        let all = Namespaces::from_spec(&[ns("pid", ""), ns("network", "/run/netns/x")]).unwrap();
        assert!(
            all.makes(libc::CLONE_NEWPID) && all.joins(libc::CLONE_NEWNET) && !all.has(libc::CLONE_NEWNS)
        );
        assert!(Namespaces::from_spec(&[ns("pid", ""), ns("pid", "/x")]).is_err());
        assert!(Namespaces::from_spec(&[ns("pid", "x")]).is_err());
        assert!(Namespaces::from_spec(&[ns("moon", "")]).is_err());
    }
}
