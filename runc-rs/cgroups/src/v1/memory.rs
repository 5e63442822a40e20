//! memory.*: limits whose order matters (memory may never exceed memory+swap).

use std::path::Path;

use oci_spec::runtime::LinuxMemory;

use crate::error::{Error, Result};
use crate::files;

const LIMIT: &str = "memory.limit_in_bytes";
const LIMIT_WITH_SWAP: &str = "memory.memsw.limit_in_bytes";

/// `dir` is asked for only if something is to be written.
pub(crate) fn apply<'a>(dir: impl Fn() -> Result<&'a Path>, memory: &LinuxMemory) -> Result<()> {
    let set = |v: Option<i64>| v.filter(|v| *v != 0);
    let (limit, mut swap) = (set(memory.limit()), set(memory.swap()));
    // Memory without a bound leaves no sense in an old bound of memory+swap.
    if limit == Some(-1) && swap.is_none() && dir()?.join(LIMIT_WITH_SWAP).exists() {
        swap = Some(-1);
    }
    if limit.is_some() || swap.is_some() {
        if memory.check_before_update() == Some(true)
            && let Some(limit) = limit
        {
            refuse_below_usage(dir()?, limit)?;
        }
        write_limits(dir()?, limit, swap)?;
    }
    if let Some(bytes) = set(memory.reservation()) {
        files::write(dir()?, "memory.soft_limit_in_bytes", &bytes.to_string())?;
    }
    if let Some(bytes) = set(memory.kernel_tcp()) {
        files::write(dir()?, "memory.kmem.tcp.limit_in_bytes", &bytes.to_string())?;
    }
    if memory.disable_oom_killer() == Some(true) {
        files::write(dir()?, "memory.oom_control", "1")?;
    }
    match memory.swappiness() {
        None => Ok(()),
        Some(value @ 0..=100) => files::write(dir()?, "memory.swappiness", &value.to_string()),
        Some(value) => Err(Error::invalid(
            "linux.resources.memory.swappiness",
            format!("invalid memory swappiness value: {value} (valid range is 0-100)"),
        )),
    }
}

fn refuse_below_usage(dir: &Path, limit: i64) -> Result<()> {
    let usage = files::read_number(dir, "memory.usage_in_bytes")?;
    if limit > 0 && usage > limit.unsigned_abs() {
        let reason = format!("rejecting memory limit {limit}: usage is {usage}");
        return Err(Error::invalid("linux.resources.memory.limit", reason));
    }
    Ok(())
}

fn write_limits(dir: &Path, limit: Option<i64>, swap: Option<i64>) -> Result<()> {
    let write_limit = |value: i64| {
        files::write(dir, LIMIT, &value.to_string()).map_err(|e| match e.errno() {
            Some(libc::EBUSY) => {
                let usage = files::read_number(dir, "memory.usage_in_bytes").unwrap_or(0);
                let peak = files::read_number(dir, "memory.max_usage_in_bytes").unwrap_or(0);
                let reason = format!(
                    "unable to set memory limit to {value} (current usage: {usage}, peak usage: {peak})"
                );
                Error::invalid("linux.resources.memory.limit", reason)
            }
            _ => e,
        })
    };
    let write_swap = |value: i64| files::write(dir, LIMIT_WITH_SWAP, &value.to_string());
    match (limit, swap) {
        (Some(limit), Some(swap)) => {
            let current = files::read_number(dir, LIMIT)?;
            if swap == -1 || current < swap.unsigned_abs() {
                write_swap(swap)?;
                write_limit(limit)
            } else {
                write_limit(limit)?;
                write_swap(swap)
            }
        }
        (Some(limit), None) => write_limit(limit),
        (None, Some(swap)) => write_swap(swap),
        (None, None) => Ok(()),
    }
}
