//! What cgroup hierarchies this process sees: v1, v2, or both (hybrid).
//!
//! `/proc/self/mountinfo` says where each hierarchy is mounted and which part of it is visible there,
//! `/proc/PID/cgroup` in which cgroup of it a process is.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Which kinds of hierarchy are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Only v1 hierarchies.
    V1,
    /// v1 hierarchies with the controllers, and a v2 one beside them.
    Hybrid,
    /// A single v2 hierarchy.
    V2,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// v1: its controllers, or `name=systemd`; empty for v2.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Which cgroup is visible at `mount` (`/` unless only a part is mounted).
    pub root: PathBuf,
    /// The process's own cgroup, below `mount`.
    pub own: PathBuf,
}

/// The hierarchies of this machine, as the process sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// v1 hierarchies, in mount order.
    pub v1: Vec<Hierarchy>,
    /// The v2 hierarchy.
    pub unified: Option<Hierarchy>,
}

impl Host {
    /// What the calling process sees.
    pub fn detect() -> Result<Self> {
        Self::of("self")
    }

    /// What is mounted here, with the cgroups of process `pid` as `own`.
    pub fn of_pid(pid: i32) -> Result<Self> {
        Self::of(&pid.to_string())
    }

    fn of(pid: &str) -> Result<Self> {
        let read = |path: String| fs::read_to_string(&path).map_err(|e| Error::io("read", path, e));
        Self::parse(&read("/proc/self/mountinfo".to_owned())?, &read(format!("/proc/{pid}/cgroup"))?)
    }

    /// From the texts of `mountinfo` and `cgroup` of proc.
    pub fn parse(mountinfo: &str, cgroup: &str) -> Result<Self> {
        let mut host = Self { v1: Vec::new(), unified: None };
        for line in mountinfo.lines() {
            let Some(found) = parse_mount(line, cgroup) else { continue };
            if found.controllers.is_empty() {
                host.unified.get_or_insert(found);
            } else if !host.v1.iter().any(|h| h.controllers == found.controllers) {
                host.v1.push(found);
            }
        }
        if host.v1.is_empty() && host.unified.is_none() { Err(Error::NoCgroups) } else { Ok(host) }
    }

    /// v1, hybrid or v2.
    pub fn layout(&self) -> Layout {
        match (self.v1.is_empty(), &self.unified) {
            (true, _) => Layout::V2,
            (false, Some(_)) => Layout::Hybrid,
            (false, None) => Layout::V1,
        }
    }
}

const CONTROLLERS: [&str; 14] = [
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "pids",
    "blkio",
    "devices",
    "freezer",
    "hugetlb",
    "net_cls",
    "net_prio",
    "perf_event",
    "rdma",
    "misc",
];

fn parse_mount(line: &str, cgroup: &str) -> Option<Hierarchy> {
    let (left, right) = line.split_once(" - ")?;
    let mut fields = left.split(' ');
    let (root, mount) = (unescape(fields.nth(3)?), unescape(fields.next()?));
    let mut tail = right.split(' ');
    let (kind, options) = (tail.next()?, tail.nth(1)?);
    let controllers: Vec<String> = match kind {
        "cgroup2" => Vec::new(),
        "cgroup" => options
            .split(',')
            .filter(|o| CONTROLLERS.contains(o) || o.starts_with("name="))
            .map(str::to_owned)
            .collect(),
        _ => return None,
    };
    if kind == "cgroup" && controllers.is_empty() {
        return None;
    }
    let own = cgroup.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (number, names, path) = (parts.next()?, parts.next()?, parts.next()?);
        let same = match controllers.first() {
            None => number == "0" && names.is_empty(),
            Some(first) => names.split(',').any(|n| n == first),
        };
        same.then(|| PathBuf::from(path))
    })?;
    let own = below(&own, &root);
    Some(Hierarchy { controllers, mount, root, own })
}

/// `path` as seen from `root`, cleaned of everything that would climb.
fn below(path: &Path, root: &Path) -> PathBuf {
    clean(path.strip_prefix(root).unwrap_or(path))
}

/// A path relative to nothing: no root, no `.`, and `..` never climbs above the start.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    out
}

fn unescape(field: &str) -> PathBuf {
    let field = field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n");
    PathBuf::from(field.replace("\\134", "\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
        40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
        41 31 0:38 /a /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
        22 27 0:21 / /proc rw - proc proc rw\n";

    #[test]
    fn hybrid_is_recognised_with_co_mounted_and_named_hierarchies() {
        let host = Host::parse(HYBRID, "9:name=systemd:/s\n1:cpu,cpuacct:/x/y\n0::/a/b\n").unwrap();
        assert_eq!(host.layout(), Layout::Hybrid);
        assert_eq!(host.v1[0].controllers, ["cpu", "cpuacct"]);
        assert_eq!(host.v1[0].own, Path::new("x/y"));
        assert_eq!(host.v1[1].controllers, ["name=systemd"]);
        assert_eq!(host.unified.unwrap().own, Path::new("b"), "seen from the mounted part");
    }

    #[test]
    fn v2_alone_and_nothing_at_all() {
        let host = Host::parse("1 0 0:1 / /sys/fs/cgroup rw - cgroup2 none rw\n", "0::/\n").unwrap();
        assert_eq!(host.layout(), Layout::V2);
        assert!(matches!(Host::parse("", "0::/\n"), Err(Error::NoCgroups)));
    }

    #[test]
    fn a_path_never_climbs() {
        assert_eq!(clean(Path::new("/../../a/./b/../c")), Path::new("a/c"));
    }
}
