//! Builds the root file system inside the new mount namespace, and moves into it.
//!
//! Nothing here trusts a path of the image: targets are opened below the root by `openat2` ([`inside`]), and
//! mounts are attached to the descriptor, so swapping a path afterwards changes nothing (CVE-2021-30465,
//! CVE-2024-45310, CVE-2025-31133). All is done before the pivot, while the host's /proc can be trusted.

pub(crate) mod cgroup;
pub(crate) mod copy_up;
pub(crate) mod dev;
pub(crate) mod inside;
pub(crate) mod mask;
pub(crate) mod mount;
pub(crate) mod pivot;

use std::os::fd::{AsFd, OwnedFd};

use mounts::detached;
use rustix::fs::CWD;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::plan::RootfsPlan;
use crate::error::{Context, Step};

/// Mounts everything of the plan. The caller's working directory is the root directory's source.
///
/// Gives the root, on which the rest is done: devices' console, hooks, masks, pivot.
pub(crate) fn build(plan: &mut RootfsPlan) -> Step<OwnedFd> {
    set_propagation(plan.propagation)?;
    let root = attach_root()?;
    let sources = std::mem::take(&mut plan.sources);
    let mut sources = sources.into_iter().chain(std::iter::repeat_with(|| None));
    for mount in &plan.mounts {
        let source = sources.next().flatten();
        mount::attach(root.as_fd(), plan, mount, source)?;
    }
    if dev::is_ours(plan) {
        dev::populate(root.as_fd(), plan)?;
    }
    Ok(root)
}

/// The host must not see our mounts; whether we see the host's is `rootfsPropagation`'s.
fn set_propagation(wanted: Option<u64>) -> Step<()> {
    let flags = wanted.unwrap_or(libc::MS_SLAVE | libc::MS_REC);
    let tree = open_path("/")?;
    detached::propagate(&tree, flags | libc::MS_REC).step(|| "change the propagation of /")
}

fn open_path(path: &str) -> Step<OwnedFd> {
    open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLOEXEC).step(|| format!("open {path}"))
}

/// Makes the root directory a mount of its own, without going by its path: its parents may be closed to us.
fn attach_root() -> Step<OwnedFd> {
    // With a shared rootfs propagation its parent would hand our pivot back to the host.
    let here = open_tree(CWD, ".", OpenTreeFlags::OPEN_TREE_CLOEXEC).step(|| "open the rootfs")?;
    make_parent_private(&here)?;
    let tree = detached::clone(CWD, ".", true).step(|| "clone the rootfs' mount")?;
    detached::attach(&tree, &here).step(|| "mount the rootfs")?;
    Ok(tree)
}

/// The mount that the rootfs lies in. `mount_setattr` wants the mount's own root, which may be any parent.
fn make_parent_private(inside: &OwnedFd) -> Step<()> {
    let mut dir = inside.try_clone().step(|| "duplicate a descriptor")?;
    loop {
        match detached::propagate(&dir, libc::MS_PRIVATE) {
            Ok(()) => return Ok(()),
            Err(e) if e.errno() == Some(libc::EINVAL) => {}
            Err(e) => return Err(e).step(|| "make the mount below the rootfs private"),
        }
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC | rustix::fs::OFlags::DIRECTORY;
        dir = match rustix::fs::openat(&dir, "..", flags, rustix::fs::Mode::empty()) {
            Ok(parent) => parent,
            // Not reachable for us (user namespace): then it isn't shared either, since it came as a slave.
            Err(rustix::io::Errno::ACCESS) => return Ok(()),
            Err(e) => return Err(e).step(|| "find the mount below the rootfs"),
        };
    }
}
