//! The OCI spec of a container: record and surroundings in, `config.json` out. Touches nothing but the
//! device nodes it is asked for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bollard_stubs::models::{HostConfig, HostConfigCgroupnsModeEnum};
use oci::user::User;
use serde_json::{Map, Value, json};

use super::record::Record;
use super::{devices, security};
use crate::error::Result;

/// What a spec needs that the record doesn't have.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Whom the process runs as.
    pub user: Option<User>,
    /// The network namespace; none for the host's.
    pub netns: Option<PathBuf>,
    /// Namespaces of other containers or the host: kind → path.
    pub joined: Vec<(&'static str, PathBuf)>,
    /// Directory of hosts, hostname and resolv.conf.
    pub etc: PathBuf,
    /// `NAME=VALUE` of links.
    pub link_env: Vec<String>,
}

/// The capabilities of a container's processes.
pub fn capabilities(host: &HostConfig) -> BTreeSet<String> {
    let drop = host.cap_drop.as_deref().unwrap_or_default();
    let add = host.cap_add.as_deref().unwrap_or_default();
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    if host.privileged == Some(true) || add.iter().any(|name| name == "ALL") {
        let mut set = ours();
        if host.privileged != Some(true) {
            set.retain(|name| !drop.contains(name));
        }
        return set;
    }
    let mut set = if drop.iter().any(|name| name == "ALL") {
        BTreeSet::new()
    } else {
        names(oci::spec::DEFAULT_CAPABILITIES)
    };
    set.retain(|name| !drop.contains(name));
    set.extend(add.iter().cloned());
    set
}

/// All that this daemon may give: what the kernel knows and nobody took from us.
fn ours() -> BTreeSet<String> {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = text
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    let mask = mask.unwrap_or(u64::MAX);
    let given = oci::spec::ALL_CAPABILITIES.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1);
    given.map(|(_, name)| (*name).to_owned()).collect()
}

/// The `process` of the spec; exec starts from it too.
pub fn process(
    record: &Record,
    user: &User,
    args: &[String],
    cwd: &str,
    env: Vec<String>,
    terminal: bool,
    privileged: bool,
) -> Value {
    let host = &record.host_config;
    let given = if privileged { ours() } else { capabilities(host) };
    let effective: Vec<&String> = if user.uid == 0 { given.iter().collect() } else { Vec::new() };
    let mut process = json!({
        "terminal": terminal,
        "user": { "uid": user.uid, "gid": user.gid, "additionalGids": user.groups, "umask": 0o22 },
        "args": args,
        "env": env,
        "cwd": if cwd.is_empty() { "/" } else { cwd },
        "capabilities": { "bounding": given, "effective": effective, "permitted": effective },
        "noNewPrivileges": security::no_new_privileges(host),
    });
    let limits: Vec<Value> = host.ulimits.iter().flatten().filter_map(|limit| {
        let name = limit.name.as_deref()?;
        Some(json!({ "type": format!("RLIMIT_{}", name.to_ascii_uppercase()), "hard": unlimited(limit.hard), "soft": unlimited(limit.soft) }))
    }).collect();
    if !limits.is_empty() {
        process["rlimits"] = limits.into();
    }
    if let Some(score) = host.oom_score_adj.filter(|score| *score != 0) {
        process["oomScoreAdj"] = score.into();
    }
    process
}

fn unlimited(value: Option<i64>) -> u64 {
    u64::try_from(value.unwrap_or_default()).unwrap_or(u64::MAX)
}

/// The environment: defaults, links, then the container's own.
pub fn environment(record: &Record, user: &User, extra: &[String], terminal: bool) -> Vec<String> {
    let own = record.config.env.clone().unwrap_or_default();
    let has = |key: &str, list: &[String]| {
        list.iter().any(|entry| entry.strip_prefix(key).is_some_and(|rest| rest.starts_with('=')))
    };
    let mut env = Vec::new();
    if !has("PATH", &own) {
        env.push(oci::spec::DEFAULT_PATH.to_owned());
    }
    if !has("HOSTNAME", &own) {
        env.push(format!("HOSTNAME={}", record.config.hostname.as_deref().unwrap_or_default()));
    }
    if terminal && !has("TERM", &own) {
        env.push("TERM=xterm".into());
    }
    env.extend(own);
    for entry in extra {
        let key = entry.split('=').next().unwrap_or_default().to_owned();
        env.retain(|known| !known.strip_prefix(&key).is_some_and(|rest| rest.starts_with('=')));
        if entry.contains('=') {
            env.push(entry.clone());
        }
    }
    if !has("HOME", &env) {
        env.push(format!("HOME={}", user.home));
    }
    env
}

/// The cgroup of a container, as the runtime's cgroupfs driver takes it.
pub fn cgroup_path(record: &Record) -> String {
    let parent =
        record.host_config.cgroup_parent.as_deref().filter(|parent| !parent.is_empty()).unwrap_or("/engine");
    format!("/{}/{}", parent.trim_matches('/'), record.id)
}

/// The whole spec.
///
/// # Errors
/// 400/500: a device is missing, a security option is unknown.
pub fn build(record: &Record, around: &Surroundings) -> Result<Value> {
    let (config, host) = (&record.config, &record.host_config);
    let privileged = host.privileged == Some(true);
    let nobody = User { uid: 0, gid: 0, groups: Vec::new(), home: "/".into() };
    let user = around.user.as_ref().unwrap_or(&nobody);
    let env = environment(record, user, &around.link_env, record.tty());
    let args: Vec<String> = std::iter::once(record.path.clone()).chain(record.args.iter().cloned()).collect();
    let cwd = config.working_dir.as_deref().unwrap_or_default();
    let process = process(record, user, &args, cwd, env, record.tty(), privileged);
    let mut resources = resources(host);
    let (devices, rules) = devices::of(host)?;
    resources.insert("devices".into(), rules.into());
    let mut linux = json!({
        "cgroupsPath": cgroup_path(record),
        "namespaces": namespaces(host, around),
        "resources": resources,
        "devices": devices,
        "maskedPaths": host.masked_paths.clone().unwrap_or_default(),
        "readonlyPaths": host.readonly_paths.clone().unwrap_or_default(),
    });
    let sysctls = sysctls(host, around);
    if !sysctls.is_empty() {
        linux["sysctl"] = sysctls.into();
    }
    if let Some(profile) = security::seccomp(host, &capabilities(host))? {
        linux["seccomp"] = profile;
    }
    if let Some(propagation) = rootfs_propagation(record) {
        linux["rootfsPropagation"] = propagation.into();
    }
    let mut spec = json!({
        "ociVersion": "1.0.2",
        "process": process,
        "root": { "path": "rootfs", "readonly": host.readonly_rootfs == Some(true) },
        "mounts": mounts(record, around),
        "linux": linux,
    });
    if host.uts_mode.as_deref() != Some("host") {
        spec["hostname"] = config.hostname.clone().unwrap_or_default().into();
        if let Some(domain) = config.domainname.as_deref().filter(|domain| !domain.is_empty()) {
            spec["domainname"] = domain.into();
        }
    }
    if let Some(annotations) = host.annotations.as_ref().filter(|annotations| !annotations.is_empty()) {
        spec["annotations"] = json!(annotations);
    }
    Ok(spec)
}

fn namespaces(host: &HostConfig, around: &Surroundings) -> Vec<Value> {
    let mut list = vec![json!({ "type": "mount" })];
    let path_of = |kind: &str| around.joined.iter().find(|(joined, _)| *joined == kind).map(|(_, path)| path);
    let mut add = |kind: &str, is_host: bool| {
        if let Some(path) = path_of(kind) {
            list.push(json!({ "type": kind, "path": path }));
        } else if !is_host {
            list.push(json!({ "type": kind }));
        }
    };
    let mode = |mode: &Option<String>| mode.as_deref() == Some("host");
    add("uts", mode(&host.uts_mode));
    add("ipc", mode(&host.ipc_mode));
    add("pid", mode(&host.pid_mode));
    add("cgroup", host.cgroupns_mode != Some(HostConfigCgroupnsModeEnum::PRIVATE));
    if let Some(netns) = &around.netns {
        list.push(json!({ "type": "network", "path": netns }));
    }
    list
}

fn sysctls(host: &HostConfig, around: &Surroundings) -> Map<String, Value> {
    let mut sysctls = Map::new();
    if around.netns.is_some() {
        sysctls.insert("net.ipv4.ip_unprivileged_port_start".into(), "0".into());
        sysctls.insert("net.ipv4.ping_group_range".into(), "0 2147483647".into());
    }
    sysctls.extend(host.sysctls.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into())));
    sysctls
}

/// The limits as `linux.resources`, without devices; update sends them too.
pub fn resources(host: &HostConfig) -> Map<String, Value> {
    let mut resources = Map::new();
    let mut memory = Map::new();
    let mut set = |key: &str, value: Option<i64>| {
        if let Some(value) = value.filter(|value| *value != 0) {
            memory.insert(key.into(), value.into());
        }
    };
    set("limit", host.memory);
    set("swap", host.memory_swap);
    set("reservation", host.memory_reservation);
    if let Some(value) = host.memory_swappiness {
        memory.insert("swappiness".into(), value.into());
    }
    if host.oom_kill_disable == Some(true) {
        memory.insert("disableOOMKiller".into(), true.into());
    }
    let mut cpu = Map::new();
    let mut set = |key: &str, value: Option<i64>| {
        if let Some(value) = value.filter(|value| *value != 0) {
            cpu.insert(key.into(), value.into());
        }
    };
    set("shares", host.cpu_shares);
    set("quota", host.cpu_quota);
    set("period", host.cpu_period);
    set("realtimeRuntime", host.cpu_realtime_runtime);
    set("realtimePeriod", host.cpu_realtime_period);
    if let Some(nano) = host.nano_cpus.filter(|nano| *nano > 0) {
        const PERIOD: i64 = 100_000;
        set("quota", Some(nano / (1_000_000_000 / PERIOD)));
        set("period", Some(PERIOD));
    }
    for (key, value) in [("cpus", &host.cpuset_cpus), ("mems", &host.cpuset_mems)] {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            cpu.insert(key.into(), value.into());
        }
    }
    if !memory.is_empty() {
        resources.insert("memory".into(), memory.into());
    }
    if !cpu.is_empty() {
        resources.insert("cpu".into(), cpu.into());
    }
    if let Some(limit) = host.pids_limit.filter(|limit| *limit != 0) {
        resources.insert("pids".into(), json!({ "limit": limit.max(-1) }));
    }
    let block = devices::block_io(host);
    if !block.is_empty() {
        resources.insert("blockIO".into(), block.into());
    }
    resources
}

fn rootfs_propagation(record: &Record) -> Option<&'static str> {
    let any = |kind: &str| record.mounts.iter().any(|mount| mount.propagation.ends_with(kind));
    if any("shared") {
        Some("shared")
    } else if any("slave") {
        Some("slave")
    } else {
        None
    }
}

fn mounts(record: &Record, around: &Surroundings) -> Vec<Value> {
    let host = &record.host_config;
    let privileged = host.privileged == Some(true);
    let taken = |destination: &str| record.mounts.iter().any(|mount| mount.destination == destination);
    let mut list = oci::spec::default_mounts(host.shm_size.unwrap_or(64 << 20), privileged);
    match host.ipc_mode.as_deref() {
        Some("host") => {
            list.retain(|mount| mount["destination"] != "/dev/shm" && mount["destination"] != "/dev/mqueue");
            list.push(oci::spec::mount("/dev/shm", "bind", "/dev/shm", &["rbind", "rprivate"]));
            list.push(oci::spec::mount("/dev/mqueue", "bind", "/dev/mqueue", &["rbind", "rprivate"]));
        }
        Some("none") => list.retain(|mount| mount["destination"] != "/dev/shm"),
        _ => {}
    }
    if around.netns.is_none() {
        // sysfs shows a network namespace and so needs one of its own.
        for mount in list.iter_mut().filter(|mount| mount["destination"] == "/sys" && host.uts_mode.is_none())
        {
            mount["options"] = json!(["nosuid", "noexec", "nodev", if privileged { "rw" } else { "ro" }]);
        }
    }
    list.retain(|mount| !mount["destination"].as_str().is_some_and(&taken));
    for (name, destination) in
        [("resolv.conf", "/etc/resolv.conf"), ("hostname", "/etc/hostname"), ("hosts", "/etc/hosts")]
    {
        if !taken(destination) {
            let access = if host.readonly_rootfs == Some(true) { "ro" } else { "rw" };
            list.push(oci::spec::mount(
                destination,
                "bind",
                &around.etc.join(name).display().to_string(),
                &["rbind", "rprivate", access],
            ));
        }
    }
    for mount in &record.mounts {
        list.push(user_mount(mount));
    }
    list
}

fn user_mount(mount: &super::mount_point::MountPoint) -> Value {
    if mount.kind == "tmpfs" {
        let options: Vec<&str> = mount.tmpfs_options.iter().map(String::as_str).collect();
        return oci::spec::mount(&mount.destination, "tmpfs", "tmpfs", &options);
    }
    let propagation = if mount.propagation.is_empty() { "rprivate" } else { &mount.propagation };
    let access = if mount.rw { "rw" } else { "ro" };
    let source = Path::new(&mount.source).display().to_string();
    oci::spec::mount(&mount.destination, "bind", &source, &["rbind", access, propagation])
}

#[cfg(test)]
#[path = "spec/tests.rs"]
mod tests;
