//! A container's cgroup: where it is, what it looks like from inside, who dies with it, which devices open.

use std::fs;

use serde_json::json;

use crate::bundle::Bundle;
use crate::host::{cgroups_named, is_alive, is_v2, wait_until};

#[test]
fn an_absolute_path_is_the_place_and_goes_with_the_container() {
    let mut bundle = Bundle::new("sleep 1000");
    let parent = format!("parent-{}", bundle.id());
    bundle.spec["linux"]["cgroupsPath"] = json!(format!("/{parent}/{}", bundle.id()));
    bundle.start_detached();
    let dirs = cgroups_named(bundle.id());
    assert!(!dirs.is_empty() && dirs.iter().all(|dir| dir.parent().unwrap().ends_with(&parent)), "{dirs:?}");
    let own = fs::read_to_string(format!("/proc/{}/cgroup", bundle.pid())).unwrap();
    assert!(own.contains(&format!("/{parent}/{}", bundle.id())), "{own}");
    assert_eq!(bundle.call(&["delete", "-f", bundle.id()]).code, 0);
    bundle.assert_nothing_left();
    for dir in cgroups_named(&parent) {
        fs::remove_dir(dir).unwrap();
    }
}

/// Fails with a build that leaves the v2 side of a hybrid machine out.
#[test]
fn every_hierarchy_has_the_container_and_what_is_executed_in_it_at_its_place() {
    let bundle = Bundle::new("sleep 1000");
    bundle.start_detached();
    let text = bundle.exec(&[bundle.id(), "cat", "/proc/self/cgroup", "/proc/1/cgroup"]).stdout;
    // The kernel lists v1 hierarchies also where a view shows v2 alone.
    let visible: Vec<&str> = text.lines().filter(|line| !is_v2() || line.starts_with("0::")).collect();
    let inside = |line: &&str| line.ends_with(&format!("/{}", bundle.id()));
    assert!(visible.len() >= 2 && visible.iter().all(inside), "{text}");
    assert_eq!(bundle.call(&["delete", "-f", bundle.id()]).code, 0);
    bundle.assert_nothing_left();
}

#[test]
fn a_container_with_a_cgroup_namespace_sees_itself_at_the_root_and_cannot_write() {
    let script = "cut -d: -f3 /proc/self/cgroup | grep -vc '^/$'; ls /sys/fs/cgroup | wc -l; \
                  mkdir /sys/fs/cgroup/x 2>/dev/null || mkdir /sys/fs/cgroup/pids/x 2>/dev/null || echo refused";
    let mut bundle = Bundle::new(script);
    bundle.namespace("cgroup");
    bundle.mount(json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]}));
    bundle.mount(json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
        "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}));
    let text = bundle.output();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0] == "0" && lines[1] != "0" && lines[2] == "refused", "{text}");
}

#[test]
fn an_exec_goes_into_the_cgroups_below_that_are_named() {
    let bundle = Bundle::running();
    for dir in cgroups_named(bundle.id()) {
        fs::create_dir(dir.join("sub")).unwrap();
        // On v1 a new one is empty and takes nobody.
        for file in ["cpuset.cpus", "cpuset.mems"].iter().filter(|file| !is_v2() && dir.join(file).exists()) {
            fs::write(dir.join("sub").join(file), fs::read(dir.join(file)).unwrap()).unwrap();
        }
    }
    let places = |cgroup: &[&str]| {
        let answer = bundle.exec(&[cgroup, &[bundle.id(), "cat", "/proc/self/cgroup"]].concat());
        assert_eq!(answer.code, 0, "{answer:?}");
        let below = |line: &&str| line.ends_with(&format!("/{}/sub", bundle.id()));
        answer.stdout.lines().filter(below).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(places(&["--cgroup", "sub"]).len(), cgroups_named(bundle.id()).len());
    if !is_v2() {
        let named = places(&["--cgroup", "pids,freezer:sub", "--cgroup", "cpu:sub"]);
        assert!(named.len() == 3 && named.iter().any(|line| line.contains(":pids:")), "{named:?}");
    }
    for wrong in
        [&["--cgroup", "nosuch"][..], &["--cgroup", "nosuch:sub"], &["--cgroup", "a", "--cgroup", "b"]]
    {
        assert_eq!(bundle.exec(&[wrong, &[bundle.id(), "true"]].concat()).code, 255, "{wrong:?}");
    }
}

#[test]
fn without_a_pid_namespace_the_cgroup_ends_what_the_init_left_behind() {
    let mut bundle = Bundle::new("sleep 1000 & sleep 1000 & sleep 1000");
    bundle.without_namespace("pid");
    bundle.start_detached();
    let pids = || -> Vec<i64> {
        serde_json::from_str(&bundle.call(&["ps", "-f", "json", bundle.id()]).stdout).unwrap()
    };
    wait_until("three processes", || pids().len() == 3);
    let all = pids();
    assert_eq!(bundle.call(&["kill", bundle.id(), "KILL"]).code, 0);
    bundle.wait_for("stopped");
    assert_eq!(bundle.call(&["delete", bundle.id()]).code, 0);
    wait_until("nobody alive", || !all.iter().any(|pid| is_alive(*pid)));
    bundle.assert_nothing_left();
}

#[test]
fn kill_all_reaches_every_process() {
    let mut bundle = Bundle::new(
        "trap 'exit 9' USR1; \
         (trap 'echo > /tmp/got; exit' USR1; echo > /tmp/up; while :; do sleep 0.05; done) & \
         while :; do sleep 0.05; done",
    );
    bundle.without_namespace("pid");
    bundle.start_detached();
    let there = |name: &str| bundle.rootfs().join("tmp").join(name).exists();
    wait_until("both shells are up", || there("up"));
    assert_eq!(bundle.call(&["kill", "--all", bundle.id(), "USR1"]).code, 0);
    bundle.wait_for("stopped");
    wait_until("the second shell got it too", || there("got"));
}

#[test]
fn device_rules_decide_what_opens() {
    let script = "for d in none read write; do \
        { (: < /dev/$d); } 2>&1 | grep -c 'not permitted'; { (: > /dev/$d); } 2>&1 | grep -c 'not permitted'; \
        done; mknod /tmp/made c 10 229 && { (: < /tmp/made); } 2>&1 | grep -c 'not permitted'; :";
    let mut bundle = Bundle::new(script);
    // The same driver under three names would be one rule: three misc devices, whether or not they are there.
    bundle.spec["linux"]["devices"] = json!([]);
    for (name, minor) in [("none", 229), ("read", 228), ("write", 235)] {
        let path = format!("/dev/{name}");
        let device = json!({"path": path, "type": "c", "major": 10, "minor": minor, "fileMode": 0o666});
        bundle.push("/linux/devices", device);
    }
    for (minor, access) in [(228, "r"), (235, "w")] {
        let rule = json!({"allow": true, "type": "c", "major": 10, "minor": minor, "access": access});
        bundle.push("/linux/resources/devices", rule);
    }
    for set in ["bounding", "effective", "permitted"] {
        bundle.push(&format!("/process/capabilities/{set}"), json!("CAP_MKNOD"));
    }
    let text = bundle.output();
    let refused: Vec<&str> = text.lines().collect();
    assert_eq!(refused, ["1", "1", "0", "1", "1", "0", "1"], "read and write of each; a node made inside");
}

#[test]
fn every_device_opens_where_the_spec_allows_all() {
    let mut bundle = Bundle::new("{ (: < /dev/any); } 2>&1 | grep -c 'not permitted'; :");
    bundle.spec["linux"]["resources"]["devices"] = json!([{"allow": true, "access": "rwm"}]);
    bundle.spec["linux"]["devices"] =
        json!([{"path": "/dev/any", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}]);
    assert_eq!(bundle.output(), "0\n");
}

/// runc 1.1 has no hugetlb on a hybrid machine.
mod ours_alone {
    use serde_json::json;

    use crate::bundle::Bundle;
    use crate::host::cgroup_value;

    #[test]
    fn huge_pages_are_limited_by_whichever_hierarchy_has_them() {
        let mut bundle = Bundle::new("sleep 1000");
        bundle.spec["linux"]["resources"]["hugepageLimits"] = json!([{"pageSize": "2MB", "limit": 4 << 20}]);
        bundle.start_detached();
        assert_eq!(cgroup_value(&bundle, "unified/hugetlb.2MB.max", "hugetlb.2MB.max"), "4194304");
    }
}
