//! Which directory of each hierarchy a container gets. Nothing is made here.
//!
//! A seam with two sides: [`Cgroupfs`] names the directories itself, [`Systemd`](crate::Systemd) those where systemd
//! will put a scope.

use std::path::Path;

use oci_spec::runtime::LinuxResources;

use crate::cgroup::{Cgroup, Dir};
use crate::detect::{Hierarchy, Host, clean};
use crate::error::{Error, Result};

/// What a container's configuration says about its place.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `linux.cgroupsPath`.
    pub cgroups_path: Option<&'a Path>,
    /// The container's id: the place of a container whose configuration names none.
    pub id: &'a str,
    /// What will be set, for controllers that only the v2 side of a hybrid machine has.
    pub resources: Option<&'a LinuxResources>,
}

/// Decides the directories.
pub trait Placement {
    /// The directories for `request`; nothing is made yet.
    fn place(&self, host: &Host, request: &Request<'_>) -> Result<Cgroup>;
}

/// The driver that makes directories itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cgroupfs;

impl Placement for Cgroupfs {
    /// An absolute path starts at each hierarchy's mount. A relative one, and the default (the id), start at
    /// the caller's own cgroup; on v2 at its parent, since a cgroup with processes can't have children with
    /// controllers. On a hybrid machine the v2 side is a place like the others, as for runc.
    fn place(&self, host: &Host, request: &Request<'_>) -> Result<Cgroup> {
        let path = request.cgroups_path.filter(|p| !p.as_os_str().is_empty());
        let (inner, absolute) = match path {
            Some(path) => (clean(path), path.is_absolute()),
            None => (clean(Path::new(request.id)), false),
        };
        if inner.as_os_str().is_empty() {
            return Err(Error::invalid("linux.cgroupsPath", "a container can't live in the root cgroup"));
        }
        let on_v1 = |h: &Hierarchy| {
            if absolute { h.mount.join(&inner) } else { h.mount.join(&h.own).join(&inner) }
        };
        let mut dirs: Vec<Dir> =
            host.v1.iter().map(|h| Dir { controllers: h.controllers.clone(), path: on_v1(h) }).collect();
        if let Some(h) = &host.unified {
            let base = match (absolute, h.own.parent()) {
                (true, _) => Path::new(""),
                (false, Some(parent)) if dirs.is_empty() || needs_unified(&dirs, request) => parent,
                (false, _) => &h.own,
            };
            dirs.push(Dir { controllers: Vec::new(), path: h.mount.join(base).join(&inner) });
        }
        Ok(Cgroup::new(host.layout(), dirs))
    }
}

/// Whether the v2 side of a hybrid machine must do what no v1 hierarchy can.
fn needs_unified(v1: &[Dir], request: &Request<'_>) -> bool {
    let lacks = |name: &str| !v1.iter().any(|d| d.controllers.iter().any(|c| c == name));
    let Some(resources) = request.resources else { return false };
    let huge = resources.hugepage_limits().as_ref().is_some_and(|l| !l.is_empty());
    let rdma = resources.rdma().as_ref().is_some_and(|r| !r.is_empty());
    (huge && lacks("hugetlb")) || (rdma && lacks("rdma"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(own: &str) -> Host {
        Host::parse("1 0 0:1 / /cg rw - cgroup2 none rw\n", &format!("0::{own}\n")).unwrap()
    }

    fn place(host: &Host, path: Option<&str>) -> Result<Cgroup> {
        Cgroupfs.place(host, &Request { cgroups_path: path.map(Path::new), id: "box", resources: None })
    }

    #[test]
    fn absolute_relative_and_default_paths_go_where_runc_puts_them() {
        let host = v2("/user/session");
        let dir = |p| place(&host, p).unwrap().unified().unwrap().to_owned();
        assert_eq!(dir(Some("/docker/a")), Path::new("/cg/docker/a"));
        assert_eq!(dir(Some("a/b")), Path::new("/cg/user/a/b"));
        assert_eq!(dir(None), Path::new("/cg/user/box"));
        assert_eq!(dir(Some("/../../../etc")), Path::new("/cg/etc"));
    }

    #[test]
    fn on_a_hybrid_machine_the_v2_side_is_a_place_too() {
        let mounts =
            "1 0 0:1 / /cg/pids rw - cgroup cgroup rw,pids\n2 0 0:2 / /cg/unified rw - cgroup2 none rw\n";
        let host = Host::parse(mounts, "1:pids:/a/b\n0::/a/b\n").unwrap();
        let dirs = |p| place(&host, p).unwrap().paths().map(|(_, d)| d.to_owned()).collect::<Vec<_>>();
        assert_eq!(dirs(Some("/x")), [Path::new("/cg/pids/x"), Path::new("/cg/unified/x")]);
        assert_eq!(dirs(None), [Path::new("/cg/pids/a/b/box"), Path::new("/cg/unified/a/b/box")]);
        let huge = serde_json::json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]});
        let resources: LinuxResources = serde_json::from_value(huge).unwrap();
        let request = Request { cgroups_path: None, id: "box", resources: Some(&resources) };
        let limited = Cgroupfs.place(&host, &request).unwrap();
        assert_eq!(
            limited.unified().unwrap(),
            Path::new("/cg/unified/a/box"),
            "siblings may have controllers"
        );
    }

    #[test]
    fn the_root_cgroup_is_no_place() {
        assert!(matches!(place(&v2("/"), Some("/..")), Err(Error::Invalid { .. })));
    }
}
