//! Everything about a container, in docker's shape and field order.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::record::Record;
use super::state::Status;
use super::{Container, Containers};
use crate::timestamp::rfc3339;

impl Containers {
    /// The inspect document; `version` is the API version's minor number.
    pub async fn inspect(&self, container: &Arc<Container>, version: u16, size: bool) -> Value {
        let record = container.record();
        let etc = |name: &str| {
            let path = self.data_dir(&record.id).join(name);
            if path.exists() { path.display().to_string() } else { String::new() }
        };
        let log_path = match record.log_driver() {
            "json-file" => self.log_place(&record).1.display().to_string(),
            _ => String::new(),
        };
        let execs = self.execs.running_in(&record.id);
        let mut document = json!({
            "Id": record.id,
            "Created": rfc3339(Some(record.created)),
            "Path": record.path,
            "Args": record.args,
            "State": state(&record),
            "Image": record.image.id,
            "ResolvConfPath": etc("resolv.conf"),
            "HostnamePath": etc("hostname"),
            "HostsPath": etc("hosts"),
            "LogPath": log_path,
            "Name": format!("/{}", record.name),
            "RestartCount": record.restart_count,
            "Driver": record.snapshotter,
            "Platform": "linux",
            "MountLabel": "",
            "ProcessLabel": "",
            "AppArmorProfile": "",
            "ExecIDs": if execs.is_empty() { Value::Null } else { json!(execs) },
            "HostConfig": host_config(&record, self.cgroup_v2),
            "GraphDriver": { "Name": record.snapshotter, "Data": null },
            "Mounts": mounts(&record),
            "Config": config(&record),
            "NetworkSettings": self.network_settings(&record, version),
        });
        if size {
            let own = self
                .client
                .snapshot_usage(&record.snapshotter, &record.id)
                .await
                .map_or(0, |usage| usage.size);
            document["SizeRw"] = own.into();
            document["SizeRootFs"] = self.root_size(&record).await.saturating_add(own).into();
        }
        document
    }

    /// `NetworkSettings.Networks`.
    pub(super) fn network_entries(&self, record: &Record) -> Map<String, Value> {
        let live = self.networks.sandbox(&record.id).map(|sandbox| sandbox.networks).unwrap_or_default();
        let asked = super::networking::endpoints(record).unwrap_or_default();
        let mut entries = Map::new();
        for (name, settings) in asked {
            // Asked for by id, shown by name.
            let network = self.networks.get(&name).ok();
            let shown = network.as_ref().map_or(name, |network| network.name.clone());
            let mut settings = live.get(&shown).cloned().unwrap_or(settings);
            if settings.network_id.is_empty() && record.state.started_at.is_some() {
                settings.network_id = network.map(|network| network.id).unwrap_or_default();
            }
            entries.insert(shown, json!(settings));
        }
        for (name, settings) in live {
            entries.entry(name).or_insert_with(|| json!(settings));
        }
        if let mode @ ("host" | "none") = record.network_mode() {
            let network_id = self.networks.get(mode).map(|network| network.id).unwrap_or_default();
            let settings = crate::networks::EndpointSettings { network_id, ..Default::default() };
            entries.insert(mode.to_owned(), json!(settings));
        }
        entries
    }

    fn network_settings(&self, record: &Record, version: u16) -> Value {
        let sandbox = self.networks.sandbox(&record.id);
        let mut networks = self.network_entries(record);
        if version <= 44 {
            for entry in networks.values_mut() {
                let short = crate::id::short(&record.id);
                match entry["Aliases"].as_array_mut() {
                    Some(aliases) if !aliases.contains(&short.into()) => aliases.push(short.into()),
                    _ => {}
                }
            }
        }
        let bridge = networks.get("bridge").cloned().unwrap_or_default();
        let field = |key: &str, default: Value| {
            bridge.get(key).filter(|value| !value.is_null()).cloned().unwrap_or(default)
        };
        let key = sandbox
            .as_ref()
            .and_then(|sandbox| sandbox.netns.as_ref())
            .map(|path| path.display().to_string())
            .unwrap_or_default();
        json!({
            "Bridge": "",
            "SandboxID": if sandbox.is_some() { record.id.as_str() } else { "" },
            "SandboxKey": key,
            "Ports": sandbox.map(|sandbox| sandbox.ports).unwrap_or_default(),
            "HairpinMode": false,
            "LinkLocalIPv6Address": "",
            "LinkLocalIPv6PrefixLen": 0,
            "SecondaryIPAddresses": null,
            "SecondaryIPv6Addresses": null,
            "EndpointID": field("EndpointID", "".into()),
            "Gateway": field("Gateway", "".into()),
            "GlobalIPv6Address": field("GlobalIPv6Address", "".into()),
            "GlobalIPv6PrefixLen": field("GlobalIPv6PrefixLen", 0.into()),
            "IPAddress": field("IPAddress", "".into()),
            "IPPrefixLen": field("IPPrefixLen", 0.into()),
            "IPv6Gateway": field("IPv6Gateway", "".into()),
            "MacAddress": field("MacAddress", "".into()),
            "Networks": networks,
        })
    }
}

fn state(record: &Record) -> Value {
    let state = &record.state;
    json!({
        "Status": state.status.as_str(),
        "Running": state.status.has_process() || state.status == Status::Restarting,
        "Paused": state.status == Status::Paused,
        "Restarting": state.status == Status::Restarting,
        "OOMKilled": state.oom_killed,
        "Dead": state.status == Status::Dead,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": rfc3339(state.started_at),
        "FinishedAt": rfc3339(state.finished_at),
    })
}

/// The `Mounts` of inspect and of lists.
pub(super) fn mounts(record: &Record) -> Vec<Value> {
    let shown = record.mounts.iter().filter(|mount| mount.shown);
    let row = |mount: &super::mount_point::MountPoint| {
        let mut row = Map::new();
        row.insert("Type".into(), mount.kind.clone().into());
        if let Some(name) = &mount.volume {
            row.insert("Name".into(), name.clone().into());
        }
        row.insert("Source".into(), mount.source.clone().into());
        row.insert("Destination".into(), mount.destination.clone().into());
        if mount.volume.is_some() {
            row.insert("Driver".into(), "local".into());
        }
        row.insert("Mode".into(), mount.mode.clone().into());
        row.insert("RW".into(), mount.rw.into());
        row.insert("Propagation".into(), mount.propagation.clone().into());
        Value::Object(row)
    };
    shown.map(row).collect()
}

/// Puts `given` over `defaults`, which decide the order of the fields.
fn over(defaults: Value, given: Value) -> Value {
    let (Value::Object(mut all), Value::Object(given)) = (defaults, given) else { return Value::Null };
    for (key, value) in given {
        if !value.is_null() || !all.contains_key(&key) {
            all.insert(key, value);
        }
    }
    Value::Object(all)
}

fn config(record: &Record) -> Value {
    let defaults = json!({
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": false, "AttachStderr": false,
        "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": [], "Cmd": null, "Image": "", "Volumes": null,
        "WorkingDir": "", "Entrypoint": null, "OnBuild": null, "Labels": {},
    });
    over(defaults, json!(record.config))
}

fn host_config(record: &Record, cgroup_v2: bool) -> Value {
    let run = json!({
        "Binds": null, "ContainerIDFile": "", "LogConfig": { "Type": "json-file", "Config": {} }, "NetworkMode": "bridge", "PortBindings": {},
        "RestartPolicy": { "Name": "no", "MaximumRetryCount": 0 }, "AutoRemove": false, "VolumeDriver": "", "VolumesFrom": null,
        "ConsoleSize": [0, 0], "CapAdd": null, "CapDrop": null, "CgroupnsMode": "host", "Dns": [], "DnsOptions": [], "DnsSearch": [],
        "ExtraHosts": null, "GroupAdd": null, "IpcMode": "private", "Cgroup": "", "Links": null, "OomScoreAdj": 0, "PidMode": "",
        "Privileged": false, "PublishAllPorts": false, "ReadonlyRootfs": false, "SecurityOpt": null, "UTSMode": "", "UsernsMode": "",
        "ShmSize": 67_108_864, "Runtime": "", "Isolation": "", "CpuShares": 0, "Memory": 0, "NanoCpus": 0, "CgroupParent": "",
    });
    let limits = json!({
        "BlkioWeight": 0, "BlkioWeightDevice": [], "BlkioDeviceReadBps": [], "BlkioDeviceWriteBps": [], "BlkioDeviceReadIOps": [],
        "BlkioDeviceWriteIOps": [], "CpuPeriod": 0, "CpuQuota": 0, "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0, "CpusetCpus": "",
        "CpusetMems": "", "Devices": [], "DeviceCgroupRules": null, "DeviceRequests": null, "MemoryReservation": 0, "MemorySwap": 0,
        "MemorySwappiness": null, "OomKillDisable": if cgroup_v2 { Value::Null } else { Value::Bool(false) }, "PidsLimit": null,
        "Ulimits": null, "CpuCount": 0, "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0, "MaskedPaths": [], "ReadonlyPaths": [],
    });
    over(over(run, limits), json!(record.host_config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_nobody_set_are_there_with_dockers_empty_values() {
        let host = host_config(&Record::default(), false);
        assert_eq!(host["Binds"], Value::Null);
        assert_eq!(host["Devices"], json!([]));
        assert_eq!(host["OomKillDisable"], false);
        let keys: Vec<&String> = host.as_object().expect("an object").keys().collect();
        assert_eq!(keys[..2], ["Binds", "ContainerIDFile"], "the daemon's field order is shown to users");
    }

    #[test]
    fn a_container_that_restarts_counts_as_running() {
        let mut record = Record::default();
        record.state.status = Status::Restarting;
        let state = state(&record);
        assert_eq!((&state["Running"], &state["Restarting"]), (&json!(true), &json!(true)));
        assert_eq!(state["FinishedAt"], "0001-01-01T00:00:00Z");
    }
}
