//! Devices of the host in a container, and limits on block devices.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use bollard_stubs::models::{HostConfig, ThrottleDevice};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// The `linux.devices` and the cgroup's device rules.
///
/// # Errors
/// A device is missing or is none; found only at start, as docker does.
pub fn of(host: &HostConfig) -> Result<(Vec<Value>, Vec<Value>)> {
    if host.privileged == Some(true) {
        let mut nodes = Vec::new();
        walk(Path::new("/dev"), "/dev", 0, &mut nodes);
        return Ok((nodes, vec![json!({ "allow": true, "access": "rwm" })]));
    }
    let mut nodes = Vec::new();
    let mut rules = oci::spec::default_device_rules();
    for device in host.devices.iter().flatten() {
        let path = device.path_on_host.as_deref().unwrap_or_default();
        let inside = device.path_in_container.as_deref().filter(|inside| !inside.is_empty()).unwrap_or(path);
        let access =
            device.cgroup_permissions.as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm");
        let failed = |error: std::io::Error| {
            let why = if error.kind() == std::io::ErrorKind::NotFound {
                "no such file or directory".to_owned()
            } else {
                error.to_string()
            };
            Error::system(format!(
                "error gathering device information while adding custom device \"{path}\": {why}"
            ))
        };
        let meta = std::fs::metadata(path).map_err(failed)?;
        let mut found = Vec::new();
        if meta.is_dir() {
            walk(Path::new(path), inside, 0, &mut found);
        } else if let Some(node) = node(Path::new(path), inside) {
            found.push(node);
        }
        if found.is_empty() {
            return Err(failed(std::io::Error::other("not a device node")));
        }
        for node in found {
            rules.push(json!({ "allow": true, "type": node["type"], "major": node["major"], "minor": node["minor"], "access": access }));
            nodes.push(node);
        }
    }
    for text in host.device_cgroup_rules.iter().flatten() {
        rules.push(
            rule(text)
                .ok_or_else(|| Error::invalid(format!("invalid device cgroup rule format: '{text}'")))?,
        );
    }
    Ok((nodes, rules))
}

/// `c 1:3 rwm`
fn rule(text: &str) -> Option<Value> {
    let mut words = text.split_whitespace();
    let (kind, numbers, access) = (words.next()?, words.next()?, words.next()?);
    let (major, minor) = numbers.split_once(':')?;
    let mut rule = json!({ "allow": true, "type": kind, "access": access });
    for (key, number) in [("major", major), ("minor", minor)] {
        if number != "*" {
            rule[key] = number.parse::<i64>().ok()?.into();
        }
    }
    (matches!(kind, "a" | "b" | "c")
        && words.next().is_none()
        && access.bytes().all(|byte| b"rwm".contains(&byte)))
    .then_some(rule)
}

fn node(path: &Path, inside: &str) -> Option<Value> {
    let meta = std::fs::metadata(path).ok()?;
    let kind = meta.file_type();
    let word = if kind.is_char_device() {
        "c"
    } else if kind.is_block_device() {
        "b"
    } else {
        return None;
    };
    let (major, minor) = (nix::sys::stat::major(meta.rdev()), nix::sys::stat::minor(meta.rdev()));
    Some(
        json!({ "path": inside, "type": word, "major": major, "minor": minor, "fileMode": meta.mode() & 0o7777, "uid": meta.uid(), "gid": meta.gid() }),
    )
}

/// All nodes below a directory; what every container has of its own is left out.
fn walk(dir: &Path, inside: &str, depth: u32, found: &mut Vec<Value>) {
    const OWN: &[&str] = &[
        "pts",
        "shm",
        "fd",
        "mqueue",
        "console",
        "ptmx",
        "tty",
        "null",
        "zero",
        "full",
        "random",
        "urandom",
        ".lxc",
        ".lxd-mounts",
        ".udev",
    ];
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if depth == 0 && inside == "/dev" && OWN.contains(&name) {
            continue;
        }
        let Ok(kind) = entry.file_type() else { continue };
        let below = format!("{inside}/{name}");
        if kind.is_dir() && depth < 8 {
            walk(&entry.path(), &below, depth + 1, found);
        } else if !kind.is_symlink() {
            found.extend(node(&entry.path(), &below));
        }
    }
}

/// The `blockIO` limits.
pub fn block_io(host: &HostConfig) -> Map<String, Value> {
    let mut block = Map::new();
    if let Some(weight) = host.blkio_weight.filter(|weight| *weight != 0) {
        block.insert("weight".into(), weight.into());
    }
    let numbers = |path: Option<&str>| {
        let meta = std::fs::metadata(path?).ok()?;
        Some((nix::sys::stat::major(meta.rdev()), nix::sys::stat::minor(meta.rdev())))
    };
    let throttle = |devices: &Option<Vec<ThrottleDevice>>| -> Vec<Value> {
        let one = |device: &ThrottleDevice| {
            let (major, minor) = numbers(device.path.as_deref())?;
            Some(json!({ "major": major, "minor": minor, "rate": device.rate.unwrap_or_default() }))
        };
        devices.iter().flatten().filter_map(one).collect()
    };
    let weights: Vec<Value> = host
        .blkio_weight_device
        .iter()
        .flatten()
        .filter_map(|device| {
            let (major, minor) = numbers(device.path.as_deref())?;
            Some(json!({ "major": major, "minor": minor, "weight": device.weight.unwrap_or_default() }))
        })
        .collect();
    for (key, list) in [
        ("weightDevice", weights),
        ("throttleReadBpsDevice", throttle(&host.blkio_device_read_bps)),
        ("throttleWriteBpsDevice", throttle(&host.blkio_device_write_bps)),
        ("throttleReadIOPSDevice", throttle(&host.blkio_device_read_iops)),
        ("throttleWriteIOPSDevice", throttle(&host.blkio_device_write_iops)),
    ] {
        if !list.is_empty() {
            block.insert(key.into(), list.into());
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::DeviceMapping;

    use super::*;

    #[test]
    fn a_device_gets_a_node_and_a_rule_and_a_missing_one_an_error() {
        let with = |path: &str| HostConfig {
            devices: Some(vec![DeviceMapping {
                path_on_host: Some(path.into()),
                ..DeviceMapping::default()
            }]),
            ..HostConfig::default()
        };
        let (nodes, rules) = of(&with("/dev/null")).expect("null");
        assert_eq!((nodes[0]["major"].as_u64(), nodes[0]["minor"].as_u64()), (Some(1), Some(3)));
        assert_eq!(rules.last().expect("rule")["access"], "rwm");
        let text = of(&with("/dev/nosuch")).expect_err("missing").to_string();
        assert!(text.ends_with("\"/dev/nosuch\": no such file or directory"), "{text}");
    }

    #[test]
    fn cgroup_rules_are_parsed() {
        assert_eq!(
            rule("c 1:* rw").expect("good"),
            json!({ "allow": true, "type": "c", "major": 1, "access": "rw" })
        );
        assert!(rule("x 1:1 r").is_none() && rule("c 1 r").is_none() && rule("c 1:1 q").is_none());
    }
}
