//! cpuset.*: a v1 cpuset starts empty and refuses tasks until it has cpus and memory nodes.

use std::path::Path;

use oci_spec::runtime::LinuxCpu;

use crate::error::Result;
use crate::files;

pub(crate) fn is_set(cpu: &LinuxCpu) -> bool {
    [cpu.cpus(), cpu.mems()].into_iter().flatten().any(|v| !v.is_empty())
}

/// Fills an empty cpuset from its parent's.
pub(crate) fn inherit(dir: &Path) -> Result<()> {
    let Some(parent) = dir.parent() else { return Ok(()) };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if files::read(dir, file)?.trim().is_empty() {
            let theirs = files::read(parent, file)?;
            files::write(dir, file, theirs.trim())?;
        }
    }
    Ok(())
}

pub(crate) fn apply(dir: &Path, cpu: &LinuxCpu) -> Result<()> {
    for (file, value) in [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())] {
        if let Some(value) = value.as_deref().filter(|v| !v.is_empty()) {
            files::write(dir, file, value)?;
        }
    }
    Ok(())
}
