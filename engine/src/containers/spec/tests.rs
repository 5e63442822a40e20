use bollard_stubs::models::ContainerConfig;

use super::*;
use crate::containers::mount_point::MountPoint;

fn record(host: HostConfig) -> Record {
    Record {
        id: "c".repeat(64),
        path: "sh".into(),
        args: vec!["-c".into(), "true".into()],
        config: ContainerConfig { hostname: Some("box".into()), ..ContainerConfig::default() },
        host_config: host,
        ..Record::default()
    }
}

fn around() -> Surroundings {
    Surroundings { netns: Some("/run/n".into()), etc: "/etc-of-c".into(), ..Surroundings::default() }
}

fn spec(host: HostConfig) -> Value {
    build(&record(host), &around()).expect("a spec")
}

fn namespace_types(spec: &Value) -> Vec<&str> {
    spec["linux"]["namespaces"]
        .as_array()
        .expect("list")
        .iter()
        .filter_map(|namespace| namespace["type"].as_str())
        .collect()
}

#[test]
fn the_default_spec_is_dockers() {
    let spec = spec(HostConfig::default());
    assert_eq!(spec["process"]["args"], json!(["sh", "-c", "true"]));
    assert_eq!(spec["process"]["cwd"], "/");
    assert_eq!(spec["hostname"], "box");
    assert_eq!(spec["linux"]["cgroupsPath"], format!("/engine/{}", "c".repeat(64)));
    assert_eq!(namespace_types(&spec), ["mount", "uts", "ipc", "pid", "network"]);
    assert_eq!(spec["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");
    let env = spec["process"]["env"].as_array().expect("env");
    assert!(
        env.contains(&"HOSTNAME=box".into())
            && env.contains(&"HOME=/".into())
            && env.contains(&oci::spec::DEFAULT_PATH.into())
    );
    let inheritable = &spec["process"]["capabilities"]["inheritable"];
    assert!(inheritable.is_null(), "CVE-2022-24769: no inheritable capabilities");
}

#[test]
fn capabilities_are_added_dropped_and_lost_by_other_users() {
    let set = |add: &[&str], drop: &[&str]| {
        let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        capabilities(&HostConfig { cap_add: list(add), cap_drop: list(drop), ..HostConfig::default() })
    };
    assert_eq!(set(&[], &[]).len(), 14);
    assert_eq!(set(&["CAP_CHOWN"], &["ALL"]), BTreeSet::from(["CAP_CHOWN".to_owned()]));
    assert!(!set(&["ALL"], &["CAP_SYS_ADMIN"]).contains("CAP_SYS_ADMIN"));
    let user = User { uid: 5, gid: 5, groups: vec![], home: "/".into() };
    let process = process(&record(HostConfig::default()), &user, &[], "", vec![], false, false);
    assert_eq!(process["capabilities"]["effective"], json!([]));
    assert_eq!(process["capabilities"]["bounding"].as_array().map(Vec::len), Some(14));
}

#[test]
fn privileged_containers_lose_every_fence() {
    let spec = spec(HostConfig { privileged: Some(true), ..HostConfig::default() });
    assert!(spec["linux"]["seccomp"].is_null());
    assert_eq!(spec["linux"]["resources"]["devices"], json!([{ "allow": true, "access": "rwm" }]));
    let sys = spec["mounts"]
        .as_array()
        .expect("mounts")
        .iter()
        .find(|mount| mount["destination"] == "/sys")
        .expect("sys");
    assert!(sys["options"].as_array().expect("options").contains(&"rw".into()));
}

#[test]
fn limits_become_resources() {
    let spec = spec(HostConfig {
        memory: Some(64 << 20),
        memory_swap: Some(128 << 20),
        nano_cpus: Some(1_500_000_000),
        pids_limit: Some(20),
        ..HostConfig::default()
    });
    let resources = &spec["linux"]["resources"];
    assert_eq!(resources["memory"], json!({ "limit": 64 << 20, "swap": 128 << 20 }));
    assert_eq!(resources["cpu"], json!({ "quota": 150_000, "period": 100_000 }));
    assert_eq!(resources["pids"], json!({ "limit": 20 }));
}

#[test]
fn host_namespaces_are_left_out_and_others_joined() {
    let host =
        HostConfig { pid_mode: Some("host".into()), uts_mode: Some("host".into()), ..HostConfig::default() };
    let joined = Surroundings { netns: None, joined: vec![("ipc", "/proc/9/ns/ipc".into())], ..around() };
    let spec = build(&record(host), &joined).expect("a spec");
    assert_eq!(namespace_types(&spec), ["mount", "ipc"]);
    assert!(spec["hostname"].is_null());
}

#[test]
fn user_mounts_come_last_and_replace_defaults() {
    let mut record = record(HostConfig::default());
    let mount = |kind: &str, destination: &str| MountPoint {
        kind: kind.into(),
        source: "/src".into(),
        destination: destination.into(),
        ..MountPoint::default()
    };
    record.mounts = vec![mount("bind", "/etc/hosts"), mount("tmpfs", "/dev/shm")];
    let spec = build(&record, &around()).expect("a spec");
    let mounts = spec["mounts"].as_array().expect("mounts");
    let at = |destination: &str| mounts.iter().filter(|mount| mount["destination"] == destination).count();
    assert_eq!((at("/etc/hosts"), at("/dev/shm"), at("/etc/resolv.conf")), (1, 1, 1));
    assert_eq!(mounts[mounts.len() - 2]["options"], json!(["rbind", "ro", "rprivate"]));
}

#[test]
fn an_exec_variable_overrides_the_containers() {
    let mut record = record(HostConfig::default());
    record.config.env = Some(vec!["A=1".into(), "HOME=/x".into()]);
    let user = User { uid: 0, gid: 0, groups: vec![], home: "/root".into() };
    let env = environment(&record, &user, &["A=2".into()], true);
    assert!(env.contains(&"A=2".into()) && !env.contains(&"A=1".into()));
    assert!(
        env.contains(&"TERM=xterm".into())
            && env.contains(&"HOME=/x".into())
            && !env.contains(&"HOME=/root".into())
    );
}
