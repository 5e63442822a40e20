//! Says the word that a created container's init waits for.

use std::os::fd::AsFd;

use anyhow::Context;
use rustix::fs::{Mode, OFlags};

use super::hooks;
use super::state::State;
use super::status::Status;
use super::store::Entry;
use crate::error::Refusal;
use crate::log::Log;

pub(crate) fn start(entry: &Entry, state: &State, log: &Log) -> anyhow::Result<()> {
    match Status::of(entry, state) {
        Status::Created => {}
        Status::Running | Status::Paused => return Err(Refusal::AlreadyRunning.into()),
        Status::Stopped | Status::Creating => return Err(Refusal::StartStopped.into()),
    }
    let path = entry.start_pipe();
    // Never waits: without an init that listens there is no reader, which is an error.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let pipe = match rustix::fs::open(&path, flags, Mode::empty()) {
        Err(rustix::io::Errno::NXIO) => return Err(Refusal::InitDead.into()),
        other => other.with_context(|| format!("open {}", path.display()))?,
    };
    // First away with the name, then the word: nobody sees a running container that looks created.
    std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
    rustix::io::write(pipe.as_fd(), b"0").context("tell the init to start")?;
    after_start(state, log);
    Ok(())
}

/// Hooks once the program runs. A failure is told, the container runs on.
pub(crate) fn after_start(state: &State, log: &Log) {
    hooks::run_each("poststart", &state.poststart, state, "running", log);
}
