//! Under systemd, in a service with `Delegate=yes` (`integration-tests/vm/run --systemd`): the cgroupfs driver
//! stays inside what was delegated, and systemd leaves it alone; `scope` is the driver that asks systemd.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::bundle::Bundle;
use crate::host::{cgroup_value, cgroups_named};

/// Steps aside into a cgroup below the unit's, as a manager with containers must, and gives the unit's.
fn unit() -> PathBuf {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = PathBuf::from("/sys/fs/cgroup").join(text.trim().trim_start_matches("0::/"));
    if own.ends_with("supervisor") {
        return own.parent().unwrap().to_owned();
    }
    let aside = own.join("supervisor");
    fs::create_dir_all(&aside).unwrap();
    fs::write(aside.join("cgroup.procs"), std::process::id().to_string()).unwrap();
    own
}

fn systemctl(args: &[&str]) -> String {
    let output = Command::new("systemctl").args(args).output().unwrap();
    assert!(output.status.success(), "systemctl {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "needs systemd as PID 1: run in integration-tests/vm/run --systemd"]
fn a_container_lives_in_the_delegated_unit_and_survives_a_reload() {
    let unit = unit();
    assert!(fs::read_to_string("/proc/1/comm").unwrap().starts_with("systemd"));
    let mut bundle = Bundle::new("sleep 1000");
    bundle.spec["linux"]["resources"]["memory"] = json!({"limit": 64 << 20});
    bundle.spec["linux"]["resources"]["pids"] = json!({"limit": 44});
    bundle.spec["linux"]["devices"] =
        json!([{"path": "/dev/mine", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}]);
    bundle.start_detached();
    let limits_hold = || {
        assert_eq!(cgroups_named(bundle.id()), [unit.join(bundle.id())]);
        assert_eq!(cgroup_value(&bundle, "", "memory.max"), (64 << 20).to_string());
        assert_eq!(cgroup_value(&bundle, "", "pids.max"), "44");
        let answer =
            bundle.exec(&[bundle.id(), "sh", "-c", "(: < /dev/mine) 2>&1 | grep -c 'not permitted'"]);
        assert_eq!(answer.stdout, "1\n", "{answer:?}");
    };
    limits_hold();
    systemctl(&["daemon-reload"]);
    limits_hold();
    let name = unit.file_name().unwrap().to_str().unwrap();
    assert!(
        systemctl(&["show", "-p", "ActiveState", name]).contains("=active") || name.ends_with(".service")
    );
    assert_eq!(bundle.call(&["delete", "-f", bundle.id()]).code, 0);
    bundle.assert_nothing_left();
}

#[test]
#[ignore = "needs systemd as PID 1: run in integration-tests/vm/run --systemd"]
fn systemds_shared_root_loses_nothing_to_a_container_whatever_its_propagation() {
    unit();
    let mounts = || fs::read_to_string("/proc/1/mountinfo").unwrap();
    let before = mounts();
    assert!(before.contains(" shared:"), "systemd makes / shared: {before}");
    for propagation in [json!(null), json!("rshared"), json!("rprivate"), json!("rslave")] {
        let mut bundle = Bundle::new("true");
        bundle.spec["linux"]["rootfsPropagation"] = propagation.clone();
        bundle.output();
        assert_eq!(mounts(), before, "{propagation}");
    }
}
