//! `--systemd-cgroup` under systemd (`integration-tests/vm/run --systemd`): a container is a scope of its slice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::bundle::{Answer, Bundle};
use crate::host::{cgroups_named, wait_until};
use crate::namespaces::mapped;

/// A container with the systemd driver, in a slice of this test's.
struct Scope(Bundle);

impl Scope {
    fn new(script: &str) -> Self {
        let mut bundle = Bundle::new(script);
        bundle.spec["linux"]["cgroupsPath"] = json!(format!("rrt-one.slice:pre:{}", bundle.id()));
        Self(bundle)
    }

    fn unit(&self) -> String {
        format!("pre-{}.scope", self.0.id())
    }

    fn dir(&self) -> PathBuf {
        Path::new("/sys/fs/cgroup/rrt.slice/rrt-one.slice").join(self.unit())
    }

    fn start(&self) {
        let answer = self.0.detached(&["--systemd-cgroup", "run", "-d", self.0.id()]);
        assert_eq!(answer.code, 0, "{answer:?}");
    }

    fn call(&self, args: &[&str]) -> Answer {
        self.0.call(&[&["--systemd-cgroup"], args].concat())
    }

    fn property(&self, name: &str) -> String {
        let output =
            Command::new("systemctl").args(["show", "--value", "-p", name, &self.unit()]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn file(&self, name: &str) -> String {
        let path = self.dir().join(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        text.trim_end().to_owned()
    }

    fn assert_gone(&self) {
        assert_eq!(self.property("LoadState"), "not-found");
        assert!(cgroups_named(&self.unit()).is_empty());
        self.0.assert_nothing_left();
    }
}

fn reload() {
    assert!(Command::new("systemctl").arg("daemon-reload").status().unwrap().success());
}

#[test]
#[ignore = "needs systemd as PID 1: run in integration-tests/vm/run --systemd"]
fn a_container_is_a_scope_with_its_limits_and_a_reload_changes_none() {
    let mut scope = Scope::new("sleep 1000");
    scope.0.spec["linux"]["resources"]["memory"] = json!({"limit": 64 << 20, "reservation": 32 << 20});
    scope.0.spec["linux"]["resources"]["pids"] = json!({"limit": 44});
    scope.0.spec["linux"]["resources"]["cpu"] =
        json!({"shares": 1024, "quota": 50_000, "period": 100_000, "cpus": "0"});
    scope.0.spec["linux"]["devices"] =
        json!([{"path": "/dev/mine", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}]);
    scope.start();
    let limits_hold = || {
        for (name, value) in [
            ("Slice", "rrt-one.slice"),
            ("Delegate", "yes"),
            ("MemoryMax", "67108864"),
            ("MemoryLow", "33554432"),
            ("TasksMax", "44"),
            ("CPUQuotaPerSecUSec", "500ms"),
            ("AllowedCPUs", "0"),
            ("DevicePolicy", "strict"),
        ] {
            assert_eq!(scope.property(name), value, "{name}");
        }
        for (name, value) in [
            ("memory.max", "67108864"),
            ("memory.low", "33554432"),
            ("pids.max", "44"),
            ("cpu.max", "50000 100000"),
            ("cpuset.cpus", "0"),
        ] {
            assert_eq!(scope.file(name), value, "{name}");
        }
        let script =
            "(: < /dev/mine) 2>&1 | grep -c 'not permitted'; echo > /dev/null && cat /proc/self/cgroup";
        let answer = scope.call(&["exec", scope.0.id(), "sh", "-c", script]);
        let place = scope.dir();
        let place = place.strip_prefix("/sys/fs/cgroup").unwrap().display();
        assert_eq!(answer.stdout, format!("1\n0::/{place}\n"), "{answer:?}");
    };
    limits_hold();
    reload();
    limits_hold();
    assert_eq!(scope.call(&["delete", "-f", scope.0.id()]).code, 0);
    scope.assert_gone();
}

#[test]
#[ignore = "needs systemd as PID 1: run in integration-tests/vm/run --systemd"]
fn an_update_reaches_the_kernel_and_systemd() {
    let scope = Scope::new("sleep 1000");
    scope.start();
    let args = ["--memory", "32M", "--pids-limit", "20", "--cpu-quota", "20000", "--cpu-period", "100000"];
    let answer = scope.call(&[&["update"], &args[..], &[scope.0.id()]].concat());
    assert_eq!(answer.code, 0, "{answer:?}");
    reload();
    assert_eq!((scope.file("memory.max"), scope.file("pids.max")), ("33554432".into(), "20".into()));
    assert_eq!((scope.property("MemoryMax"), scope.property("TasksMax")), ("33554432".into(), "20".into()));
    assert_eq!(
        (scope.file("cpu.max"), scope.property("CPUQuotaPerSecUSec")),
        ("20000 100000".into(), "200ms".into())
    );
}

#[test]
#[ignore = "needs systemd as PID 1: run in integration-tests/vm/run --systemd"]
fn annotations_are_properties_of_the_scope() {
    let mut scope = Scope::new("sleep 1000");
    scope.0.spec["annotations"] = json!({
        "org.systemd.property.TimeoutStopUSec": "uint64 123000000",
        "org.systemd.property.CollectMode": "'inactive-or-failed'",
        "org.systemd.property.Description": "'my box'",
    });
    scope.start();
    assert_eq!(scope.property("TimeoutStopUSec"), "2min 3s");
    assert_eq!(scope.property("CollectMode"), "inactive-or-failed");
    assert_eq!(scope.property("Description"), "my box");
    let mut wrong = Scope::new("true");
    wrong.0.spec["annotations"] = json!({"org.systemd.property.TimeoutStopUSec": "what"});
    let answer = wrong.call(&["run", wrong.0.id()]);
    assert!(answer.code == 1 && answer.stderr.contains("TimeoutStopUSec"), "{answer:?}");
    wrong.assert_gone();
}

#[test]
#[ignore = "needs systemd as PID 1: run in integration-tests/vm/run --systemd"]
fn the_scope_of_a_run_in_the_foreground_ends_with_it_also_when_it_ran_out_of_memory() {
    let scope = Scope::new("cat /proc/self/cgroup; exit 5");
    let answer = scope.call(&["run", scope.0.id()]);
    assert!(answer.code == 5 && answer.stdout.contains(&scope.unit()), "{answer:?}");
    scope.assert_gone();
    let mut greedy = Scope::new("dd if=/dev/zero of=/dev/null bs=64M");
    greedy.0.spec["linux"]["resources"]["memory"] = json!({"limit": 8 << 20, "swap": 8 << 20});
    for _ in 0..2 {
        assert_ne!(greedy.call(&["run", greedy.0.id()]).code, 0);
        greedy.assert_gone();
    }
}

#[test]
#[ignore = "needs systemd as PID 1: run in integration-tests/vm/run --systemd"]
fn without_a_path_it_is_in_the_systems_slice_and_a_user_namespace_changes_nothing() {
    let mut bundle = Bundle::new("sleep 1000");
    mapped(&mut bundle);
    bundle.namespace("cgroup");
    let answer = bundle.detached(&["--systemd-cgroup", "run", "-d", bundle.id()]);
    assert_eq!(answer.code, 0, "{answer:?}");
    let place = format!("/sys/fs/cgroup/system.slice/runc-{}.scope/cgroup.procs", bundle.id());
    assert_eq!(fs::read_to_string(&place).unwrap().trim(), bundle.pid().to_string());
    let inside = bundle.exec(&[bundle.id(), "cat", "/proc/1/cgroup"]).stdout;
    assert_eq!(inside, "0::/\n", "the namespace is made in the scope");
    // Its scope ends by itself; the state stays until it is deleted.
    assert_eq!(bundle.call(&["--systemd-cgroup", "kill", bundle.id(), "KILL"]).code, 0);
    bundle.wait_for("stopped");
    wait_until("the scope is gone", || !Path::new(&place).exists());
    assert_eq!(bundle.call(&["--systemd-cgroup", "delete", bundle.id()]).code, 0);
    bundle.assert_nothing_left();
}

/// runc 1.1 has another curve for shares, and tells systemd of no weight of I/O.
mod ours_alone {
    use super::*;

    #[test]
    #[ignore = "needs systemd as PID 1: run in integration-tests/vm/run --systemd"]
    fn weights_are_the_same_for_systemd_and_the_kernel_also_after_a_reload() {
        let mut scope = Scope::new("sleep 1000");
        scope.0.spec["linux"]["resources"]["cpu"] = json!({"shares": 2048});
        scope.0.spec["linux"]["resources"]["blockIO"] = json!({"weight": 500});
        scope.start();
        let weights = || (scope.file("cpu.weight"), scope.file("io.weight"));
        let (cpu, io) = weights();
        assert_eq!(
            (scope.property("CPUWeight"), format!("default {}", scope.property("IOWeight"))),
            (cpu, io)
        );
        let before = weights();
        reload();
        assert_eq!(weights(), before);
        assert_ne!(before.0, "100", "the default");
    }
}
