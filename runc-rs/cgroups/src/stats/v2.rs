//! v2: everything in one directory. A file that is not there counts as zero.

use std::fs;
use std::path::Path;

use crate::error::Result;
use crate::files::{keyed, lookup, read_number, read_optional};

/// `io.containerd.cgroups.v2.Metrics`. Times in microseconds, sizes in bytes; no limit is `u64::MAX`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StatsV2 {
    /// pids.current and pids.max.
    pub pids: Option<(u64, u64)>,
    /// cpu.stat: the kernel's keys (`usage_usec`, …).
    pub cpu_stat: Vec<(String, u64)>,
    /// memory.stat: the kernel's keys; empty without the memory controller.
    pub memory_stat: Vec<(String, u64)>,
    /// memory.current.
    pub memory_usage: u64,
    /// memory.max.
    pub memory_limit: u64,
    /// memory.peak.
    pub memory_peak: u64,
    /// memory.swap.current.
    pub swap_usage: u64,
    /// memory.swap.max.
    pub swap_limit: u64,
    /// memory.swap.peak.
    pub swap_peak: u64,
    /// memory.events.
    pub memory_events: Option<MemoryEvents>,
    /// io.stat, one entry a device.
    pub io: Vec<IoEntry>,
    /// Huge pages, one entry a page size.
    pub hugetlb: Vec<HugetlbV2>,
}

impl StatsV2 {
    /// A value of cpu.stat by the kernel's name, else 0.
    pub fn cpu_key(&self, key: &str) -> u64 {
        self.cpu_stat.iter().find(|(k, _)| k == key).map_or(0, |(_, v)| *v)
    }

    /// A value of memory.stat by the kernel's name, else 0.
    pub fn memory_key(&self, key: &str) -> u64 {
        self.memory_stat.iter().find(|(k, _)| k == key).map_or(0, |(_, v)| *v)
    }
}

/// memory.events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the kernel's own names")]
pub struct MemoryEvents {
    pub low: u64,
    pub high: u64,
    pub max: u64,
    pub oom: u64,
    pub oom_kill: u64,
    pub oom_group_kill: u64,
}

/// A line of io.stat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the kernel's own names")]
pub struct IoEntry {
    pub major: u64,
    pub minor: u64,
    pub rbytes: u64,
    pub wbytes: u64,
    pub rios: u64,
    pub wios: u64,
}

/// Huge pages of one size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HugetlbV2 {
    /// `2MB`, `1GB`, ….
    pub pagesize: String,
    /// Now.
    pub current: u64,
    /// Bound.
    pub max: u64,
    /// How often the bound was hit.
    pub failcnt: u64,
}

pub(crate) fn read(dir: &Path) -> Result<StatsV2> {
    let owned = |text: Option<String>| -> Vec<(String, u64)> {
        keyed(&text.unwrap_or_default()).map(|(k, v)| (k.to_owned(), v)).collect()
    };
    let mut stats = StatsV2 {
        cpu_stat: owned(read_optional(dir, "cpu.stat")?),
        memory_stat: owned(read_optional(dir, "memory.stat")?),
        memory_usage: read_number(dir, "memory.current")?,
        memory_limit: read_number(dir, "memory.max")?,
        memory_peak: read_number(dir, "memory.peak")?,
        swap_usage: read_number(dir, "memory.swap.current")?,
        swap_limit: read_number(dir, "memory.swap.max")?,
        swap_peak: read_number(dir, "memory.swap.peak")?,
        ..StatsV2::default()
    };
    if let Some(current) = read_optional(dir, "pids.current")? {
        stats.pids = Some((current.trim().parse().unwrap_or(0), read_number(dir, "pids.max")?));
    }
    stats.memory_events = read_optional(dir, "memory.events")?.map(|text| MemoryEvents {
        low: lookup(&text, "low"),
        high: lookup(&text, "high"),
        max: lookup(&text, "max"),
        oom: lookup(&text, "oom"),
        oom_kill: lookup(&text, "oom_kill"),
        oom_group_kill: lookup(&text, "oom_group_kill"),
    });
    stats.io = read_optional(dir, "io.stat")?.unwrap_or_default().lines().filter_map(io_line).collect();
    for pagesize in page_sizes(dir, ".current") {
        let events = read_optional(dir, &format!("hugetlb.{pagesize}.events"))?.unwrap_or_default();
        stats.hugetlb.push(HugetlbV2 {
            current: read_number(dir, &format!("hugetlb.{pagesize}.current"))?,
            max: read_number(dir, &format!("hugetlb.{pagesize}.max"))?,
            failcnt: lookup(&events, "max"),
            pagesize,
        });
    }
    Ok(stats)
}

fn io_line(line: &str) -> Option<IoEntry> {
    let mut words = line.split_whitespace();
    let (major, minor) = words.next()?.split_once(':')?;
    let mut entry = IoEntry { major: major.parse().ok()?, minor: minor.parse().ok()?, ..IoEntry::default() };
    for (key, value) in words.filter_map(|w| w.split_once('=')) {
        let value = value.parse().unwrap_or(0);
        match key {
            "rbytes" => entry.rbytes = value,
            "wbytes" => entry.wbytes = value,
            "rios" => entry.rios = value,
            "wios" => entry.wios = value,
            _ => {}
        }
    }
    Some(entry)
}

/// Page sizes for which `hugetlb.SIZE{suffix}` exists.
pub(crate) fn page_sizes(dir: &Path, suffix: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let size = |name: &str| {
        let middle = name.strip_prefix("hugetlb.")?.strip_suffix(suffix)?;
        (!middle.contains('.')).then(|| middle.to_owned())
    };
    let mut sizes: Vec<String> = entries.flatten().filter_map(|e| size(e.file_name().to_str()?)).collect();
    sizes.sort();
    sizes
}
