//! The few system calls that have no safe form.
#![allow(unsafe_code, reason = "descriptors and signals that come as numbers, and nix has no TIOCSWINSZ")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// The listening socket of a shim that was started by `start`.
pub(crate) const LISTENER: i32 = 3;
/// Read end of a container's stdout, for a logger.
pub(crate) const LOGGER_STDOUT: i32 = 3;
/// Read end of a container's stderr, for a logger.
pub(crate) const LOGGER_STDERR: i32 = 4;
/// To be written and closed when a logger is ready.
pub(crate) const LOGGER_READY: i32 = 5;

/// Takes an inherited descriptor. To be called once a number, before anything else is opened.
pub(crate) fn take(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD and F_SETFD touch no memory; a number that isn't open is refused by the kernel.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open (see above), and the contract is that each number is taken once, by its only owner.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Sets a terminal's size.
pub(crate) fn set_window_size(master: &std::fs::File, columns: u16, rows: u16) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one winsize, which lives across the call.
    if unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Sends a signal by number.
pub(crate) fn send_signal(pid: i32, signal: i32) -> Result<(), nix::errno::Errno> {
    // SAFETY: kill touches no memory.
    nix::errno::Errno::result(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Takes in one child that has ended: its pid, and its exit code or 128 and the signal's number. nix's `waitpid`
/// refuses real-time signals, and the child would be lost with them.
pub(crate) fn reap_child() -> Option<(i32, u32)> {
    let mut status = 0;
    // SAFETY: waitpid writes one int, which lives across the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    if pid <= 0 {
        return None;
    }
    let code =
        if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) };
    Some((pid, code as u32))
}

/// How many bytes in a pipe nobody has read yet; either end may be asked.
pub(crate) fn unread_bytes(pipe: &std::fs::File) -> usize {
    use std::os::fd::AsRawFd;
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int, which lives across the call.
    let asked = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    if asked == 0 { count.max(0) as usize } else { 0 }
}
