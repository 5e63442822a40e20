//! `/sys/fs/cgroup` as the container sees it.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use mounts::{Attributes, detached};
use rustix::fs::{CWD, Mode, OFlags};

use super::inside;
use crate::config::mounts::MountPlan;
use crate::error::{Context, Step, StepError};
use crate::init::plan::{CgroupV1, RootfsPlan};

/// What is there decides: `cgroup` on a v2 machine is a cgroup2 mount, as every engine's default spec expects.
pub(crate) fn attach(root: BorrowedFd<'_>, plan: &RootfsPlan, mount: &MountPlan, v2: bool) -> Step<()> {
    let target = inside::make_dirs(root, &mount.destination, 0o755)
        .step(|| format!("create mount point {}", mount.destination.display()))?;
    if v2 || plan.cgroup_v1.is_empty() {
        let tree = unified(plan)?;
        detached::change(&tree, false, mount.attributes).step(|| "set mount attributes")?;
        return detached::attach(&tree, target.as_fd()).step(|| "mount cgroup2");
    }
    let writable = Attributes { clear: 0, ..mount.attributes.without(Attributes::RDONLY) };
    let data = ["mode=755".to_owned()];
    let tree = detached::new("tmpfs", "tmpfs", &data, writable)?;
    detached::attach(&tree, target.as_fd()).step(|| "mount tmpfs")?;
    for hierarchy in &plan.cgroup_v1 {
        attach_v1(tree.as_fd(), plan, mount, hierarchy)
            .map_err(|e| e.within(format!("cgroup {}", hierarchy.name)))?;
    }
    let locked = Attributes { set: mount.attributes.set & Attributes::RDONLY, clear: 0 };
    detached::change(&tree, false, locked).step(|| "make it read-only")
}

/// In a cgroup namespace a new mount shows its root. Without one it would wait for an RCU grace period
/// (8–14 ms), and the host's mount shows the same.
fn unified(plan: &RootfsPlan) -> Step<std::os::fd::OwnedFd> {
    if !plan.cgroup_namespace
        && let Ok(tree) = detached::clone(CWD, "/sys/fs/cgroup", false)
        && rustix::fs::fstatfs(&tree).is_ok_and(|s| s.f_type as u64 == 0x6367_7270)
    {
        return Ok(tree);
    }
    Ok(detached::new("cgroup2", "cgroup", &[], Attributes::default())?)
}

fn attach_v1(base: BorrowedFd<'_>, plan: &RootfsPlan, mount: &MountPlan, hierarchy: &CgroupV1) -> Step<()> {
    let name = Path::new(&hierarchy.name);
    rustix::fs::mkdirat(base, name, Mode::from_raw_mode(0o755)).step(|| "make the mount point")?;
    let target =
        inside::open_plain(base, name, OFlags::PATH | OFlags::DIRECTORY).step(|| "open the mount point")?;
    let tree = if plan.cgroup_namespace {
        let named = hierarchy.controllers.iter().any(|c| c.starts_with("name="));
        let mut data = hierarchy.controllers.clone();
        if named {
            data.insert(0, "none".to_owned());
        }
        detached::new("cgroup", "cgroup", &data, Attributes::default())?
    } else {
        let path = hierarchy.directory.to_str().ok_or_else(|| StepError::plain("its path is not UTF-8"))?;
        detached::clone(CWD, path, false).step(|| format!("open {path}"))?
    };
    detached::change(&tree, false, Attributes { clear: 0, ..mount.attributes })
        .step(|| "set mount attributes")?;
    detached::attach(&tree, target.as_fd()).step(|| "mount")?;
    // Programs look for each controller by its own name: cpu -> cpu,cpuacct
    for controller in hierarchy.controllers.iter().filter(|c| !c.contains('=') && **c != hierarchy.name) {
        match rustix::fs::symlinkat(name, base, controller.as_str()) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(e).step(|| format!("link {controller}")),
        }
    }
    Ok(())
}
