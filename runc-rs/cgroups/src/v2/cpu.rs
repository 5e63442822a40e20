//! cpu.* and cpuset.*.

use std::path::Path;

use oci_spec::runtime::{LinuxCpu, LinuxResources};

use crate::error::{Error, Result};
use crate::files;
use crate::resources::shares_to_weight;
use crate::v2::write_setting;

/// `cpu.max` holds quota and period: of the two the one that isn't given is taken from there.
pub(crate) fn complete(dir: &Path, resources: &mut LinuxResources) -> Result<()> {
    let Some(cpu) = resources.cpu().clone() else { return Ok(()) };
    let (quota, period) = (cpu.quota().filter(|v| *v != 0), cpu.period().filter(|v| *v != 0));
    if quota.is_some() == period.is_some() {
        return Ok(());
    }
    let text = files::read_optional(dir, "cpu.max")?.unwrap_or_default();
    let Some((us, length)) = text.trim().split_once(' ') else { return Ok(()) };
    let mut cpu = cpu;
    cpu.set_quota(quota.or_else(|| us.parse().ok()));
    cpu.set_period(period.or_else(|| length.parse().ok()));
    resources.set_cpu(Some(cpu));
    Ok(())
}

pub(crate) fn apply(dir: &Path, cpu: &LinuxCpu) -> Result<()> {
    for (file, value) in [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())] {
        if let Some(value) = value.as_deref().filter(|v| !v.is_empty()) {
            write_setting(dir, file, value, "linux.resources.cpu.cpus")?;
        }
    }
    if cpu.realtime_runtime().is_some_and(|v| v != 0) || cpu.realtime_period().is_some_and(|v| v != 0) {
        let reason = "real-time limits don't exist on cgroup v2";
        return Err(Error::invalid("linux.resources.cpu.realtimeRuntime", reason));
    }
    if let Some(idle) = cpu.idle() {
        write_setting(dir, "cpu.idle", &idle.to_string(), "linux.resources.cpu.idle")?;
    }
    // An idle group has the lowest weight by itself and refuses another.
    let weight = cpu.shares().map_or(0, shares_to_weight);
    if weight != 0 && cpu.idle() != Some(1) {
        write_setting(dir, "cpu.weight", &weight.to_string(), "linux.resources.cpu.shares")?;
    }
    let (quota, period) = (cpu.quota().filter(|v| *v != 0), cpu.period().filter(|v| *v != 0));
    // A burst may not exceed the quota in force: the old burst goes first, the new one last.
    let burst = cpu.burst();
    let clashed = match burst {
        Some(us) => write_setting(dir, "cpu.max.burst", &us.to_string(), "linux.resources.cpu.burst").err(),
        None => None,
    };
    if let Some(e) = clashed
        && (e.errno() != Some(libc::EINVAL) || quota.is_none())
    {
        return Err(e);
    }
    if quota.is_some() || period.is_some() {
        let mut line = match quota {
            Some(us) if us > 0 => us.to_string(),
            _ => "max".to_owned(),
        };
        if let Some(us) = period {
            line.push_str(&format!(" {us}"));
        }
        write_setting(dir, "cpu.max", &line, "linux.resources.cpu.quota")?;
    }
    match burst {
        Some(us) => write_setting(dir, "cpu.max.burst", &us.to_string(), "linux.resources.cpu.burst"),
        None => Ok(()),
    }
}
