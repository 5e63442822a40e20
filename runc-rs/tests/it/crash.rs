//! A runtime that is killed in the middle: what it leaves is found and removed by `delete -f`.

use std::process::Stdio;

use crate::bundle::{Bundle, runtime};
use crate::host::{cgroups_named, wait_until};

/// Everything of the container is gone, also what nobody has a record of.
fn assert_deleted(bundle: &Bundle) {
    let answer = bundle.call(&["delete", "-f", bundle.id()]);
    assert_eq!(answer.code, 0, "{answer:?}");
    bundle.assert_nothing_left();
}

#[test]
fn a_foreground_run_that_is_killed_leaves_a_container_that_can_be_deleted() {
    let bundle = Bundle::new("echo up; sleep 1000");
    let out = std::fs::File::create(bundle.dir.join("out")).unwrap();
    let mut command = bundle.command(&runtime(), &["run", bundle.id()]);
    let mut child = command.stdout(out.try_clone().unwrap()).stderr(Stdio::from(out)).spawn().unwrap();
    wait_until("the program runs", || bundle.written().contains("up"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(bundle.status(), "running");
    assert!(!cgroups_named(bundle.id()).is_empty());
    assert_deleted(&bundle);
}

#[test]
fn a_container_whose_init_was_killed_from_outside_is_stopped_and_deletable() {
    let bundle = Bundle::running();
    let pid = bundle.pid();
    let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
    bundle.wait_for("stopped");
    assert_eq!(bundle.call(&["delete", bundle.id()]).code, 0);
    bundle.assert_nothing_left();
}

/// runc 1.1 does not delete what has a broken state, and leaves cgroups of a create that was killed.
mod ours_alone {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::assert_deleted;
    use crate::bundle::{Bundle, runtime};
    use crate::host::{is_alive, wait_until};

    /// Processes of the container: those whose root file system is the bundle's, or that have its cgroup.
    fn members(bundle: &Bundle) -> Vec<i64> {
        let pids = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = pids.filter_map(|e| e.file_name().to_str()?.parse::<i64>().ok());
        let inside = |pid: &i64| {
            let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            is_alive(*pid) && cgroup.lines().any(|l| l.ends_with(&format!("/{}", bundle.id())))
        };
        pids.filter(inside).collect()
    }

    #[test]
    fn a_broken_state_is_told_skipped_in_lists_and_deleted_with_all_that_it_named() {
        for text in [&b""[..], b"{", b"{\"version\": 1}", b"\xff\xfe", b"[[[[", b"{\"version\": 99}"] {
            let bundle = Bundle::running();
            let (id, pid) = (bundle.id(), bundle.pid());
            let path = bundle.state_dir().join(id).join("state.json");
            std::fs::write(&path, text).unwrap();
            for command in ["state", "start", "pause", "delete", "kill"] {
                let answer = bundle.call(&[command, id]);
                assert!(answer.code == 1 && answer.stderr.contains("state.json"), "{command}: {answer:?}");
            }
            assert_eq!(bundle.exec(&[id, "true"]).code, 255);
            let list = bundle.call(&["list", "-f", "json"]);
            assert!(list.code == 0 && list.stdout.trim() == "null", "{list:?}");
            assert!(list.stderr.contains(id), "{list:?}");
            assert!(bundle.run().stderr.contains("container with given ID already exists"));
            assert_eq!(bundle.call(&["delete", "-f", id]).code, 0);
            wait_until("the init is dead", || !is_alive(pid));
            bundle.assert_nothing_left();
        }
    }

    #[test]
    fn a_list_shows_the_others_beside_a_broken_one() {
        let bundle = Bundle::running();
        let broken = bundle.state_dir().join("broken");
        std::fs::create_dir(&broken).unwrap();
        std::fs::write(broken.join("state.json"), "{").unwrap();
        let list: Value = serde_json::from_str(&bundle.call(&["list", "-f", "json"]).stdout).unwrap();
        assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
        assert_eq!(bundle.call(&["delete", "-f", "broken"]).code, 0);
        assert!(!broken.exists());
    }

    #[test]
    fn a_create_that_was_killed_before_it_wrote_anything_is_found_and_deleted() {
        let bundle = Bundle::new("true");
        std::fs::create_dir_all(bundle.state_dir().join(bundle.id())).unwrap();
        assert!(bundle.run().stderr.contains("container with given ID already exists"));
        assert_eq!(bundle.call(&["delete", "-f", bundle.id()]).code, 0);
        assert_eq!(bundle.run().code, 0);
    }

    #[test]
    fn a_create_killed_in_a_hook_leaves_nothing_that_delete_does_not_find() {
        for kind in ["prestart", "createRuntime"] {
            let mut bundle = Bundle::new("sleep 1000");
            // A hook's parent is the runtime.
            bundle.spec["hooks"][kind] = json!([{"path": "/bin/sh", "args": ["sh", "-c", "kill -9 $PPID"], "env": ["PATH=/usr/bin:/bin"]}]);
            let answer = bundle.detached(&["create", bundle.id()]);
            assert_ne!(answer.code, 0, "{kind}: {answer:?}");
            assert_deleted(&bundle);
            wait_until("no process is left", || members(&bundle).is_empty());
        }
    }

    #[test]
    fn a_create_killed_at_any_moment_leaves_nothing_that_delete_does_not_find() {
        for step in 0..40u64 {
            let bundle = Bundle::new("sleep 1000");
            let out = std::fs::File::create(bundle.dir.join("out")).unwrap();
            let mut command = bundle.command(&runtime(), &["create", bundle.id()]);
            let mut child = command.stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
            std::thread::sleep(Duration::from_micros(step * 300));
            child.kill().unwrap();
            child.wait().unwrap();
            assert_deleted(&bundle);
            wait_until("no process is left", || members(&bundle).is_empty());
        }
    }
}
