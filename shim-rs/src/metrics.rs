//! Counters in containerd's messages.

use cgroups::{BlkioEntry, MemoryUsage, Stats, StatsV1, StatsV2};
use prost_types::Any;
use proto::io::containerd::cgroups::{v1, v2};
use proto::typeurl;

/// The message of the cgroup version that the counters come from.
pub(crate) fn pack(stats: &Stats) -> Any {
    match stats {
        Stats::V1(stats) => typeurl::pack(&of_v1(stats)),
        Stats::V2(stats) => typeurl::pack(&of_v2(stats)),
    }
}

fn of_v1(stats: &StatsV1) -> v1::Metrics {
    let (total, kernel, user) = stats.cpu_usage.unwrap_or_default();
    let usage = v1::CpuUsage { total, kernel, user, per_cpu: stats.cpu_per_cpu.clone() };
    let throttling = stats.throttling.map(|t| v1::Throttle {
        periods: t.periods,
        throttled_periods: t.throttled_periods,
        throttled_time: t.throttled_time,
    });
    let entries = |entries: &[BlkioEntry]| -> Vec<v1::BlkIoEntry> {
        let entry = |e: &BlkioEntry| v1::BlkIoEntry {
            op: e.op.clone(),
            device: String::new(),
            major: e.major,
            minor: e.minor,
            value: e.value,
        };
        entries.iter().map(entry).collect()
    };
    v1::Metrics {
        hugetlb: stats
            .hugetlb
            .iter()
            .map(|h| v1::HugetlbStat {
                usage: h.usage,
                max: h.max,
                failcnt: h.failcnt,
                pagesize: h.pagesize.clone(),
            })
            .collect(),
        pids: stats.pids.map(|(current, limit)| v1::PidsStat { current, limit }),
        cpu: stats.cpu_usage.map(|_| v1::CpuStat { usage: Some(usage), throttling }),
        memory: stats.memory_stat.as_ref().map(|_| memory_v1(stats)),
        blkio: Some(v1::BlkIoStat {
            io_service_bytes_recursive: entries(&stats.io_service_bytes),
            io_serviced_recursive: entries(&stats.io_serviced),
            ..Default::default()
        }),
        memory_oom_control: stats.oom.map(|(oom_kill_disable, under_oom, oom_kill)| v1::MemoryOomControl {
            oom_kill_disable,
            under_oom,
            oom_kill,
        }),
        ..Default::default()
    }
}

fn memory_v1(stats: &StatsV1) -> v1::MemoryStat {
    let key = |name| stats.memory_key(name);
    let entry = |m: &MemoryUsage| {
        Some(v1::MemoryEntry { limit: m.limit, usage: m.usage, max: m.max, failcnt: m.failcnt })
    };
    v1::MemoryStat {
        cache: key("cache"),
        rss: key("rss"),
        rss_huge: key("rss_huge"),
        mapped_file: key("mapped_file"),
        dirty: key("dirty"),
        writeback: key("writeback"),
        pg_pg_in: key("pgpgin"),
        pg_pg_out: key("pgpgout"),
        pg_fault: key("pgfault"),
        pg_maj_fault: key("pgmajfault"),
        inactive_anon: key("inactive_anon"),
        active_anon: key("active_anon"),
        inactive_file: key("inactive_file"),
        active_file: key("active_file"),
        unevictable: key("unevictable"),
        hierarchical_memory_limit: key("hierarchical_memory_limit"),
        hierarchical_swap_limit: key("hierarchical_memsw_limit"),
        total_cache: key("total_cache"),
        total_rss: key("total_rss"),
        total_rss_huge: key("total_rss_huge"),
        total_mapped_file: key("total_mapped_file"),
        total_dirty: key("total_dirty"),
        total_writeback: key("total_writeback"),
        total_pg_pg_in: key("total_pgpgin"),
        total_pg_pg_out: key("total_pgpgout"),
        total_pg_fault: key("total_pgfault"),
        total_pg_maj_fault: key("total_pgmajfault"),
        total_inactive_anon: key("total_inactive_anon"),
        total_active_anon: key("total_active_anon"),
        total_inactive_file: key("total_inactive_file"),
        total_active_file: key("total_active_file"),
        total_unevictable: key("total_unevictable"),
        usage: entry(&stats.memory),
        swap: entry(&stats.memory_swap),
        kernel: entry(&stats.memory_kernel),
        kernel_tcp: entry(&stats.memory_kernel_tcp),
    }
}

fn of_v2(stats: &StatsV2) -> v2::Metrics {
    let cpu = |name| stats.cpu_key(name);
    v2::Metrics {
        pids: stats.pids.map(|(current, limit)| v2::PidsStat { current, limit }),
        cpu: Some(v2::CpuStat {
            usage_usec: cpu("usage_usec"),
            user_usec: cpu("user_usec"),
            system_usec: cpu("system_usec"),
            nr_periods: cpu("nr_periods"),
            nr_throttled: cpu("nr_throttled"),
            throttled_usec: cpu("throttled_usec"),
            nr_bursts: cpu("nr_bursts"),
            burst_usec: cpu("burst_usec"),
            psi: None,
        }),
        memory: Some(memory_v2(stats)),
        io: Some(v2::IoStat {
            usage: stats
                .io
                .iter()
                .map(|e| v2::IoEntry {
                    major: e.major,
                    minor: e.minor,
                    rbytes: e.rbytes,
                    wbytes: e.wbytes,
                    rios: e.rios,
                    wios: e.wios,
                })
                .collect(),
            psi: None,
        }),
        hugetlb: stats
            .hugetlb
            .iter()
            .map(|h| v2::HugeTlbStat {
                current: h.current,
                max: h.max,
                pagesize: h.pagesize.clone(),
                failcnt: h.failcnt,
            })
            .collect(),
        memory_events: stats.memory_events.map(|e| v2::MemoryEvents {
            low: e.low,
            high: e.high,
            max: e.max,
            oom: e.oom,
            oom_kill: e.oom_kill,
            oom_group_kill: e.oom_group_kill,
        }),
        ..Default::default()
    }
}

fn memory_v2(stats: &StatsV2) -> v2::MemoryStat {
    let key = |name| stats.memory_key(name);
    v2::MemoryStat {
        anon: key("anon"),
        file: key("file"),
        kernel_stack: key("kernel_stack"),
        slab: key("slab"),
        sock: key("sock"),
        shmem: key("shmem"),
        file_mapped: key("file_mapped"),
        file_dirty: key("file_dirty"),
        file_writeback: key("file_writeback"),
        anon_thp: key("anon_thp"),
        inactive_anon: key("inactive_anon"),
        active_anon: key("active_anon"),
        inactive_file: key("inactive_file"),
        active_file: key("active_file"),
        unevictable: key("unevictable"),
        slab_reclaimable: key("slab_reclaimable"),
        slab_unreclaimable: key("slab_unreclaimable"),
        pgfault: key("pgfault"),
        pgmajfault: key("pgmajfault"),
        workingset_refault: key("workingset_refault"),
        workingset_activate: key("workingset_activate"),
        workingset_nodereclaim: key("workingset_nodereclaim"),
        pgrefill: key("pgrefill"),
        pgscan: key("pgscan"),
        pgsteal: key("pgsteal"),
        pgactivate: key("pgactivate"),
        pgdeactivate: key("pgdeactivate"),
        pglazyfree: key("pglazyfree"),
        pglazyfreed: key("pglazyfreed"),
        thp_fault_alloc: key("thp_fault_alloc"),
        thp_collapse_alloc: key("thp_collapse_alloc"),
        usage: stats.memory_usage,
        usage_limit: stats.memory_limit,
        swap_usage: stats.swap_usage,
        swap_limit: stats.swap_limit,
        max_usage: stats.memory_peak,
        swap_max_usage: stats.swap_peak,
        workingset_refault_anon: key("workingset_refault_anon"),
        workingset_refault_file: key("workingset_refault_file"),
        workingset_activate_anon: key("workingset_activate_anon"),
        workingset_activate_file: key("workingset_activate_file"),
        psi: None,
    }
}
