//! Namespaces, made and joined.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;

use serde_json::json;

use crate::bundle::Bundle;
use crate::host::wait_until;

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

/// A user namespace whose root is the host's 100000, who owns the image.
pub(crate) fn mapped(bundle: &mut Bundle) {
    bundle.namespace("user");
    bundle.spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.spec["linux"]["gidMappings"] = bundle.spec["linux"]["uidMappings"].clone();
    let chown = Command::new("chown").args(["-R", "100000:100000"]).arg(bundle.rootfs()).status().unwrap();
    assert!(chown.success());
}

#[test]
fn a_user_namespace_maps_root_and_owns_what_it_makes() {
    let mut bundle = Bundle::new("cat /proc/self/uid_map; id -u; touch /tmp/x; ls -d /dev/null");
    mapped(&mut bundle);
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

/// A process of the host in namespaces of its own.
struct Holder(std::process::Child);

impl Holder {
    /// `unshare` with these flags.
    fn new(flags: &[&str]) -> Self {
        let child = Command::new("unshare").args(flags).args(["sleep", "1000"]).spawn().unwrap();
        let holder = Self(child);
        let name = format!("/proc/{}/comm", holder.0.id());
        wait_until("the namespaces are made", || std::fs::read_to_string(&name).unwrap() == "sleep\n");
        holder
    }

    fn path(&self, name: &str) -> String {
        format!("/proc/{}/ns/{name}", self.0.id())
    }

    /// What a process in it sees: `net:[4026531840]`
    fn link(&self, name: &str) -> String {
        std::fs::read_link(self.path(name)).unwrap().display().to_string()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn namespaces_of_a_process_are_joined_by_path() {
    let holder = Holder::new(&["--net", "--ipc", "--uts", "--cgroup"]);
    let mut bundle = Bundle::new("for n in net ipc uts cgroup; do readlink /proc/self/ns/$n; done; echo $$");
    bundle.spec["hostname"] = serde_json::Value::Null;
    bundle.spec["linux"]["namespaces"] = json!([
        {"type": "mount"}, {"type": "pid"}, {"type": "network", "path": holder.path("net")},
        {"type": "ipc", "path": holder.path("ipc")}, {"type": "uts", "path": holder.path("uts")},
        {"type": "cgroup", "path": holder.path("cgroup")}
    ]);
    let links = ["net", "ipc", "uts", "cgroup"].map(|name| holder.link(name)).join("\n");
    assert_eq!(bundle.output(), format!("{links}\n1\n"));
}

#[test]
fn a_user_namespace_is_joined_by_path_with_what_belongs_to_it() {
    let holder = Holder::new(&["--user", "--map-root-user", "--net", "--uts"]);
    let script = "cat /proc/self/uid_map; for n in user net uts; do readlink /proc/self/ns/$n; done; \
                  hostname mine && hostname";
    let mut bundle = Bundle::new(script);
    bundle.spec["hostname"] = serde_json::Value::Null;
    for set in ["bounding", "effective", "permitted"] {
        bundle.push(&format!("/process/capabilities/{set}"), json!("CAP_SYS_ADMIN"));
    }
    // One id is mapped, the one that owns the files: root.
    bundle.spec["mounts"].as_array_mut().unwrap().retain(|m| m["destination"] != "/dev/pts");
    bundle.spec["linux"]["namespaces"] = json!([
        {"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "user", "path": holder.path("user")},
        {"type": "network", "path": holder.path("net")}, {"type": "uts", "path": holder.path("uts")}
    ]);
    bundle.spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
    bundle.spec["linux"]["gidMappings"] = bundle.spec["linux"]["uidMappings"].clone();
    let text = bundle.output();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["0", "0", "1"]);
    assert_eq!(lines[1..4], ["user", "net", "uts"].map(|name| holder.link(name)));
    assert_eq!(lines[4], "mine");
}

#[test]
fn exec_joins_the_user_namespace_too() {
    let mut bundle = Bundle::new("sleep 1000");
    mapped(&mut bundle);
    bundle.start_detached();
    let answer = bundle.exec(&[bundle.id(), "sh", "-c", "cat /proc/self/uid_map; id -u; touch /tmp/by-exec"]);
    assert_eq!(
        answer.stdout.split_whitespace().collect::<Vec<_>>(),
        ["0", "100000", "65536", "0"],
        "{answer:?}"
    );
    let made = std::fs::metadata(bundle.rootfs().join("tmp/by-exec")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), 100_000);
}

#[test]
fn several_ranges_of_ids_are_mapped_each() {
    let mut bundle = Bundle::new("cat /proc/self/gid_map; stat -c '%u %g' /mine");
    mapped(&mut bundle);
    let ranges = json!([{"containerID": 0, "hostID": 100_000, "size": 10},
        {"containerID": 10, "hostID": 300_000, "size": 5}]);
    bundle.spec["linux"]["uidMappings"] = ranges.clone();
    bundle.spec["linux"]["gidMappings"] = ranges;
    std::fs::write(bundle.rootfs().join("mine"), "").unwrap();
    std::os::unix::fs::chown(bundle.rootfs().join("mine"), Some(300_002), Some(300_003)).unwrap();
    let text = bundle.output();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words, ["0", "100000", "10", "10", "300000", "5", "12", "13"]);
}

#[test]
fn without_namespaces_but_a_mount_one_the_container_is_the_hosts() {
    let mut bundle = Bundle::new("for n in pid net ipc uts; do readlink /proc/self/ns/$n; done");
    bundle.spec["hostname"] = serde_json::Value::Null;
    bundle.spec["linux"]["namespaces"] = json!([{"type": "mount"}]);
    let host =
        ["pid", "net", "ipc", "uts"].map(|n| std::fs::read_link(format!("/proc/self/ns/{n}")).unwrap());
    let links: Vec<String> = host.iter().map(|l| l.display().to_string()).collect();
    assert_eq!(bundle.output().lines().collect::<Vec<_>>(), links);
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

    use super::Holder;
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

    #[test]
    fn a_time_namespace_is_joined_by_path() {
        let holder = Holder::new(&["--time", "--boottime", "86400"]);
        let mut bundle = Bundle::new("readlink /proc/self/ns/time; cut -d. -f1 /proc/uptime");
        bundle.push("/linux/namespaces", json!({"type": "time", "path": holder.path("time_for_children")}));
        let text = bundle.output();
        let (link, uptime) = text.split_once('\n').unwrap();
        assert_eq!(link, holder.link("time_for_children").replace("_for_children", ""));
        assert!(uptime.trim().parse::<u64>().unwrap() >= 86_400, "{text}");
    }
}
