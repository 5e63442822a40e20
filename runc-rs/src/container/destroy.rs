//! Ends a container and removes what belongs to it. Never sleeps: the pidfd says when the init is dead.

use std::os::fd::AsFd;

use anyhow::bail;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::hooks;
use super::state::{Process, State};
use super::status::Status;
use super::store::Entry;
use crate::error::{Refusal, report};
use crate::log::Log;

/// `delete`: a live container only by force, a created one counts as not live.
pub(crate) fn delete(entry: &Entry, state: &State, force: bool, log: &Log) -> anyhow::Result<()> {
    let status = Status::of(entry, state);
    match status {
        Status::Running | Status::Paused | Status::Creating if !force => {
            return Err(Refusal::DeleteLive { id: state.id.clone(), status: status.to_string() }.into());
        }
        Status::Stopped => {}
        _ => {
            if let Some(init) = &state.init {
                kill(init, state, status)?;
            }
        }
    }
    destroy(entry, state, log)
}

fn kill(init: &Process, state: &State, status: Status) -> anyhow::Result<()> {
    let Some(pid) = Pid::from_raw(init.pid) else { return Ok(()) };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    // Compared after the descriptor is ours: the number may have been given to another meanwhile.
    if !init.is_alive() {
        return Ok(());
    }
    let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    if status == Status::Paused {
        state.cgroup.thaw()?;
    }
    let mut fds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
    let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
    if rustix::io::retry_on_intr(|| poll(&mut fds, Some(&limit)))? == 0 {
        bail!("container init still running");
    }
    Ok(())
}

/// `delete --force` of a container whose state can't be read: what was noted before its first deed says where
/// its processes are. The container goes; what can't be found is told.
pub(crate) fn destroy_broken(entry: &Entry, error: &anyhow::Error, log: &Log) -> anyhow::Result<()> {
    log.warn(&report(error));
    match entry.read_intent() {
        Ok(state) => destroy(entry, &state, log),
        Err(error) => {
            log.warn(&format!("{}: its processes and its cgroup, if any, are not found", report(&error)));
            entry.remove()
        }
    }
}

/// Of a container whose init is dead: processes left behind, cgroup, state, hooks.
pub(crate) fn destroy(entry: &Entry, state: &State, log: &Log) -> anyhow::Result<()> {
    // In a pid namespace of its own all died with the init.
    if state.cgroup.exists() {
        if !state.own_pid_namespace || state.init.is_none() {
            state.cgroup.kill_all()?;
        }
        state.cgroup.remove()?;
    }
    entry.remove()?;
    hooks::run_each("poststop", &state.poststop, state, "stopped", log);
    Ok(())
}
