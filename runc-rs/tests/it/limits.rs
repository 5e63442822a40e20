//! Limits that need controllers: on v1 files of the hybrid host, on v2 files in the VM. A native view of
//! cgroup v2 has too few controllers here: its pass leaves this module out by name.

use serde_json::{Value, json};

use crate::bundle::Bundle;
use crate::events::Events;
use crate::host::{cgroup_value, is_v2};

/// A container that sleeps with these resources, besides its device rules.
fn limited(resources: Value) -> Bundle {
    let mut bundle = Bundle::new("sleep 1000");
    for (key, value) in resources.as_object().unwrap() {
        bundle.spec["linux"]["resources"][key] = value.clone();
    }
    bundle.start_detached();
    bundle
}

#[test]
fn cpu_time_and_weight_are_limited() {
    let bundle = limited(json!({"cpu": {"shares": 2048, "quota": 50_000, "period": 100_000}}));
    if is_v2() {
        assert_eq!(cgroup_value(&bundle, "", "cpu.max"), "50000 100000");
        // 1024, the default of v1, is 100, the default of v2; twice as much lies on a curve above it.
        let weight: u32 = cgroup_value(&bundle, "", "cpu.weight").parse().unwrap();
        assert!((101..1000).contains(&weight), "{weight}");
    } else {
        assert_eq!(cgroup_value(&bundle, "cpu/cpu.shares", ""), "2048");
        assert_eq!(cgroup_value(&bundle, "cpu/cpu.cfs_quota_us", ""), "50000");
        assert_eq!(cgroup_value(&bundle, "cpu/cpu.cfs_period_us", ""), "100000");
    }
}

#[test]
fn memory_and_swap_are_limited() {
    let mib = 1 << 20;
    let bundle = limited(json!({"memory": {"limit": 64 * mib, "reservation": 32 * mib, "swap": 96 * mib}}));
    let bytes = |v1: &str, v2: &str| cgroup_value(&bundle, v1, v2).parse::<u64>().unwrap() / mib;
    assert_eq!(bytes("memory/memory.limit_in_bytes", "memory.max"), 64);
    assert_eq!(bytes("memory/memory.soft_limit_in_bytes", "memory.low"), 32);
    let swap = bytes("memory/memory.memsw.limit_in_bytes", "memory.swap.max");
    assert_eq!(swap, if is_v2() { 32 } else { 96 });
}

#[test]
fn a_bomb_of_processes_stops_at_the_limit() {
    let mut bundle = Bundle::new("for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; echo all");
    bundle.spec["linux"]["resources"]["pids"] = json!({"limit": 5});
    let answer = bundle.run();
    assert!(answer.code != 0 && answer.stderr.contains("can't fork"), "{answer:?}");
    assert_eq!(answer.stdout, "");
    bundle.assert_nothing_left();
}

#[test]
fn cpus_and_memory_nodes_are_bound() {
    let bundle = limited(json!({"cpu": {"cpus": "0", "mems": "0"}}));
    assert_eq!(cgroup_value(&bundle, "cpuset/cpuset.cpus", "cpuset.cpus"), "0");
    assert_eq!(cgroup_value(&bundle, "cpuset/cpuset.mems", "cpuset.mems"), "0");
    let answer = bundle.exec(&[bundle.id(), "grep", "Cpus_allowed_list", "/proc/self/status"]);
    assert_eq!(answer.stdout.split_whitespace().last(), Some("0"), "{answer:?}");
}

#[test]
fn a_program_beyond_its_memory_is_killed() {
    let mut bundle = Bundle::new("exec dd if=/dev/zero of=/dev/null bs=64M count=1");
    bundle.spec["linux"]["resources"]["memory"] = json!({"limit": 16 << 20, "swap": 16 << 20});
    let answer = bundle.run();
    assert_eq!(answer.code, 137, "{answer:?}");
    bundle.assert_nothing_left();
}

#[test]
fn update_changes_what_it_names_and_nothing_else() {
    let mib = 1u64 << 20;
    let bundle = limited(json!({"memory": {"limit": 64 * mib, "swap": 64 * mib}, "pids": {"limit": 50},
        "cpu": {"quota": 50_000, "period": 100_000}}));
    let answer = bundle.call(&["update", "--pids-limit", "44", "--cpu-quota", "20000", bundle.id()]);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(cgroup_value(&bundle, "pids/pids.max", "pids.max"), "44");
    let memory = || cgroup_value(&bundle, "memory/memory.limit_in_bytes", "memory.max").parse::<u64>();
    assert_eq!(memory(), Ok(64 * mib));
    let quota = cgroup_value(&bundle, "cpu/cpu.cfs_quota_us", "cpu.max");
    assert_eq!(quota, if is_v2() { "20000 100000" } else { "20000" });

    let answer = bundle.call(&["update", "--memory", "128M", "--memory-swap", "256M", bundle.id()]);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(memory(), Ok(128 * mib));
    std::fs::write(bundle.dir.join("r.json"), json!({"memory": {"limit": 96 * mib}}).to_string()).unwrap();
    let answer = bundle.call(&["update", "-r", "r.json", bundle.id()]);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(memory(), Ok(96 * mib));
}

#[test]
fn update_refuses_what_it_cannot_read_or_do() {
    let bundle = limited(json!({"pids": {"limit": 50}}));
    let id = bundle.id();
    std::fs::write(bundle.dir.join("r.json"), "{").unwrap();
    for args in [
        &["--memory", "lots", id][..],
        &["--pids-limit", "many", id],
        &["-r", "r.json", id],
        &["-r", "nosuch.json", id],
        &["--cpuset-cpus", "99999", id],
    ] {
        let answer = bundle.call(&[&["update"], args].concat());
        assert_eq!(answer.code, 1, "{args:?}: {answer:?}");
    }
    assert_eq!(bundle.call(&["update", "--pids-limit", "44", "nobody"]).code, 1);
    assert_eq!(cgroup_value(&bundle, "pids/pids.max", "pids.max"), "50");
}

#[test]
fn a_limit_that_cannot_be_set_fails_the_create_and_leaves_nothing() {
    for resources in [
        json!({"cpu": {"cpus": "99999"}}),
        json!({"cpu": {"quota": 1}}),
        json!({"memory": {"limit": 64 << 20, "swap": 32 << 20}}),
    ] {
        let mut bundle = Bundle::new("true");
        bundle.spec["linux"]["resources"] = resources.clone();
        let answer = bundle.run();
        assert_eq!(answer.code, 1, "{resources}: {answer:?}");
        bundle.assert_nothing_left();
    }
}

#[test]
fn stats_show_limits_and_use() {
    let bundle = limited(json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 50}}));
    let answer = bundle.call(&["events", "--stats", bundle.id()]);
    let event: Value = serde_json::from_str(&answer.stdout).unwrap();
    let number = |pointer: &str| event["data"].pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    assert_eq!((number("/memory/usage/limit"), number("/pids/limit")), (64 << 20, 50), "{event}");
    assert_eq!(number("/pids/current"), 1);
    assert!(number("/memory/usage/usage") > 0 && number("/memory/raw/pgfault") > 0, "{event}");
}

#[test]
fn counters_come_at_their_interval_and_a_kill_for_memory_is_told() {
    let mut bundle = Bundle::new(
        "while [ ! -e /tmp/go ]; do sleep 0.1; done; dd if=/dev/zero of=/dev/null bs=64M; sleep 1000",
    );
    bundle.spec["linux"]["resources"]["memory"] = json!({"limit": 16 << 20, "swap": 16 << 20});
    bundle.start_detached();
    let mut events = Events::of(&bundle, "200ms");
    for _ in 0..2 {
        assert_eq!(events.next().unwrap()["type"], "stats");
    }
    std::fs::write(bundle.rootfs().join("tmp/go"), "").unwrap();
    let killed = std::iter::from_fn(|| events.next()).take(300).find(|event| event["type"] == "oom");
    assert_eq!(killed.expect("the kill is told")["id"], bundle.id());
    assert_eq!(bundle.call(&["delete", "-f", bundle.id()]).code, 0);
    // They end with the container.
    assert!(std::iter::from_fn(|| events.next()).take(300).count() < 300);
}

#[test]
fn of_a_quota_and_its_period_the_one_that_is_not_named_stays() {
    let bundle = limited(json!({"cpu": {"quota": 50_000, "period": 100_000}}));
    let update = |flag: &str, value: &str| {
        let answer = bundle.call(&["update", flag, value, bundle.id()]);
        assert_eq!(answer.code, 0, "{answer:?}");
        if is_v2() {
            return cgroup_value(&bundle, "", "cpu.max");
        }
        let quota = cgroup_value(&bundle, "cpu/cpu.cfs_quota_us", "");
        format!("{quota} {}", cgroup_value(&bundle, "cpu/cpu.cfs_period_us", ""))
    };
    assert_eq!(update("--cpu-period", "200000"), "50000 200000");
    assert_eq!(update("--cpu-quota", "60000"), "60000 200000");
    assert_eq!(update("--cpu-quota", "-1").split(' ').next_back(), Some("200000"));
}
