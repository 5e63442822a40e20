//! `update`: other limits for a container that runs.

use std::io::Read;

use anyhow::{Context, bail};
use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};

use super::id_of;
use crate::cli::{Args, Flag, Global, option};
use crate::config::load;
use crate::container::status::Status;
use crate::container::store::Entry;
use crate::error::Refusal;

pub(super) const FLAGS: &[Flag] = &[
    option("resources", "FILE", "path to the file with the resources to update, or - for stdin").short("r"),
    option("blkio-weight", "N", "per cgroup io weight"),
    option("cpu-period", "US", "CPU CFS period to be used for hardcapping"),
    option("cpu-quota", "US", "CPU CFS hardcap limit"),
    option("cpu-burst", "US", "CPU CFS hardcap burst limit"),
    option("cpu-share", "N", "CPU shares (relative weight vs. other containers)"),
    option("cpu-rt-period", "US", "CPU realtime period to be used for hardcapping"),
    option("cpu-rt-runtime", "US", "CPU realtime hardcap limit"),
    option("cpuset-cpus", "LIST", "CPU(s) to use"),
    option("cpuset-mems", "LIST", "memory node(s) to use"),
    option("cpu-idle", "N", "set the cgroup to SCHED_IDLE (1) or not (0)"),
    option("kernel-memory", "BYTES", "obsolete, ignored"),
    option("kernel-memory-tcp", "BYTES", "obsolete, ignored"),
    option("memory", "BYTES", "memory limit"),
    option("memory-reservation", "BYTES", "memory reservation or soft limit"),
    option("memory-swap", "BYTES", "total memory usage (memory + swap); -1 for unlimited swap"),
    option("pids-limit", "N", "maximum number of pids"),
    option("l3-cache-schema", "TEXT", "Intel RDT/CAT schema, refused: not supported"),
    option("mem-bw-schema", "TEXT", "Intel RDT/MBA schema, refused: not supported"),
];

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<i32> {
    let entry = Entry::open(&global.root, &id_of(args, "update")?)?;
    if args.text("l3-cache-schema")?.is_some() {
        bail!("Intel RDT/CAT: l3 cache schema is not enabled");
    }
    if args.text("mem-bw-schema")?.is_some() {
        bail!("Intel RDT/MBA: memory bandwidth schema is not enabled");
    }
    let resources: LinuxResources = match args.path("resources") {
        Some(path) if path.as_os_str() == "-" => {
            let mut text = Vec::new();
            std::io::stdin().take(1 << 20).read_to_end(&mut text).context("read stdin")?;
            serde_json::from_slice(&text).context("parse the resources")?
        }
        Some(path) => {
            let bytes = load::read(&path)?;
            serde_json::from_slice(&bytes).with_context(|| format!("parse {}", path.display()))?
        }
        None => serde_json::from_value(from_flags(args)?).context("read the limits")?,
    };
    entry.lock()?;
    let state = entry.read()?;
    if Status::of(&entry, &state) == Status::Stopped {
        return Err(Refusal::NotRunning.into());
    }
    state.cgroup.update(&resources)?;
    Ok(0)
}

/// The spec's document of what the flags say.
fn from_flags(args: &Args) -> anyhow::Result<Value> {
    let mut memory = Map::new();
    for (flag, key) in [("memory", "limit"), ("memory-reservation", "reservation"), ("memory-swap", "swap")] {
        if let Some(text) = args.text(flag)? {
            memory.insert(key.into(), bytes(flag, text)?.into());
        }
    }
    let mut cpu = Map::new();
    for (flag, key) in [
        ("cpu-period", "period"),
        ("cpu-quota", "quota"),
        ("cpu-burst", "burst"),
        ("cpu-share", "shares"),
        ("cpu-rt-period", "realtimePeriod"),
        ("cpu-rt-runtime", "realtimeRuntime"),
        ("cpu-idle", "idle"),
    ] {
        if let Some(number) = args.number::<i64>(flag)? {
            cpu.insert(key.into(), number.into());
        }
    }
    for (flag, key) in [("cpuset-cpus", "cpus"), ("cpuset-mems", "mems")] {
        if let Some(text) = args.text(flag)? {
            cpu.insert(key.into(), text.into());
        }
    }
    let mut all = Map::new();
    if !memory.is_empty() {
        all.insert("memory".into(), memory.into());
    }
    if !cpu.is_empty() {
        all.insert("cpu".into(), cpu.into());
    }
    if let Some(limit) = args.number::<i64>("pids-limit")? {
        all.insert("pids".into(), json!({"limit": limit}));
    }
    if let Some(weight) = args.number::<u16>("blkio-weight")? {
        all.insert("blockIO".into(), json!({"weight": weight}));
    }
    Ok(Value::Object(all))
}

/// `-1`, or bytes with an optional unit of 1024.
fn bytes(flag: &str, text: &str) -> anyhow::Result<i64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match &lower[digits.len()..] {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => bail!("invalid value for {flag}: {text}"),
    };
    let number = digits.parse::<i64>().with_context(|| format!("invalid value for {flag}: {text}"))?;
    number.checked_mul(1 << shift).with_context(|| format!("invalid value for {flag}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("m", "64M").unwrap(), 64 << 20);
        assert_eq!(bytes("m", "-1").unwrap(), -1);
        assert_eq!(bytes("m", "123").unwrap(), 123);
        for bad in ["", "x", "1q", "9999999999t"] {
            assert!(bytes("m", bad).is_err(), "{bad}");
        }
    }
}
