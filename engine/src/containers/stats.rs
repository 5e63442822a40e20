//! What a container uses, in docker's shape, from containerd's metrics.

use std::sync::Arc;

use proto::io::containerd::cgroups::{v1, v2};
use proto::typeurl;
use serde_json::{Map, Value, json};

use super::{Container, Containers};
use crate::error::Result;
use crate::timestamp::{NEVER, now, rfc3339};

/// One sample, as JSON without its predecessor.
#[derive(Clone, Debug)]
pub struct Sample {
    read: i64,
    body: Map<String, Value>,
}

impl Containers {
    /// Takes a sample; a container that doesn't run has one of zeros.
    ///
    /// # Errors
    /// containerd can't answer.
    pub async fn sample(&self, container: &Arc<Container>) -> Result<Sample> {
        let mut body = Map::new();
        let state = container.state();
        if state.status.has_process() {
            match self.client.metrics(&container.id).await {
                Ok(metric) => {
                    let data = metric.data.unwrap_or_default();
                    if let Ok(metrics) = typeurl::unpack::<v1::Metrics>(&data) {
                        body = from_v1(&metrics);
                    } else if let Ok(metrics) = typeurl::unpack::<v2::Metrics>(&data) {
                        body = from_v2(&metrics);
                    }
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
            if !matches!(container.read(|record| record.network_mode().to_owned()).as_str(), "host" | "none")
            {
                body.insert("networks".into(), networks(state.pid));
            }
        }
        Ok(Sample { read: now(), body })
    }
}

impl Sample {
    /// The document: this sample, and the one before for rates.
    pub fn document(&self, container: &Container, before: Option<&Self>) -> Value {
        let mut document = Map::new();
        document.insert("name".into(), format!("/{}", container.read(|record| record.name.clone())).into());
        document.insert("id".into(), container.id.clone().into());
        document.insert("read".into(), rfc3339(Some(self.read)).into());
        document.insert(
            "preread".into(),
            before.map_or_else(|| NEVER.to_owned(), |before| rfc3339(Some(before.read))).into(),
        );
        for key in ["pids_stats", "blkio_stats"] {
            document.insert(key.into(), self.body.get(key).cloned().unwrap_or_else(|| json!({})));
        }
        document.insert("num_procs".into(), 0.into());
        document.insert("storage_stats".into(), json!({}));
        let cpu = |sample: Option<&Self>| {
            sample.and_then(|sample| sample.body.get("cpu_stats").cloned()).unwrap_or_else(no_cpu)
        };
        document.insert("cpu_stats".into(), cpu(Some(self)));
        document.insert("precpu_stats".into(), cpu(before));
        document.insert(
            "memory_stats".into(),
            self.body.get("memory_stats").cloned().unwrap_or_else(|| json!({})),
        );
        if let Some(networks) = self.body.get("networks") {
            document.insert("networks".into(), networks.clone());
        }
        Value::Object(document)
    }
}

fn no_cpu() -> Value {
    json!({
        "cpu_usage": { "total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0 },
        "throttling_data": { "periods": 0, "throttled_periods": 0, "throttled_time": 0 },
    })
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The host's processor time so far, in nanoseconds: all but guests' and stolen.
fn system_cpu() -> u64 {
    const TICK: u64 = 10_000_000;
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    line.split_whitespace().skip(1).take(7).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * TICK
}

fn host_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("MemTotal:"));
    line.and_then(|line| line.split_whitespace().nth(1))
        .and_then(|number| number.parse::<u64>().ok())
        .unwrap_or_default()
        * 1024
}

fn limit(limit: u64) -> u64 {
    let host = host_memory();
    if limit == 0 || limit > host { host } else { limit }
}

fn pids(current: u64, limit: u64) -> Value {
    if limit == 0 || limit == u64::MAX {
        json!({ "current": current, "limit": 18_446_744_073_709_551_615u64 })
    } else {
        json!({ "current": current, "limit": limit })
    }
}

fn from_v1(metrics: &v1::Metrics) -> Map<String, Value> {
    let mut body = Map::new();
    if let Some(stat) = &metrics.pids {
        body.insert("pids_stats".into(), pids(stat.current, stat.limit));
    }
    if let Some(cpu) = &metrics.cpu {
        let usage = cpu.usage.clone().unwrap_or_default();
        let throttling = cpu.throttling.unwrap_or_default();
        body.insert("cpu_stats".into(), json!({
            "cpu_usage": { "total_usage": usage.total, "percpu_usage": usage.per_cpu, "usage_in_kernelmode": usage.kernel, "usage_in_usermode": usage.user },
            "system_cpu_usage": system_cpu(),
            "online_cpus": cpus(),
            "throttling_data": { "periods": throttling.periods, "throttled_periods": throttling.throttled_periods, "throttled_time": throttling.throttled_time },
        }));
    }
    if let Some(memory) = &metrics.memory {
        let usage = memory.usage.unwrap_or_default();
        body.insert("memory_stats".into(), json!({
            "usage": usage.usage, "max_usage": usage.max, "failcnt": usage.failcnt, "limit": limit(usage.limit),
            "stats": {
                "cache": memory.cache, "rss": memory.rss, "rss_huge": memory.rss_huge, "mapped_file": memory.mapped_file, "dirty": memory.dirty,
                "writeback": memory.writeback, "pgfault": memory.pg_fault, "pgmajfault": memory.pg_maj_fault, "pgpgin": memory.pg_pg_in,
                "pgpgout": memory.pg_pg_out, "inactive_anon": memory.inactive_anon, "active_anon": memory.active_anon,
                "inactive_file": memory.inactive_file, "active_file": memory.active_file, "unevictable": memory.unevictable,
                "hierarchical_memory_limit": memory.hierarchical_memory_limit, "total_cache": memory.total_cache, "total_rss": memory.total_rss,
                "total_inactive_anon": memory.total_inactive_anon, "total_active_anon": memory.total_active_anon,
                "total_inactive_file": memory.total_inactive_file, "total_active_file": memory.total_active_file,
            },
        }));
    }
    let rows = |entries: &[v1::BlkIoEntry]| -> Vec<Value> {
        entries.iter().map(|entry| json!({ "major": entry.major, "minor": entry.minor, "op": entry.op, "value": entry.value })).collect()
    };
    let block = metrics.blkio.clone().unwrap_or_default();
    body.insert("blkio_stats".into(), json!({
        "io_service_bytes_recursive": rows(&block.io_service_bytes_recursive), "io_serviced_recursive": rows(&block.io_serviced_recursive),
        "io_queue_recursive": rows(&block.io_queued_recursive), "io_service_time_recursive": rows(&block.io_service_time_recursive),
        "io_wait_time_recursive": rows(&block.io_wait_time_recursive), "io_merged_recursive": rows(&block.io_merged_recursive),
        "io_time_recursive": rows(&block.io_time_recursive), "sectors_recursive": rows(&block.sectors_recursive),
    }));
    body
}

fn from_v2(metrics: &v2::Metrics) -> Map<String, Value> {
    let mut body = Map::new();
    if let Some(stat) = &metrics.pids {
        body.insert("pids_stats".into(), pids(stat.current, stat.limit));
    }
    if let Some(cpu) = &metrics.cpu {
        body.insert("cpu_stats".into(), json!({
            "cpu_usage": { "total_usage": cpu.usage_usec * 1000, "usage_in_kernelmode": cpu.system_usec * 1000, "usage_in_usermode": cpu.user_usec * 1000 },
            "system_cpu_usage": system_cpu(),
            "online_cpus": cpus(),
            "throttling_data": { "periods": cpu.nr_periods, "throttled_periods": cpu.nr_throttled, "throttled_time": cpu.throttled_usec * 1000 },
        }));
    }
    if let Some(memory) = &metrics.memory {
        body.insert("memory_stats".into(), json!({
            "usage": memory.usage, "limit": limit(memory.usage_limit),
            "stats": {
                "anon": memory.anon, "file": memory.file, "kernel_stack": memory.kernel_stack, "slab": memory.slab, "sock": memory.sock,
                "shmem": memory.shmem, "file_mapped": memory.file_mapped, "file_dirty": memory.file_dirty, "file_writeback": memory.file_writeback,
                "inactive_anon": memory.inactive_anon, "active_anon": memory.active_anon, "inactive_file": memory.inactive_file,
                "active_file": memory.active_file, "unevictable": memory.unevictable, "pgfault": memory.pgfault, "pgmajfault": memory.pgmajfault,
            },
        }));
    }
    let mut rows = Vec::new();
    for entry in metrics.io.iter().flat_map(|io| &io.usage) {
        for (op, value) in [("read", entry.rbytes), ("write", entry.wbytes)] {
            rows.push(json!({ "major": entry.major, "minor": entry.minor, "op": op, "value": value }));
        }
    }
    body.insert("blkio_stats".into(), json!({
        "io_service_bytes_recursive": rows, "io_serviced_recursive": null, "io_queue_recursive": null, "io_service_time_recursive": null,
        "io_wait_time_recursive": null, "io_merged_recursive": null, "io_time_recursive": null, "sectors_recursive": null,
    }));
    body
}

/// The interfaces of a process' network namespace, without `lo`.
fn networks(pid: u32) -> Value {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let mut all = Map::new();
    for line in text.lines().skip(2) {
        let Some((name, numbers)) = line.split_once(':') else { continue };
        let name = name.trim();
        let numbers: Vec<u64> = numbers.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        if name == "lo" || numbers.len() < 12 {
            continue;
        }
        all.insert(name.to_owned(), json!({
            "rx_bytes": numbers[0], "rx_packets": numbers[1], "rx_errors": numbers[2], "rx_dropped": numbers[3],
            "tx_bytes": numbers[8], "tx_packets": numbers[9], "tx_errors": numbers[10], "tx_dropped": numbers[11],
        }));
    }
    Value::Object(all)
}
