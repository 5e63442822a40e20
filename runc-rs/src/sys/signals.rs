//! Signal dispositions of what is about to be executed.
#![allow(unsafe_code, reason = "signal(2) can install handlers and is therefore unsafe")]

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};

/// Undoes what Rust's start-up (SIGPIPE ignored) and our own blocking did: both survive exec.
pub(crate) fn reset() -> nix::Result<()> {
    // SAFETY: the default action is no handler.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

/// `kill(2)` with any number: the enums of libraries lack the real-time signals.
pub(crate) fn send(pid: nix::unistd::Pid, signal: i32) -> nix::Result<()> {
    // SAFETY: plain integers.
    nix::errno::Errno::result(unsafe { libc::kill(pid.as_raw(), signal) }).map(drop)
}
