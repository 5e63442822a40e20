//! Mounts as descriptors: cloned or new, changed, and only then given a place.
#![allow(unsafe_code, reason = "mount_setattr(2) has no safe wrapper among our dependencies")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::error::{Error, Result};
use crate::options::{Attributes, Flags};

#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// A copy of what is mounted at a path below `dir` (`dir` itself if that is empty), with all below if
/// `recursive`: a bind mount without a place.
pub fn clone(dir: impl AsFd, path: impl AsRef<Path>, recursive: bool) -> Result<OwnedFd> {
    let path = path.as_ref();
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    if path.as_os_str().is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    open_tree(dir, path, flags).map_err(|e| Error::path("clone the mount at", path, e))
}

/// Longest string that [`new`] can hand to the kernel.
pub const LONGEST: usize = 255;

/// A new file system, mounted with `attributes.set`. An option without `=` is a flag; quotes around a value are
/// mount(8)'s and taken off.
///
/// # Errors
/// The kernel refuses it, or a string is longer than [`LONGEST`].
pub fn new(kind: &str, source: &str, data: &[String], attributes: Attributes) -> Result<OwnedFd> {
    let fail = |step: &'static str| move |e: rustix::io::Errno| Error::path(step, kind, e);
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(fail("open a file system of type"))?;
    if !source.is_empty() {
        fsconfig_set_string(context.as_fd(), "source", source).map_err(fail("set the source of"))?;
    }
    if attributes.is_read_only() && !is_shared(kind) {
        fsconfig_set_flag(context.as_fd(), "ro").map_err(fail("make read-only"))?;
    }
    for option in data {
        let set = match option.split_once('=') {
            Some((key, value)) => fsconfig_set_string(context.as_fd(), key, value.trim_matches('"')),
            None => fsconfig_set_flag(context.as_fd(), option.as_str()),
        };
        set.map_err(|e| Error::path("set an option of", format!("{kind}: {option}"), e))?;
    }
    fsconfig_create(context.as_fd()).map_err(fail("mount"))?;
    let attributes = MountAttrFlags::from_bits_retain(attributes.set as u32);
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(fail("mount"))
}

/// File systems with one instance for several mounts: read-only must be the mount's property, not theirs.
fn is_shared(kind: &str) -> bool {
    matches!(
        kind,
        "proc" | "sysfs" | "cgroup" | "cgroup2" | "mqueue" | "tmpfs" | "devpts" | "securityfs" | "bpf"
    )
}

/// Gives a detached mount its place, a directory or file that is open already: no path can be swapped.
pub fn attach(mount: impl AsFd, place: impl AsFd) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount.as_fd(), "", place.as_fd(), "", flags)
        .map_err(|e| Error::path("attach a mount at descriptor", place.as_fd().as_raw_fd().to_string(), e))
}

/// Changes attributes of the mount that `mount` is the root of, and of all below it if `recursive`. All or
/// nothing.
pub fn change(mount: impl AsFd, recursive: bool, attributes: Attributes) -> Result<()> {
    let attr = MountAttr { attr_set: attributes.set, attr_clr: attributes.clear, ..MountAttr::default() };
    set_attributes(mount.as_fd(), recursive, &attr)
}

/// Changes the propagation: one of `MS_PRIVATE`, …, of the mount alone, or with `MS_REC` of all below it too.
pub fn propagate(mount: impl AsFd, kind: Flags) -> Result<()> {
    let attr = MountAttr { propagation: kind & !libc::MS_REC, ..MountAttr::default() };
    set_attributes(mount.as_fd(), kind & libc::MS_REC != 0, &attr)
}

fn set_attributes(mount: BorrowedFd<'_>, recursive: bool, attr: &MountAttr) -> Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a literal, attr is live and its size is given; the kernel only reads both.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    if answer == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    Err(Error::path("change the mount at descriptor", mount.as_raw_fd().to_string(), error))
}
