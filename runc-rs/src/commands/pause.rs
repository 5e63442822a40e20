//! `pause` and `resume`.

use super::id_of;
use crate::cli::{Args, Global};
use crate::container::status::Status;
use crate::container::store::Entry;
use crate::error::Refusal;

pub(super) fn pause(global: &Global, args: &Args) -> anyhow::Result<i32> {
    let entry = Entry::open(&global.root, &id_of(args, "pause")?)?;
    entry.lock()?;
    let state = entry.read()?;
    match Status::of(&entry, &state) {
        Status::Running | Status::Created => state.cgroup.freeze()?,
        _ => return Err(Refusal::NotRunning.into()),
    }
    Ok(0)
}

pub(super) fn resume(global: &Global, args: &Args) -> anyhow::Result<i32> {
    let entry = Entry::open(&global.root, &id_of(args, "resume")?)?;
    entry.lock()?;
    let state = entry.read()?;
    if Status::of(&entry, &state) != Status::Paused {
        return Err(Refusal::NotPaused.into());
    }
    state.cgroup.thaw()?;
    Ok(0)
}
