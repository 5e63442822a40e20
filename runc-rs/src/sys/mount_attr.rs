//! `mount_setattr(2)`.
#![allow(unsafe_code, reason = "no library wraps mount_setattr")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;

#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

fn call(mount: BorrowedFd<'_>, recursive: bool, attr: &MountAttr) -> nix::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a literal with its zero, attr outlives the call and has the size that is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const *attr,
            size_of::<MountAttr>(),
        )
    };
    Errno::result(result).map(drop)
}

/// Sets and clears `MOUNT_ATTR_*` bits of the mount that `mount` is the root of.
pub(crate) fn change(mount: impl AsFd, recursive: bool, set: u64, clear: u64) -> nix::Result<()> {
    call(mount.as_fd(), recursive, &MountAttr { set, clear, ..Default::default() })
}

/// Changes the propagation: one of `MS_PRIVATE`, `MS_SHARED`, `MS_SLAVE`, `MS_UNBINDABLE`.
pub(crate) fn propagation(mount: impl AsFd, recursive: bool, kind: u64) -> nix::Result<()> {
    call(mount.as_fd(), recursive, &MountAttr { propagation: kind, ..Default::default() })
}
