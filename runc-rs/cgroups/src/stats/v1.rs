//! v1: one set of files per controller. A controller that is not there leaves `None` or an empty list.

use std::path::Path;

use crate::cgroup::Cgroup;
use crate::error::Result;
use crate::files::{keyed, lookup, read_number, read_optional};

/// `io.containerd.cgroups.v1.Metrics`. Times in nanoseconds, sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StatsV1 {
    /// Huge pages, one entry a page size.
    pub hugetlb: Vec<HugetlbV1>,
    /// pids.current and pids.max (0: no limit).
    pub pids: Option<(u64, u64)>,
    /// cpuacct.usage, of it in the kernel, of it in user mode.
    pub cpu_usage: Option<(u64, u64, u64)>,
    /// cpuacct.usage_percpu.
    pub cpu_per_cpu: Vec<u64>,
    /// cpu.stat.
    pub throttling: Option<Throttle>,
    /// memory.stat: the kernel's keys.
    pub memory_stat: Option<Vec<(String, u64)>>,
    /// memory.*.
    pub memory: MemoryUsage,
    /// memory.memsw.*.
    pub memory_swap: MemoryUsage,
    /// memory.kmem.*.
    pub memory_kernel: MemoryUsage,
    /// memory.kmem.tcp.*.
    pub memory_kernel_tcp: MemoryUsage,
    /// memory.oom_control: oom_kill_disable, under_oom, oom_kill.
    pub oom: Option<(u64, u64, u64)>,
    /// blkio.*: io_service_bytes_recursive.
    pub io_service_bytes: Vec<BlkioEntry>,
    /// blkio.*: io_serviced_recursive.
    pub io_serviced: Vec<BlkioEntry>,
}

impl StatsV1 {
    /// A value of memory.stat by the kernel's name, else 0.
    pub fn memory_key(&self, key: &str) -> u64 {
        let found = self.memory_stat.iter().flatten().find(|(k, _)| k == key);
        found.map_or(0, |(_, v)| *v)
    }
}

/// cpu.stat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Throttle {
    /// Enforcement periods that have passed.
    pub periods: u64,
    /// In how many of them the group was throttled.
    pub throttled_periods: u64,
    /// For how long, in nanoseconds.
    pub throttled_time: u64,
}

/// One of the memory counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// Bound in bytes.
    pub limit: u64,
    /// Now.
    pub usage: u64,
    /// Highest so far.
    pub max: u64,
    /// How often the bound was hit.
    pub failcnt: u64,
}

/// Huge pages of one size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HugetlbV1 {
    /// `2MB`, `1GB`, ….
    pub pagesize: String,
    /// Now.
    pub usage: u64,
    /// Highest so far.
    pub max: u64,
    /// How often the bound was hit.
    pub failcnt: u64,
}

/// A counter of one device and operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlkioEntry {
    /// Device number.
    pub major: u64,
    /// Device number.
    pub minor: u64,
    /// `Read`, `Write`, `Sync`, ….
    pub op: String,
    /// Bytes or operations.
    pub value: u64,
}

pub(crate) fn read(cgroup: &Cgroup) -> Result<StatsV1> {
    let mut stats = StatsV1::default();
    if let Some(dir) = cgroup.controller("pids")
        && let Some(current) = read_optional(dir, "pids.current")?
    {
        let max = read_number(dir, "pids.max")?;
        stats.pids = Some((current.trim().parse().unwrap_or(0), if max == u64::MAX { 0 } else { max }));
    }
    if let Some(dir) = cgroup.controller("cpuacct") {
        let of = |file| read_number(dir, file);
        let total = of("cpuacct.usage")?;
        stats.cpu_usage = Some((total, of("cpuacct.usage_sys")?, of("cpuacct.usage_user")?));
        let per_cpu = read_optional(dir, "cpuacct.usage_percpu")?.unwrap_or_default();
        stats.cpu_per_cpu = per_cpu.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    }
    if let Some(dir) = cgroup.controller("cpu")
        && let Some(text) = read_optional(dir, "cpu.stat")?
    {
        stats.throttling = Some(Throttle {
            periods: lookup(&text, "nr_periods"),
            throttled_periods: lookup(&text, "nr_throttled"),
            throttled_time: lookup(&text, "throttled_time"),
        });
    }
    if let Some(dir) = cgroup.controller("memory") {
        memory(dir, &mut stats)?;
    }
    if let Some(dir) = cgroup.controller("blkio") {
        stats.io_service_bytes = blkio(dir, "io_service_bytes_recursive")?;
        stats.io_serviced = blkio(dir, "io_serviced_recursive")?;
    }
    if let Some(dir) = cgroup.controller("hugetlb") {
        stats.hugetlb = hugetlb(dir)?;
    }
    Ok(stats)
}

fn memory(dir: &Path, stats: &mut StatsV1) -> Result<()> {
    let usage = |prefix: &str| -> Result<MemoryUsage> {
        let of = |name: &str| read_number(dir, &format!("{prefix}.{name}"));
        Ok(MemoryUsage {
            limit: of("limit_in_bytes")?,
            usage: of("usage_in_bytes")?,
            max: of("max_usage_in_bytes")?,
            failcnt: of("failcnt")?,
        })
    };
    stats.memory = usage("memory")?;
    stats.memory_swap = usage("memory.memsw")?;
    stats.memory_kernel = usage("memory.kmem")?;
    stats.memory_kernel_tcp = usage("memory.kmem.tcp")?;
    if let Some(text) = read_optional(dir, "memory.stat")? {
        stats.memory_stat = Some(keyed(&text).map(|(k, v)| (k.to_owned(), v)).collect());
    }
    if let Some(text) = read_optional(dir, "memory.oom_control")? {
        let of = |key| lookup(&text, key);
        stats.oom = Some((of("oom_kill_disable"), of("under_oom"), of("oom_kill")));
    }
    Ok(())
}

/// BFQ counts what it schedules, the throttle layer everything: the first file with content counts.
fn blkio(dir: &Path, name: &str) -> Result<Vec<BlkioEntry>> {
    for prefix in ["blkio.bfq", "blkio", "blkio.throttle"] {
        let text = read_optional(dir, &format!("{prefix}.{name}"))?.unwrap_or_default();
        let entries: Vec<BlkioEntry> = text.lines().filter_map(blkio_line).collect();
        if !entries.is_empty() {
            return Ok(entries);
        }
    }
    Ok(Vec::new())
}

fn blkio_line(line: &str) -> Option<BlkioEntry> {
    let mut words = line.split_whitespace();
    let (major, minor) = words.next()?.split_once(':')?;
    let (op, value) = (words.next()?, words.next()?);
    Some(BlkioEntry {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        op: op.to_owned(),
        value: value.parse().ok()?,
    })
}

fn hugetlb(dir: &Path) -> Result<Vec<HugetlbV1>> {
    let mut found = Vec::new();
    for pagesize in super::v2::page_sizes(dir, ".usage_in_bytes") {
        let of = |name: &str| read_number(dir, &format!("hugetlb.{pagesize}.{name}"));
        let (usage, max, failcnt) = (of("usage_in_bytes")?, of("max_usage_in_bytes")?, of("failcnt")?);
        found.push(HugetlbV1 { pagesize, usage, max, failcnt });
    }
    Ok(found)
}
