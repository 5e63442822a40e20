//! cpu.*: shares, bandwidth, real-time.

use std::path::Path;

use oci_spec::runtime::LinuxCpu;

use crate::error::{Error, Result};
use crate::files;

pub(crate) fn is_set(cpu: &LinuxCpu) -> bool {
    cpu.shares().is_some_and(|v| v != 0)
        || cpu.quota().is_some_and(|v| v != 0)
        || cpu.period().is_some_and(|v| v != 0)
        || cpu.burst().is_some()
        || cpu.idle().is_some()
        || cpu.realtime_period().is_some_and(|v| v != 0)
        || cpu.realtime_runtime().is_some_and(|v| v != 0)
}

pub(crate) fn apply(dir: &Path, cpu: &LinuxCpu) -> Result<()> {
    // Real-time first: a task can only be moved in once the group has a budget.
    if let Some(period) = cpu.realtime_period().filter(|v| *v != 0) {
        files::write(dir, "cpu.rt_period_us", &period.to_string())?;
    }
    if let Some(runtime) = cpu.realtime_runtime().filter(|v| *v != 0) {
        files::write(dir, "cpu.rt_runtime_us", &runtime.to_string())?;
    }
    if let Some(shares) = cpu.shares().filter(|v| *v != 0) {
        files::write(dir, "cpu.shares", &shares.to_string())?;
        // The kernel clamps silently; asking for what can't be had is an error of the configuration.
        let got = files::read_number(dir, "cpu.shares")?;
        if got != shares {
            let bound = if shares > got { "maximum" } else { "minimum" };
            let reason = format!("the {bound} allowed cpu-shares is {got}");
            return Err(Error::invalid("linux.resources.cpu.shares", reason));
        }
    }
    bandwidth(dir, cpu)?;
    if let Some(idle) = cpu.idle() {
        files::write(dir, "cpu.idle", &idle.to_string())?;
    }
    Ok(())
}

/// Each intermediate state must be valid too: a period that clashes with the old quota is written after the
/// new quota, a burst above the old quota likewise.
fn bandwidth(dir: &Path, cpu: &LinuxCpu) -> Result<()> {
    let clashes = |e: &Error| e.errno() == Some(libc::EINVAL);
    let quota = cpu.quota().filter(|v| *v != 0);
    let mut period = cpu.period().filter(|v| *v != 0);
    let mut burst = cpu.burst();
    if let Some(us) = burst {
        match files::write(dir, "cpu.cfs_burst_us", &us.to_string()) {
            Err(e) if clashes(&e) && quota.is_some() => {}
            answer => {
                answer?;
                burst = None;
            }
        }
    }
    if let Some(us) = period {
        match files::write(dir, "cpu.cfs_period_us", &us.to_string()) {
            Err(e) if clashes(&e) && quota.is_some() => {}
            answer => {
                answer?;
                period = None;
            }
        }
    }
    if let Some(us) = quota {
        files::write(dir, "cpu.cfs_quota_us", &us.to_string())?;
    }
    if let Some(us) = period {
        files::write(dir, "cpu.cfs_period_us", &us.to_string())?;
    }
    match burst {
        Some(us) => files::write(dir, "cpu.cfs_burst_us", &us.to_string()),
        None => Ok(()),
    }
}
