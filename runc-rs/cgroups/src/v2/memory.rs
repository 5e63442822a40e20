//! memory.*: v2 limits swap alone, the specification memory plus swap.

use std::path::Path;

use oci_spec::runtime::LinuxMemory;

use crate::error::{Error, Result};
use crate::files;
use crate::resources::{limit, swap_alone};
use crate::v2::write_setting;

pub(crate) fn apply(dir: &Path, memory: &LinuxMemory) -> Result<()> {
    let max = memory.limit().filter(|v| *v != 0);
    let swap = swap_alone(memory.swap(), memory.limit())?;
    if memory.check_before_update() == Some(true)
        && let Some(bytes) = max.filter(|v| *v > 0)
    {
        let usage = files::read_number(dir, "memory.current")?;
        if usage > bytes.unsigned_abs() {
            let reason = format!("rejecting memory limit {bytes}: usage is {usage}");
            return Err(Error::invalid("linux.resources.memory.limit", reason));
        }
    }
    if let Some(bytes) = swap {
        // Without swap accounting there is no file, and nothing to limit when no limit is asked for.
        let dispensable =
            bytes <= 0 && dir.join("memory.max").exists() && !dir.join("memory.swap.max").exists();
        if !dispensable {
            write_setting(dir, "memory.swap.max", &limit(bytes), "linux.resources.memory.swap")?;
        }
    }
    if let Some(bytes) = max {
        write_setting(dir, "memory.max", &limit(bytes), "linux.resources.memory.limit")?;
    }
    match memory.reservation().filter(|v| *v != 0) {
        Some(bytes) => write_setting(dir, "memory.low", &limit(bytes), "linux.resources.memory.reservation"),
        None => Ok(()),
    }
}
