//! What only a machine with cgroup v2 and every controller can show: `integration-tests/vm/run` boots one.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::bundle::Bundle;
use crate::host::{cgroup_file, cgroup_value, is_alive, wait_until};

#[test]
#[ignore = "needs every controller on cgroup v2: run in integration-tests/vm/run"]
fn every_controller_is_there_or_this_pass_proves_nothing() {
    let text = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap();
    let all: Vec<&str> = text.split_whitespace().collect();
    for controller in ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"] {
        assert!(all.contains(&controller), "no {controller}: {all:?}");
    }
}

#[test]
#[ignore = "needs every controller on cgroup v2: run in integration-tests/vm/run"]
fn unified_keys_are_written_as_they_are_and_win_over_what_is_converted() {
    let mut bundle = Bundle::new("sleep 1000");
    let resources = &mut bundle.spec["linux"]["resources"];
    resources["pids"] = json!({"limit": 50});
    resources["cpu"] = json!({"shares": 512});
    resources["unified"] = json!({"pids.max": "77", "memory.high": "33554432", "cpu.weight": "123"});
    bundle.start_detached();
    assert_eq!(cgroup_value(&bundle, "", "pids.max"), "77");
    assert_eq!(cgroup_value(&bundle, "", "memory.high"), "33554432");
    assert_eq!(cgroup_value(&bundle, "", "cpu.weight"), "123");
    for (key, value) in [("no.such", "1"), ("../x.y", "1"), ("memory.max", "lots")] {
        let mut bad = Bundle::new("true");
        bad.spec["linux"]["resources"]["unified"] = json!({key: value});
        let answer = bad.run();
        assert!(answer.code == 1 && answer.stderr.contains(key), "{answer:?}");
        bad.assert_nothing_left();
    }
}

/// A block device of this test's own, with its number.
struct Loop(String);

impl Loop {
    fn new(bundle: &Bundle) -> (Self, (u64, u64)) {
        let file = bundle.dir.join("disk");
        fs::File::create(&file).unwrap().set_len(1 << 20).unwrap();
        let output = Command::new("losetup").args(["-f", "--show"]).arg(&file).output().unwrap();
        let device = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        assert!(!device.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let number = std::os::unix::fs::MetadataExt::rdev(&fs::metadata(&device).unwrap());
        (Self(device), (u64::from(rustix::fs::major(number)), u64::from(rustix::fs::minor(number))))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.0]).status();
    }
}

#[test]
#[ignore = "needs every controller on cgroup v2: run in integration-tests/vm/run"]
fn io_is_weighted_and_throttled_by_device() {
    let mut bundle = Bundle::new("sleep 1000");
    let (_device, (major, minor)) = Loop::new(&bundle);
    let rate = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    bundle.spec["linux"]["resources"]["blockIO"] = json!({
        "weight": 1000, "throttleReadBpsDevice": rate(1 << 20), "throttleWriteIOPSDevice": rate(100)
    });
    bundle.start_detached();
    let max = cgroup_value(&bundle, "", "io.max");
    assert_eq!(max, format!("{major}:{minor} rbps=1048576 wbps=max riops=max wiops=100"));
    // The highest on both scales.
    assert_eq!(cgroup_value(&bundle, "", "io.weight"), "default 10000");
}

#[test]
#[ignore = "needs every controller on cgroup v2: run in integration-tests/vm/run"]
fn an_oom_kill_is_counted_in_the_containers_cgroup() {
    let script = "dd if=/dev/zero of=/dev/null bs=64M count=1; echo $? > /tmp/code; sleep 1000";
    let mut bundle = Bundle::new(script);
    bundle.spec["linux"]["resources"]["memory"] = json!({"limit": 16 << 20, "swap": 16 << 20});
    bundle.start_detached();
    let code = || fs::read_to_string(bundle.rootfs().join("tmp/code")).unwrap_or_default();
    wait_until("the victim is dead", || !code().is_empty());
    assert_eq!(code(), "137\n");
    let events = cgroup_value(&bundle, "", "memory.events");
    assert!(events.lines().any(|l| l == "oom_kill 1"), "{events}");
    assert_eq!(bundle.status(), "running");
}

#[test]
#[ignore = "needs every controller on cgroup v2: run in integration-tests/vm/run"]
fn pause_freezes_and_resume_thaws() {
    let bundle = Bundle::new("while :; do echo; sleep 0.05; done");
    bundle.start_detached();
    wait_until("it runs", || !bundle.written().is_empty());
    assert_eq!(bundle.call(&["pause", bundle.id()]).code, 0);
    let events = || cgroup_value(&bundle, "", "cgroup.events");
    assert!(events().contains("frozen 1"), "{}", events());
    let written = bundle.written().len();
    assert_eq!(bundle.status(), "paused");
    assert_eq!(bundle.written().len(), written);
    assert_eq!(bundle.call(&["resume", bundle.id()]).code, 0);
    wait_until("it goes on", || bundle.written().len() > written);
    assert!(events().contains("frozen 0"), "{}", events());
}

#[test]
#[ignore = "needs every controller on cgroup v2: run in integration-tests/vm/run"]
fn delete_ends_all_by_the_cgroup_and_takes_the_cgroups_below_with_it() {
    let script = "mkdir /sys/fs/cgroup/a /sys/fs/cgroup/a/b; sleep 1000 & \
                  echo $! > /sys/fs/cgroup/a/b/cgroup.procs; sleep 1000 & wait";
    let mut bundle = Bundle::new(script);
    bundle.without_namespace("pid");
    bundle.namespace("cgroup");
    bundle.mount(json!({"destination": "/sys", "type": "sysfs", "source": "sysfs"}));
    bundle.mount(json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}));
    bundle.start_detached();
    let deep: PathBuf = cgroup_file(&bundle, "", "a/b/cgroup.procs");
    wait_until("the deep cgroup has a member", || fs::read_to_string(&deep).is_ok_and(|t| !t.is_empty()));
    let pids: Vec<i64> =
        serde_json::from_str(&bundle.call(&["ps", "-f", "json", bundle.id()]).stdout).unwrap();
    assert!(pids.len() >= 3, "{pids:?}");
    assert_eq!(bundle.call(&["delete", "-f", bundle.id()]).code, 0);
    wait_until("nobody alive", || !pids.iter().any(|pid| is_alive(*pid)));
    bundle.assert_nothing_left();
}

#[test]
#[ignore = "needs every controller on cgroup v2: run in integration-tests/vm/run"]
fn an_exec_into_a_cgroup_below_is_limited_there() {
    let mut bundle = Bundle::new("mkdir /sys/fs/cgroup/sub && echo ok; sleep 1000");
    bundle.namespace("cgroup");
    bundle.mount(json!({"destination": "/sys", "type": "sysfs", "source": "sysfs"}));
    bundle.mount(json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}));
    bundle.start_detached();
    wait_until("the sub-cgroup is there", || bundle.written().contains("ok"));
    let answer = bundle.exec(&["--cgroup", "sub", bundle.id(), "cat", "/proc/self/cgroup"]);
    assert_eq!(answer.stdout, "0::/sub\n", "{answer:?}");
    assert_eq!(bundle.exec(&["--cgroup", "nosuch", bundle.id(), "true"]).code, 255);
}
