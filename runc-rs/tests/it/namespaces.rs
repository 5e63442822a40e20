//! Namespaces, made and joined.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;

use serde_json::json;

use crate::bundle::Bundle;

#[test]
fn each_namespace_of_the_spec_differs_from_the_hosts() {
    let mut bundle =
        Bundle::new("for n in pid net ipc uts mnt cgroup; do readlink /proc/self/ns/$n; done; hostname");
    bundle.namespace("cgroup");
    let text = bundle.output();
    let lines: Vec<&str> = text.lines().collect();
    for (line, name) in lines.iter().zip(["pid", "net", "ipc", "uts", "mnt", "cgroup"]) {
        let host = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_ne!(*line, host.to_str().unwrap());
    }
    assert_eq!(lines[6], "box");
}

#[test]
fn a_user_namespace_maps_root_and_owns_what_it_makes() {
    let mut bundle = Bundle::new("cat /proc/self/uid_map; id -u; touch /tmp/x; ls -d /dev/null");
    bundle.namespace("user");
    bundle.spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 100000, "size": 65536}]);
    bundle.spec["linux"]["gidMappings"] = bundle.spec["linux"]["uidMappings"].clone();
    let chown = Command::new("chown").args(["-R", "100000:100000"]).arg(bundle.rootfs()).status().unwrap();
    assert!(chown.success());
    let text = bundle.output();
    assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["0", "100000", "65536", "0", "/dev/null"]);
    let made = std::fs::metadata(bundle.rootfs().join("tmp/x")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), 100_000);
}

#[test]
fn a_second_container_joins_the_firsts_namespaces_by_path() {
    let first = Bundle::running();
    let state: serde_json::Value = serde_json::from_str(&first.call(&["state", first.id()]).stdout).unwrap();
    let pid = state["pid"].as_i64().unwrap();
    let mut second =
        Bundle::new("readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; ls -d /proc/[0-9]* | wc -l");
    let path = |name: &str| format!("/proc/{pid}/ns/{name}");
    second.spec["linux"]["namespaces"] = json!([
        {"type": "mount"}, {"type": "uts"}, {"type": "network", "path": path("net")},
        {"type": "ipc", "path": path("ipc")}, {"type": "pid", "path": path("pid")}
    ]);
    let text = second.output();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], std::fs::read_link(path("net")).unwrap().to_str().unwrap());
    assert_eq!(lines[1], std::fs::read_link(path("ipc")).unwrap().to_str().unwrap());
    // Its own processes beside the first's.
    assert!(lines[2].parse::<u32>().unwrap() >= 3, "{text}");
}

#[test]
fn joining_what_is_not_that_namespace_is_an_error() {
    let uts = File::open("/proc/self/ns/uts").unwrap();
    let wrong = format!("/proc/{}/fd/{}", std::process::id(), uts.as_raw_fd());
    for path in [wrong.as_str(), "/etc/passwd", "/nosuch"] {
        let mut bundle = Bundle::new("true");
        bundle.spec["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "uts"}, {"type": "pid"},
            {"type": "network", "path": path}]);
        assert_eq!(bundle.run().code, 1, "{path}");
        bundle.assert_nothing_left();
    }
}

#[test]
fn sysctls_of_own_namespaces_are_set_and_others_refused() {
    let mut bundle = Bundle::new("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax");
    bundle.spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1", "kernel.msgmax": "4096"});
    assert_eq!(bundle.output(), "1\n4096\n");
    bundle.spec["linux"]["sysctl"] = json!({"kernel.core_pattern": "|/x"});
    assert!(bundle.run().stderr.contains("is not in a separate kernel namespace"));
}

#[test]
fn loopback_of_a_new_network_namespace_is_up() {
    let bundle = Bundle::new("cat /proc/net/if_inet6 /proc/net/fib_trie | grep -c 127.0.0.1");
    assert_ne!(bundle.output().trim(), "0");
}

/// Debian's runc 1.1 does not know the type; specs of Docker 28 may name it.
mod ours_alone {
    use serde_json::json;

    use crate::bundle::Bundle;

    #[test]
    fn a_time_namespace_has_its_offsets() {
        let mut bundle = Bundle::new("cat /proc/self/timens_offsets");
        bundle.namespace("time");
        bundle.spec["linux"]["timeOffsets"] =
            json!({"monotonic": {"secs": 1000}, "boottime": {"secs": 5, "nanosecs": 7}});
        let words: Vec<String> = bundle.output().split_whitespace().map(str::to_owned).collect();
        assert_eq!(words, ["monotonic", "1000", "0", "boottime", "5", "7"]);
    }
}
