//! A container that containerd has forgotten, its records being lost, while its process lives.

use std::fs;

use super::Containers;
use super::record::Record;
use super::start::remote;
use crate::error::Result;

/// The init process of a container still runs; not just one that was given its number.
pub(super) fn lives(id: &str, pid: u32) -> bool {
    // One that has ended and isn't reaped has no program any more.
    fs::read_link(format!("/proc/{pid}/exe")).is_ok()
        && fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|groups| groups.contains(id))
}

impl Containers {
    /// Has containerd know a container again, so that its task can be asked for.
    pub(super) async fn reintroduce(&self, record: &Record) -> Result<()> {
        let runtime = self.runtimes.resolve(record.host_config.runtime.as_deref().unwrap_or_default())?;
        match self.client.create_container(remote(record, &runtime, b"{}".to_vec())).await {
            Err(error) if !error.is_already_exists() => Err(error.into()),
            _ => Ok(()),
        }
    }
}
