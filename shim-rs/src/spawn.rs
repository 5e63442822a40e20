//! Starting processes from a single thread that blocks SIGCHLD.
#![allow(unsafe_code, reason = "Command::pre_exec")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::SigSet;

/// What the child gets besides what [`Command`] says.
#[derive(Default)]
pub(crate) struct Extras<'a> {
    /// Descriptors, and the numbers they get.
    pub(crate) pass: Vec<(BorrowedFd<'a>, i32)>,
    /// Lead a session of its own.
    pub(crate) session: bool,
}

/// Starts the command and returns its pid, which the caller reaps.
pub(crate) fn spawn(command: &mut Command, extras: Extras<'_>) -> io::Result<i32> {
    // High copies first: dup2 to the final number then neither overwrites a source nor keeps close-on-exec.
    let copies: Vec<(OwnedFd, i32)> = extras
        .pass
        .iter()
        .map(|(fd, number)| {
            let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(64)).map_err(io::Error::from)?;
            // SAFETY: fcntl has just made this descriptor.
            Ok((unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(copy) }, *number))
        })
        .collect::<io::Result<_>>()?;
    let targets: Vec<(i32, i32)> = copies.iter().map(|(fd, number)| (fd.as_raw_fd(), *number)).collect();
    let session = extras.session;
    // SAFETY: only async-signal-safe calls, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            SigSet::empty().thread_set_mask()?;
            if session {
                nix::unistd::setsid()?;
            }
            // What whoever started us left open stays here. Best effort: a kernel before 5.11 can't.
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
            for (from, to) in &targets {
                if libc::dup2(*from, *to) == -1 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    let child = command.spawn()?;
    Ok(child.id() as i32)
}
