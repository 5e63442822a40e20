//! Descriptors that whoever started the daemon left open.
#![allow(unsafe_code, reason = "close_range has no safe form")]

/// Keeps them from the daemon's children: a shim outlives the daemon, and with it would live a lock, a pipe or a
/// terminal of somebody who has long forgotten it. Go's runtime does the same for containerd. Best effort: a kernel
/// before 5.11 can't.
pub(crate) fn keep_from_children() {
    // SAFETY: only marks descriptors to be closed by exec; all that Rust opens are marked so already.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}
