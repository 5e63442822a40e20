//! `run` and `exec` without `--detach`: signals go in, the exit code comes out.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::Context;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::console_proxy::{RawMode, copy_size, pump};

/// Catches signals from before the child exists, so that none is lost. The child unblocks its own.
#[derive(Debug)]
pub(crate) struct Signals(SignalFd);

impl Signals {
    pub(crate) fn catch() -> anyhow::Result<Self> {
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).context("block signals")?;
        // Orphans of a container without a pid namespace come to us, not to whoever started us.
        nix::sys::prctl::set_child_subreaper(true).context("become subreaper")?;
        let fd = SignalFd::with_flags(&SigSet::all(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK);
        Ok(Self(fd.context("watch signals")?))
    }
}

/// Until the process ends: its exit code, 128 + n for a signal.
pub(crate) fn wait(
    signals: &Signals,
    pid: i32,
    pidfd: &OwnedFd,
    master: Option<OwnedFd>,
) -> anyhow::Result<i32> {
    let raw = master.as_ref().map(|_| RawMode::enter());
    if let Some(master) = &master {
        copy_size(master);
    }
    let (mut input, mut output) = (master.is_some(), master.is_some());
    loop {
        let stdin = rustix::stdio::stdin();
        let mut fds = vec![
            PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(signals.0.as_fd(), PollFlags::IN),
        ];
        if let Some(master) = &master {
            fds.push(PollFd::from_borrowed_fd(
                master.as_fd(),
                if output { PollFlags::IN } else { PollFlags::empty() },
            ));
            if input {
                fds.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
            }
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context("wait for the container"),
        }
        let ready: Vec<bool> = fds.iter().map(|f| !f.revents().is_empty()).collect();
        drop(fds);
        if ready[1] {
            forward(&signals.0, pid, master.as_ref());
        }
        if let Some(master) = &master {
            if output && ready[2] {
                output = pump(master, rustix::stdio::stdout());
            }
            if input && ready.get(3) == Some(&true) {
                input = pump(stdin, master);
            }
        }
        if ready[0] {
            break;
        }
    }
    if let Some(master) = &master {
        drain(master);
    }
    drop(raw);
    exit_code(pidfd)
}

fn forward(signals: &SignalFd, pid: i32, master: Option<&OwnedFd>) {
    while let Ok(Some(info)) = signals.read_signal() {
        match info.ssi_signo as i32 {
            libc::SIGCHLD => reap_orphans(pid),
            libc::SIGWINCH => master.into_iter().for_each(copy_size),
            // The runtime's own business.
            libc::SIGURG | libc::SIGPIPE => {}
            signal => drop(crate::sys::signals::send(nix::unistd::Pid::from_raw(pid), signal)),
        }
    }
}

/// Others than the one that is waited for.
fn reap_orphans(keep: i32) {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    while let Ok(status) = waitid(Id::All, look) {
        match status.pid() {
            Some(pid) if pid.as_raw() != keep => drop(waitid(Id::Pid(pid), WaitPidFlag::WEXITED)),
            _ => return,
        }
    }
}

/// What the program wrote last.
fn drain(master: &OwnedFd) {
    loop {
        let mut fds = [PollFd::from_borrowed_fd(master.as_fd(), PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match poll(&mut fds, Some(&now)) {
            Ok(ready) if ready > 0 && fds[0].revents().contains(PollFlags::IN) => {}
            _ => return,
        }
        if !pump(master, rustix::stdio::stdout()) {
            return;
        }
    }
}

fn exit_code(pidfd: &OwnedFd) -> anyhow::Result<i32> {
    let status = rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED))
        .context("wait for the container")?;
    Ok(match status {
        Some(status) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code,
            (None, Some(signal)) => 128 + signal,
            (None, None) => 255,
        },
        None => 255,
    })
}
