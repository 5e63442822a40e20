//! Descriptors by number: those handed to us, and those that must not be handed on.
#![allow(unsafe_code, reason = "descriptors inherited from the caller have no owner yet")]

use std::os::fd::RawFd;

use nix::errno::Errno;

/// The first descriptor after stdio.
pub(crate) const FIRST: RawFd = 3;

/// Closes every descriptor from `first` on: whatever the caller leaked must not reach a container
/// (CVE-2024-21626). Called before we open any ourselves.
pub(crate) fn close_from(first: RawFd) -> nix::Result<()> {
    close_range(first as u32, u32::MAX, 0)
}

/// Marks every descriptor from `first` on to be closed by exec.
pub(crate) fn seal_from(first: RawFd) -> nix::Result<()> {
    close_range(first as u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes everything from `first` on but `kept`. For a child that is about to wait: what it still has from
/// its parent (a lock, say) would stay in use. Values that own closed descriptors must not be dropped after
/// this.
pub(crate) fn close_others(first: RawFd, kept: &[RawFd]) -> nix::Result<()> {
    let mut kept: Vec<u32> = kept.iter().filter(|fd| **fd >= first).map(|fd| *fd as u32).collect();
    kept.sort_unstable();
    let mut from = first as u32;
    for fd in kept {
        if fd > from {
            close_range(from, fd - 1, 0)?;
        }
        from = fd + 1;
    }
    close_range(from, u32::MAX, 0)
}

fn close_range(first: u32, last: u32, flags: libc::c_uint) -> nix::Result<()> {
    // SAFETY: plain integers. Descriptors that Rust values own are only marked, or their owners are never
    // dropped (start-up: there are none; close_others: its callers end by exec or _exit).
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    Errno::result(result).map(drop)
}

/// Whether the number is an open descriptor.
pub(crate) fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD only asks.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// Lets exec keep a descriptor.
pub(crate) fn keep(fd: RawFd) -> nix::Result<()> {
    // SAFETY: F_SETFD changes a flag of the number, nothing that Rust relies on.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }).map(drop)
}
