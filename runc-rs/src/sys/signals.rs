//! Signal dispositions of what is about to be executed.
#![allow(unsafe_code, reason = "sigaction(2) can install handlers and is therefore unsafe")]

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};

/// `SIGRTMAX`: what the kernel knows.
const LAST: i32 = 64;

/// A caller that ignores SIGCHLD would make the kernel reap our children, and their exit codes would be lost.
pub(crate) fn wait_for_children() -> nix::Result<()> {
    // SAFETY: the default action is no handler.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.map(drop)
}

/// Every signal has its default action and none is blocked: what a caller ignores (a shell ignores SIGINT for
/// what it runs in the background, Rust's start-up SIGPIPE) and our own blocking survive exec.
pub(crate) fn reset() -> nix::Result<()> {
    // The kernel's struct: handler, flags, restorer, mask. libc's call refuses the signals that it keeps.
    let default = [0u64; 4];
    for signal in (1..=LAST).filter(|s| !matches!(*s, libc::SIGKILL | libc::SIGSTOP)) {
        // SAFETY: the struct outlives the call; the default action is no handler.
        let answer = unsafe {
            let none = std::ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), none, size_of::<u64>())
        };
        Errno::result(answer)?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

/// `kill(2)` with any number: the enums of libraries lack the real-time signals.
pub(crate) fn send(pid: nix::unistd::Pid, signal: i32) -> nix::Result<()> {
    // SAFETY: plain integers.
    Errno::result(unsafe { libc::kill(pid.as_raw(), signal) }).map(drop)
}
