//! Descriptors by number: those handed to us, and those that must not be handed on.
#![allow(unsafe_code, reason = "descriptors inherited from the caller have no owner yet")]

use std::os::fd::RawFd;

use nix::errno::Errno;

/// The first descriptor after stdio.
pub(crate) const FIRST: RawFd = 3;

/// Closes every descriptor from `first` on: whatever the caller leaked must not reach a container
/// (CVE-2024-21626). Called before we open any ourselves.
pub(crate) fn close_from(first: RawFd) -> nix::Result<()> {
    close_range(first, 0)
}

/// Marks every descriptor from `first` on to be closed by exec.
pub(crate) fn seal_from(first: RawFd) -> nix::Result<()> {
    close_range(first, libc::CLOSE_RANGE_CLOEXEC)
}

fn close_range(first: RawFd, flags: libc::c_uint) -> nix::Result<()> {
    // SAFETY: plain integers; descriptors owned by Rust values are not closed by our callers' choice of
    // `first` (start-up: none exist; before exec: they are only marked).
    let result = unsafe { libc::syscall(libc::SYS_close_range, first as u32, u32::MAX, flags) };
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
