//! Counters as `events` tells them: runc's document, the same for either version of cgroups.

use cgroups::{BlkioEntry, MemoryUsage, Stats, StatsV1, StatsV2};
use serde_json::{Map, Value, json};

/// The `data` of an event of type `stats`.
pub(crate) fn document(stats: &Stats) -> Value {
    let mut document = match stats {
        Stats::V1(stats) => of_v1(stats),
        Stats::V2(stats) => of_v2(stats),
    };
    document["intel_rdt"] = json!({});
    // Of interfaces that the runtime made itself: it makes none.
    document["network_interfaces"] = Value::Null;
    document
}

/// Without the entries that are 0, as callers are used to.
fn nonzero<const N: usize>(entries: [(&str, u64); N]) -> Map<String, Value> {
    entries.into_iter().filter(|(_, v)| *v != 0).map(|(k, v)| (k.to_owned(), v.into())).collect()
}

fn memory_entry(usage: MemoryUsage) -> Value {
    let mut entry = nonzero([("usage", usage.usage), ("max", usage.max)]);
    entry.insert("limit".into(), usage.limit.into());
    entry.insert("failcnt".into(), usage.failcnt.into());
    entry.into()
}

fn throttling(periods: u64, throttled: u64, nanoseconds: u64) -> Value {
    nonzero([("periods", periods), ("throttledPeriods", throttled), ("throttledTime", nanoseconds)]).into()
}

fn raw(stat: &[(String, u64)]) -> Value {
    stat.iter().map(|(k, v)| (k.clone(), Value::from(*v))).collect::<Map<_, _>>().into()
}

fn huge(current: u64, max: u64, failcnt: u64) -> Value {
    let mut entry = nonzero([("usage", current), ("max", max)]);
    entry.insert("failcnt".into(), failcnt.into());
    entry.into()
}

fn of_v1(stats: &StatsV1) -> Value {
    let (total, kernel, user) = stats.cpu_usage.unwrap_or_default();
    let mut usage = nonzero([("total", total)]);
    usage.extend([("kernel".to_owned(), kernel.into()), ("user".to_owned(), user.into())]);
    if !stats.cpu_per_cpu.is_empty() {
        usage.insert("percpu".into(), stats.cpu_per_cpu.clone().into());
    }
    let t = stats.throttling.unwrap_or_default();
    let mut memory = nonzero([("cache", stats.memory_key("cache"))]);
    for (name, entry) in [
        ("usage", stats.memory),
        ("swap", stats.memory_swap),
        ("kernel", stats.memory_kernel),
        ("kernelTCP", stats.memory_kernel_tcp),
    ] {
        memory.insert(name.into(), memory_entry(entry));
    }
    memory.insert("raw".into(), raw(stats.memory_stat.as_deref().unwrap_or_default()));
    let (current, limit) = stats.pids.unwrap_or_default();
    let sizes = stats.hugetlb.iter().map(|h| (h.pagesize.clone(), huge(h.usage, h.max, h.failcnt)));
    json!({
        "cpu": {"usage": usage, "throttling": throttling(t.periods, t.throttled_periods, t.throttled_time)},
        "memory": memory,
        "pids": nonzero([("current", current), ("limit", limit)]),
        "blkio": blkio(&stats.io_service_bytes, &stats.io_serviced),
        "hugetlb": sizes.collect::<Map<_, _>>(),
    })
}

fn of_v2(stats: &StatsV2) -> Value {
    let nanoseconds = |key: &str| stats.cpu_key(key) * 1_000;
    let mut usage = nonzero([("total", nanoseconds("usage_usec"))]);
    usage.insert("kernel".into(), nanoseconds("system_usec").into());
    usage.insert("user".into(), nanoseconds("user_usec").into());
    let throttled =
        throttling(stats.cpu_key("nr_periods"), stats.cpu_key("nr_throttled"), nanoseconds("throttled_usec"));
    let events = stats.memory_events.unwrap_or_default();
    let own = MemoryUsage {
        limit: stats.memory_limit,
        usage: stats.memory_usage,
        max: stats.memory_peak,
        failcnt: events.max,
    };
    // With memory, as v1 counts it and callers expect it.
    let swap = MemoryUsage {
        limit: stats.swap_limit.saturating_add(stats.memory_limit),
        usage: stats.swap_usage.saturating_add(stats.memory_usage),
        ..MemoryUsage::default()
    };
    let mut memory = nonzero([("cache", stats.memory_key("file"))]);
    for (name, entry) in [
        ("usage", own),
        ("swap", swap),
        ("kernel", MemoryUsage::default()),
        ("kernelTCP", MemoryUsage::default()),
    ] {
        memory.insert(name.into(), memory_entry(entry));
    }
    memory.insert("raw".into(), raw(&stats.memory_stat));
    let entry = |major, minor, op: &str, value| BlkioEntry { major, minor, op: op.to_owned(), value };
    let (mut bytes, mut operations) = (Vec::new(), Vec::new());
    for io in &stats.io {
        bytes.extend([
            entry(io.major, io.minor, "Read", io.rbytes),
            entry(io.major, io.minor, "Write", io.wbytes),
        ]);
        operations.extend([
            entry(io.major, io.minor, "Read", io.rios),
            entry(io.major, io.minor, "Write", io.wios),
        ]);
    }
    let (current, limit) = stats.pids.unwrap_or_default();
    let limit = if limit == u64::MAX { 0 } else { limit };
    let bound = |max: u64| if max == u64::MAX { 0 } else { max };
    let sizes = stats.hugetlb.iter().map(|h| (h.pagesize.clone(), huge(h.current, bound(h.max), h.failcnt)));
    json!({
        "cpu": {"usage": usage, "throttling": throttled},
        "memory": memory,
        "pids": nonzero([("current", current), ("limit", limit)]),
        "blkio": blkio(&bytes, &operations),
        "hugetlb": sizes.collect::<Map<_, _>>(),
    })
}

fn blkio(bytes: &[BlkioEntry], operations: &[BlkioEntry]) -> Value {
    let entry = |e: &BlkioEntry| {
        let mut entry = nonzero([("major", e.major), ("minor", e.minor), ("value", e.value)]);
        entry.insert("op".into(), e.op.clone().into());
        Value::from(entry)
    };
    let lists = [("ioServiceBytesRecursive", bytes), ("ioServicedRecursive", operations)];
    let filled = lists.into_iter().filter(|(_, list)| !list.is_empty());
    filled
        .map(|(name, list)| (name.to_owned(), list.iter().map(entry).collect()))
        .collect::<Map<_, _>>()
        .into()
}
