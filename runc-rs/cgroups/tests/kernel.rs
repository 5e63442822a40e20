//! Against the running kernel, as root: on whatever hierarchy this machine has, and again in a mount
//! namespace that has cgroup v2 alone.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use cgroups::{Cgroup, Cgroupfs, Host, Layout, OomWatch, Placement, Request, Stats, default_device_rules};
use oci_spec::runtime::LinuxResources;

/// A cgroup of this test, removed whatever happens.
struct Guard(Cgroup);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.thaw();
        let _ = self.0.kill_all();
        self.0.remove().unwrap();
        assert!(!self.0.exists());
        for (_, dir) in self.0.paths() {
            let _ = fs::remove_dir(dir.parent().unwrap());
        }
    }
}

fn cgroup(name: &str, resources: &LinuxResources) -> Guard {
    let path = PathBuf::from(format!("/runcrs-test-{}/{name}", std::process::id()));
    let request = Request { cgroups_path: Some(&path), id: name, resources: Some(resources) };
    let cgroup = Cgroupfs.place(&Host::detect().unwrap(), &request).unwrap();
    // Another test's end may take the shared parent away in between.
    while cgroup.create().is_err() {
        sleep_ms(1);
    }
    Guard(cgroup)
}

/// A shell that joins first (by `0` into the v1 files, or by being moved), then runs `script`.
fn inside(cgroup: &Cgroup, script: &str) -> Child {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("read go; {script}")).stdin(Stdio::piped()).stderr(Stdio::null());
    let mut child = shell.spawn().unwrap();
    cgroup.add(child.id() as i32).unwrap();
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    child
}

fn resources(json: &str) -> LinuxResources {
    serde_json::from_str(json).unwrap()
}

fn sleep_ms(ms: u64) {
    std::thread::sleep(std::time::Duration::from_millis(ms));
}

fn has(cgroup: &Cgroup, controller: &str) -> bool {
    match cgroup.layout() {
        Layout::V2 => fs::read_to_string(cgroup.unified().unwrap().join("cgroup.controllers"))
            .unwrap()
            .split_whitespace()
            .any(|c| c == controller),
        _ => cgroup.controller(controller).is_some(),
    }
}

#[test]
fn members_are_listed_frozen_thawed_and_killed() {
    let guard = cgroup("life", &LinuxResources::default());
    let cgroup = &guard.0;
    let mut child = inside(cgroup, "sleep 100 & sleep 100");
    while cgroup.pids().unwrap().len() < 3 {
        sleep_ms(2);
    }
    assert!(cgroup.pids().unwrap().contains(&(child.id() as i32)));
    assert_eq!(
        Cgroup::of_pid(child.id() as i32).unwrap().unified().is_some(),
        Host::detect().unwrap().unified.is_some()
    );
    assert!(!cgroup.is_frozen().unwrap());
    cgroup.freeze().unwrap();
    assert!(cgroup.is_frozen().unwrap());
    cgroup.thaw().unwrap();
    assert!(!cgroup.is_frozen().unwrap());
    cgroup.kill_all().unwrap();
    assert!(!child.wait().unwrap().success());
    cgroup.remove().unwrap();
    assert!(!cgroup.exists());
}

#[test]
fn a_saved_cgroup_is_the_same_and_small() {
    let guard = cgroup("saved", &LinuxResources::default());
    let text = serde_json::to_string(&guard.0).unwrap();
    assert_eq!(serde_json::from_str::<Cgroup>(&text).unwrap(), guard.0);
    assert!(text.len() < 1000, "{text}");
}

#[test]
fn devices_that_no_rule_allows_cannot_be_opened() {
    let guard = cgroup("devices", &LinuxResources::default());
    guard.0.apply_devices(&default_device_rules()).unwrap();
    // A second policy replaces the first.
    guard.0.apply_devices(&default_device_rules()).unwrap();
    let probe = "(exec 3</dev/kmsg) 2>/dev/null && exit 9; (exec 3</dev/null) || exit 8; exit 0";
    assert_eq!(inside(&guard.0, probe).wait().unwrap().code(), Some(0));
}

#[test]
fn a_device_rule_lets_just_that_device_in() {
    let guard = cgroup("device", &LinuxResources::default());
    let mut rules = default_device_rules();
    rules.extend(
        resources(r#"{"devices":[{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]}"#)
            .devices()
            .clone()
            .unwrap(),
    );
    guard.0.apply_devices(&rules).unwrap();
    assert_eq!(inside(&guard.0, "(exec 3</dev/kmsg) || exit 9").wait().unwrap().code(), Some(0));
    assert_eq!(
        inside(&guard.0, "(exec 3>/dev/kmsg) 2>/dev/null && exit 9; exit 0").wait().unwrap().code(),
        Some(0)
    );
}

#[test]
fn limits_are_in_force_and_counted() {
    let wanted = resources(
        r#"{"pids":{"limit":7},"memory":{"limit":33554432,"swap":33554432},"cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0"}}"#,
    );
    let guard = cgroup("limits", &wanted);
    let missing: Vec<&str> =
        ["pids", "memory", "cpu", "cpuset"].into_iter().filter(|c| !has(&guard.0, c)).collect();
    if let Some(name) = missing.first() {
        // A machine without the controller must say which one, not pass over the limit.
        let text = guard.0.apply(&wanted).unwrap_err().to_string();
        assert!(missing.iter().any(|m| text.contains(&format!("{m:?}"))), "{name}: {text}");
        return;
    }
    guard.0.apply(&wanted).unwrap();
    let mut child = inside(&guard.0, "sleep 100");
    match guard.0.stats().unwrap() {
        Stats::V1(s) => {
            assert_eq!((s.pids.unwrap().1, s.memory.limit), (7, 33_554_432));
            assert!(s.memory_stat.is_some() && s.cpu_usage.is_some() && s.oom.is_some());
            let cpu = guard.0.controller("cpu").unwrap();
            assert_eq!(fs::read_to_string(cpu.join("cpu.shares")).unwrap().trim(), "512");
            assert_eq!(fs::read_to_string(cpu.join("cpu.cfs_quota_us")).unwrap().trim(), "50000");
        }
        Stats::V2(s) => {
            assert_eq!((s.pids.unwrap().1, s.memory_limit, s.swap_limit), (7, 33_554_432, 0));
            let cpu = guard.0.unified().unwrap();
            assert_eq!(fs::read_to_string(cpu.join("cpu.max")).unwrap().trim(), "50000 100000");
        }
    }
    // Lowering and raising again, both in an order the kernel takes.
    guard.0.apply(&resources(r#"{"memory":{"limit":16777216,"swap":16777216}}"#)).unwrap();
    guard.0.apply(&resources(r#"{"memory":{"limit":67108864,"swap":134217728}}"#)).unwrap();
    guard.0.apply(&resources(r#"{"memory":{"limit":-1}}"#)).unwrap();
    guard.0.kill_all().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_out_of_memory_kill_wakes_the_watch() {
    let guard = cgroup("oom", &LinuxResources::default());
    let watch = OomWatch::new(&guard.0);
    if !has(&guard.0, "memory") {
        assert!(watch.unwrap_err().to_string().contains("memory"));
        return;
    }
    let mut watch = watch.unwrap();
    guard.0.apply(&resources(r#"{"memory":{"limit":8388608,"swap":8388608}}"#)).unwrap();
    assert_eq!(watch.drain().unwrap(), cgroups::OomEvent::Nothing);
    let status = inside(&guard.0, "head -c 60m /dev/zero | tail -c 60m >/dev/null").wait().unwrap();
    assert!(!status.success());
    for _ in 0..500 {
        if watch.drain().unwrap() == cgroups::OomEvent::Killed {
            return;
        }
        sleep_ms(2);
    }
    panic!("no event");
}

#[test]
fn huge_page_limits_reach_the_hierarchy_that_has_the_controller() {
    let wanted = resources(r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#);
    let guard = cgroup("huge", &wanted);
    guard.0.apply(&wanted).unwrap();
    let file = match guard.0.controller("hugetlb") {
        Some(dir) => dir.join("hugetlb.2MB.limit_in_bytes"),
        None => guard.0.unified().unwrap().join("hugetlb.2MB.max"),
    };
    assert_eq!(fs::read_to_string(file).unwrap().trim(), "4194304");
    guard.0.remove().unwrap();
}

#[test]
fn join_gives_a_directory_on_v2_and_task_files_on_v1() {
    let guard = cgroup("join", &LinuxResources::default());
    let join = guard.0.join().unwrap();
    match guard.0.layout() {
        Layout::V2 => assert!(join.into.is_some() && join.tasks.is_empty()),
        _ => assert_eq!(join.tasks.len(), Host::detect().unwrap().v1.len()),
    }
}

/// The whole file once more where only cgroup v2 is mounted.
#[test]
fn everything_here_holds_on_a_v2_only_machine() {
    if Host::detect().unwrap().layout() == Layout::V2 {
        assert!(Host::detect().unwrap().v1.is_empty());
        return;
    }
    let script = "umount -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["-m", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("10 passed"), "{text}");
}

#[test]
fn removing_a_cgroup_takes_those_below_it_too() {
    let guard = cgroup("tree", &LinuxResources::default());
    let below = guard.0.child(&PathBuf::from("a/../b"));
    below.create().unwrap();
    assert!(below.exists());
    guard.0.remove().unwrap();
    assert!(!below.exists());
}
