//! Mounts as descriptors: cloned or new, changed, and only then given a place.
#![allow(unsafe_code, reason = "mount_setattr(2) has no safe wrapper among our dependencies")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::error::{Error, Result};
use crate::options::Attributes;

/// `MOUNT_ATTR_IDMAP`.
const IDMAP: u64 = 0x10_0000;

#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// A copy of what is mounted at `path`, with all below if `recursive`: a bind mount without a place.
pub fn clone(path: &Path, recursive: bool) -> Result<OwnedFd> {
    clone_at(CWD, path, recursive)
}

/// The same from a directory.
pub fn clone_at(dir: BorrowedFd<'_>, path: &Path, recursive: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    if path.as_os_str().is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    open_tree(dir, path, flags).map_err(|e| Error::path("clone the mount at", path, e))
}

/// A new file system. An option without `=` is a flag; strings have at most 255 bytes here.
pub fn new(kind: &str, source: &str, data: &[String]) -> Result<OwnedFd> {
    let fail = |step: &'static str| move |e: rustix::io::Errno| Error::path(step, kind, e);
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(fail("open a file system of type"))?;
    if !source.is_empty() {
        fsconfig_set_string(context.as_fd(), "source", source).map_err(fail("set the source of"))?;
    }
    for option in data {
        let set = match option.split_once('=') {
            Some((key, value)) => fsconfig_set_string(context.as_fd(), key, value),
            None => fsconfig_set_flag(context.as_fd(), option.as_str()),
        };
        set.map_err(|e| Error::path("set an option of", format!("{kind}: {option}"), e))?;
    }
    fsconfig_create(context.as_fd()).map_err(fail("create"))?;
    let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty());
    mount.map_err(fail("mount"))
}

/// Gives a detached mount its place, a directory or file that is open already: no path can be swapped.
pub fn attach(mount: impl AsFd, place: impl AsFd) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount.as_fd(), "", place.as_fd(), "", flags)
        .map_err(|e| Error::path("attach a mount at descriptor", place.as_fd().as_raw_fd().to_string(), e))
}

/// Changes attributes, propagation (an `MS_*` value, 0 for none) and ids (those of a user namespace) of a
/// mount, and of all below it if `recursive`. All or nothing.
pub fn change(
    mount: impl AsFd,
    recursive: bool,
    attributes: Attributes,
    propagation: u64,
    ids: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let mut attr = MountAttr {
        attr_set: attributes.set,
        attr_clr: attributes.clear,
        propagation,
        ..MountAttr::default()
    };
    if let Some(namespace) = ids {
        attr.attr_set |= IDMAP;
        attr.userns_fd = namespace.as_raw_fd() as u64;
    }
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a literal, attr is live and its size is given; the kernel only reads both.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(&attr),
            size_of::<MountAttr>(),
        )
    };
    if answer == 0 {
        return Ok(());
    }
    let number = mount.as_fd().as_raw_fd().to_string();
    Err(Error::path("change the mount at descriptor", number, std::io::Error::last_os_error()))
}
