//! What a scope is told: limits, devices and annotations as properties of the unit. Pure, but for /proc/devices.
//!
//! Limits are written to the cgroup's files as well; systemd must know them since it writes its own values again
//! when it is reloaded.

use std::collections::BTreeMap;

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};

use super::Unit;
use super::wire::Value;
use crate::devices::{Exception, Kind, MKNOD, Policy, READ, WRITE};
use crate::error::{Error, Result};
use crate::resources::{blkio_to_io_weight, shares_to_weight, swap_alone};

pub(super) type Property = (String, Value);

const ANNOTATION: &str = "org.systemd.property.";

fn property(name: &str, value: Value) -> Property {
    (name.to_owned(), value)
}

/// As the calls take them: `a(sv)`.
pub(super) fn list(properties: Vec<Property>) -> Value {
    let pair = |(name, value)| Value::Struct(vec![Value::Text(name), Value::Variant(Box::new(value))]);
    Value::Array("(sv)".into(), properties.into_iter().map(pair).collect())
}

/// The scope is its container's to divide; what systemd counts is what it also hands down.
pub(super) fn basic(unit: &Unit, pid: i32) -> Vec<Property> {
    let description = format!("libcontainer container {}", unit.name.trim_end_matches(".scope"));
    let mut all = vec![
        property("Description", Value::Text(description)),
        property("Slice", Value::text(&unit.slice)),
        property("Delegate", Value::Bool(true)),
        property("PIDs", Value::Array("u".into(), vec![Value::U32(pid.unsigned_abs())])),
        property("DefaultDependencies", Value::Bool(false)),
    ];
    let accounting = ["CPUAccounting", "MemoryAccounting", "IOAccounting", "TasksAccounting"];
    all.extend(accounting.map(|name| property(name, Value::Bool(true))));
    all
}

pub(super) fn of_resources(resources: &LinuxResources) -> Result<Vec<Property>> {
    let mut all = Vec::new();
    if let Some(memory) = resources.memory() {
        of_memory(memory, &mut all)?;
    }
    if let Some(cpu) = resources.cpu() {
        of_cpu(cpu, &mut all)?;
    }
    if let Some(limit) = resources.pids().map(|p| p.limit()).filter(|l| *l != 0) {
        all.push(property("TasksMax", Value::U64(limited(limit))));
    }
    if let Some(weight) = resources.block_io().as_ref().and_then(LinuxBlockIo::weight).filter(|w| *w != 0) {
        all.push(property("IOWeight", Value::U64(blkio_to_io_weight(weight))));
    }
    for (key, value) in resources.unified().iter().flatten() {
        all.extend(of_unified(key, value.trim())?);
    }
    Ok(all)
}

/// -1 is no limit.
fn limited(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn of_memory(memory: &LinuxMemory, all: &mut Vec<Property>) -> Result<()> {
    for (name, value) in [("MemoryMax", memory.limit()), ("MemoryLow", memory.reservation())] {
        all.extend(value.filter(|v| *v != 0).map(|v| property(name, Value::U64(limited(v)))));
    }
    let swap = swap_alone(memory.swap(), memory.limit())?;
    all.extend(swap.map(|v| property("MemorySwapMax", Value::U64(limited(v)))));
    Ok(())
}

fn of_cpu(cpu: &LinuxCpu, all: &mut Vec<Property>) -> Result<()> {
    let weight = cpu.shares().map_or(0, shares_to_weight);
    if weight != 0 && cpu.idle() != Some(1) {
        all.push(property("CPUWeight", Value::U64(weight)));
    }
    let period = cpu.period().filter(|p| *p != 0);
    if cpu.quota().is_some_and(|q| q != 0) || period.is_some() {
        all.extend(quota(cpu.quota().unwrap_or(0), period));
    }
    for (name, list) in [("AllowedCPUs", cpu.cpus()), ("AllowedMemoryNodes", cpu.mems())] {
        if let Some(list) = list.as_deref().filter(|l| !l.is_empty()) {
            all.push(property(name, mask(list)?));
        }
    }
    Ok(())
}

/// systemd keeps whole percents of a CPU; rounded up, so that it never gives less than was asked for.
fn quota(quota: i64, period: Option<u64>) -> Vec<Property> {
    let per_second = match u64::try_from(quota) {
        Ok(us) if us > 0 => {
            (us.saturating_mul(1_000_000) / period.unwrap_or(100_000)).next_multiple_of(10_000)
        }
        _ => u64::MAX,
    };
    let mut all = vec![property("CPUQuotaPerSecUSec", Value::U64(per_second))];
    all.extend(period.map(|us| property("CPUQuotaPeriodUSec", Value::U64(us))));
    all
}

/// `0-2,5` as bytes, the lowest bit of the first for number 0.
fn mask(list: &str) -> Result<Value> {
    let bad = || Error::invalid("linux.resources.cpu.cpus", format!("{list:?} is no list of numbers"));
    let mut bytes = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) =
            (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
        if first > last || last >= 1 << 16 {
            return Err(bad());
        }
        for number in first..=last {
            bytes.resize(bytes.len().max(number / 8 + 1), 0u8);
            bytes[number / 8] |= 1 << (number % 8);
        }
    }
    Ok(Value::Array("y".into(), bytes.into_iter().map(Value::Byte).collect()))
}

/// Keys that systemd has a word for; the others it leaves alone.
fn of_unified(key: &str, value: &str) -> Result<Vec<Property>> {
    let bad = || Error::invalid("linux.resources.unified", format!("{key}: {value:?} is no value for it"));
    let number = |text: &str| match text {
        "max" => Ok(u64::MAX),
        digits => digits.parse().map_err(|_| bad()),
    };
    let name = match key {
        "memory.max" => "MemoryMax",
        "memory.high" => "MemoryHigh",
        "memory.low" => "MemoryLow",
        "memory.min" => "MemoryMin",
        "memory.swap.max" => "MemorySwapMax",
        "pids.max" => "TasksMax",
        "cpu.weight" => "CPUWeight",
        "cpuset.cpus" => return Ok(vec![property("AllowedCPUs", mask(value)?)]),
        "cpuset.mems" => return Ok(vec![property("AllowedMemoryNodes", mask(value)?)]),
        "cpu.max" => {
            let (us, period) = value.split_once(' ').unwrap_or((value, "100000"));
            let us = i64::try_from(number(us)?).unwrap_or(-1);
            return Ok(quota(us, Some(number(period)?.max(1))));
        }
        _ => return Ok(Vec::new()),
    };
    Ok(vec![property(name, Value::U64(number(value)?))])
}

/// The same devices for systemd, which enforces them with a program of its own. A policy that it has no words for
/// is left to ours.
pub(super) fn of_devices(policy: &Policy) -> Vec<Property> {
    let table = std::fs::read_to_string("/proc/devices").unwrap_or_default();
    let allowed: Option<Vec<Value>> = policy.exceptions.iter().map(|e| device(e, &table)).collect();
    match allowed {
        Some(allowed) if !policy.default_allow => vec![
            property("DevicePolicy", Value::text("strict")),
            property("DeviceAllow", Value::Array("(ss)".into(), allowed)),
        ],
        _ => Vec::new(),
    }
}

fn device(rule: &Exception, table: &str) -> Option<Value> {
    let kind = if rule.kind == Kind::Block { "block" } else { "char" };
    let path = match (rule.major, rule.minor) {
        (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
        (Some(major), None) => format!("{kind}-{}", driver(rule.kind, major, table)?),
        (None, None) => format!("{kind}-*"),
        (None, Some(_)) => return None,
    };
    let bits = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')];
    let access: String = bits.iter().filter(|(bit, _)| rule.access & bit != 0).map(|(_, c)| c).collect();
    Some(Value::Struct(vec![Value::Text(path), Value::Text(access)]))
}

/// The name of a major number in the table of /proc/devices.
fn driver(kind: Kind, major: u32, table: &str) -> Option<&str> {
    let (chars, blocks) = table.split_once("Block devices:")?;
    let part = if kind == Kind::Block { blocks } else { chars };
    let rows = part.lines().filter_map(|line| line.trim().split_once(' '));
    rows.filter(|(number, _)| number.parse() == Ok(major)).map(|(_, name)| name.trim()).next()
}

/// `org.systemd.property.TimeoutStopUSec: "uint64 123"`. Names that end in `Sec` are for people: seconds there,
/// microseconds for systemd.
pub(super) fn of_annotations(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>> {
    let mut all = Vec::new();
    for (key, text) in annotations {
        let Some(name) = key.strip_prefix(ANNOTATION) else { continue };
        let bad = |why: &str| Error::invalid(format!("annotation {key}={text}"), why);
        if name.len() < 3 || !name.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Err(bad("not a name of a property"));
        }
        let value = value(text).ok_or_else(|| bad("not a value in GVariant's text format"))?;
        match name.strip_suffix("USec").is_none().then(|| name.strip_suffix("Sec")).flatten() {
            Some(stem) => {
                let seconds = seconds(&value).ok_or_else(|| bad("not a number of seconds"))?;
                all.push((format!("{stem}USec"), Value::U64(seconds)));
            }
            None => all.push(property(name, value)),
        }
    }
    Ok(all)
}

fn seconds(value: &Value) -> Option<u64> {
    let seconds = match value {
        Value::I32(n) => f64::from(*n),
        Value::U32(n) => f64::from(*n),
        Value::I64(n) => *n as f64,
        Value::U64(n) => *n as f64,
        Value::Double(n) => *n,
        _ => return None,
    };
    (seconds >= 0.0).then_some((seconds * 1e6) as u64)
}

/// GVariant's text format, as far as properties need it: texts, booleans, numbers with or without a type before
/// them, lists of these.
fn value(text: &str) -> Option<Value> {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        let items: Vec<Value> = inner.split(',').map(value).collect::<Option<_>>()?;
        let kind = items.first()?.signature();
        return items.iter().all(|i| i.signature() == kind).then_some(Value::Array(kind, items));
    }
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote) {
            return inner.strip_suffix(quote).filter(|t| !t.contains([quote, '\\'])).map(Value::text);
        }
    }
    match text.split_once(' ') {
        None => match text {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            number => number.parse().map(Value::I32).or_else(|_| number.parse().map(Value::Double)).ok(),
        },
        Some((kind, number)) => {
            let number = number.trim();
            match kind {
                "byte" | "@y" => number.parse().map(Value::Byte).ok(),
                "int32" | "@i" => number.parse().map(Value::I32).ok(),
                "uint32" | "@u" => number.parse().map(Value::U32).ok(),
                "int64" | "@x" => number.parse().map(Value::I64).ok(),
                "uint64" | "@t" => number.parse().map(Value::U64).ok(),
                "double" | "@d" => number.parse().map(Value::Double).ok(),
                "boolean" | "@b" => number.parse().map(Value::Bool).ok(),
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> BTreeMap<String, Value> {
        of_resources(&serde_json::from_str(json).unwrap()).unwrap().into_iter().collect()
    }

    #[test]
    fn limits_become_properties_in_systemds_units() {
        let all = of(r#"{"memory": {"limit": 1000, "swap": 1500, "reservation": 500}, "pids": {"limit": -1},
            "cpu": {"shares": 1024, "quota": 5001, "period": 10000, "cpus": "0-1,9"}, "blockIO": {"weight": 1000}}"#);
        let number = |name: &str| all.get(name).cloned();
        assert_eq!(number("MemoryMax"), Some(Value::U64(1000)));
        assert_eq!(number("MemorySwapMax"), Some(Value::U64(500)));
        assert_eq!(number("MemoryLow"), Some(Value::U64(500)));
        assert_eq!(number("TasksMax"), Some(Value::U64(u64::MAX)));
        assert_eq!(number("CPUWeight"), Some(Value::U64(100)));
        assert_eq!(number("CPUQuotaPerSecUSec"), Some(Value::U64(510_000)), "51 %, rounded up");
        assert_eq!(
            number("AllowedCPUs"),
            Some(Value::Array("y".into(), vec![Value::Byte(3), Value::Byte(2)]))
        );
        assert_eq!(number("IOWeight"), Some(Value::U64(10_000)));
        assert!(of("{}").is_empty());
    }

    #[test]
    fn unified_keys_that_systemd_knows_are_told_too() {
        let all =
            of(r#"{"unified": {"memory.high": "max", "cpu.max": "max 50000", "io.weight": "default 5"}}"#);
        assert_eq!(all["MemoryHigh"], Value::U64(u64::MAX));
        assert_eq!(all["CPUQuotaPerSecUSec"], Value::U64(u64::MAX));
        assert_eq!((all["CPUQuotaPeriodUSec"].clone(), all.len()), (Value::U64(50_000), 3));
    }

    #[test]
    fn annotations_are_read_as_gvariants() {
        let one = |name: &str, text: &str| {
            of_annotations(&BTreeMap::from([(format!("{ANNOTATION}{name}"), text.to_owned())]))
                .map(|mut a| a.remove(0))
        };
        assert_eq!(one("TimeoutStopSec", "1.5").unwrap(), property("TimeoutStopUSec", Value::U64(1_500_000)));
        assert_eq!(one("TimeoutStopUSec", "uint64 7").unwrap(), property("TimeoutStopUSec", Value::U64(7)));
        assert_eq!(one("CollectMode", "'inactive-or-failed'").unwrap().1, Value::text("inactive-or-failed"));
        assert_eq!(one("Wants", "['a.service', \"b.service\"]").unwrap().1.signature(), "as");
        for (name, text) in
            [("X", "1"), ("a-b", "1"), ("Abc", "what"), ("Abc", "uint64 -1"), ("StopSec", "'x'")]
        {
            assert!(one(name, text).is_err(), "{name}={text}");
        }
        assert!(of_annotations(&BTreeMap::from([("other".into(), "?".into())])).unwrap().is_empty());
    }

    #[test]
    fn devices_are_named_as_systemd_names_them() {
        let table = "Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  8 sd\n";
        let rule = |kind, major, minor| {
            device(&Exception { kind, major, minor, access: READ | MKNOD }, table).map(|value| match value {
                Value::Struct(fields) => fields,
                other => vec![other],
            })
        };
        assert_eq!(
            rule(Kind::Char, Some(1), Some(3)).unwrap(),
            [Value::text("/dev/char/1:3"), Value::text("rm")]
        );
        assert_eq!(rule(Kind::Char, Some(136), None).unwrap()[0], Value::text("char-pts"));
        assert_eq!(rule(Kind::Block, None, None).unwrap()[0], Value::text("block-*"));
        assert_eq!(rule(Kind::Block, Some(136), None), None);
    }
}
