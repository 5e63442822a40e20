//! create, start, state, kill, delete, list, pause.

use serde_json::{Value, json};

use crate::bundle::Bundle;

#[test]
fn a_created_container_waits_for_start_and_is_gone_after_delete() {
    let bundle = Bundle::new("echo ran > /tmp/mark; sleep 1000");
    let id = bundle.id();
    let answer = bundle.detached(&["create", "--pid-file", "pid", id]);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(bundle.status(), "created");
    assert!(!bundle.rootfs().join("tmp/mark").exists());
    let pid = std::fs::read_to_string(bundle.dir.join("pid")).unwrap();
    let state: Value = serde_json::from_str(&bundle.call(&["state", id]).stdout).unwrap();
    assert_eq!(state["pid"].to_string(), pid);
    assert_eq!(state["bundle"], bundle.dir.to_str().unwrap());
    assert_eq!(bundle.call(&["start", id]).code, 0);
    assert_eq!(bundle.status(), "running");
    let again = bundle.call(&["start", id]);
    assert!(
        again.code == 1 && again.stderr.contains("cannot start an already running container"),
        "{again:?}"
    );
    let refused = bundle.call(&["delete", id]);
    assert!(refused.stderr.contains("that is not stopped: running"), "{refused:?}");
    assert_eq!(bundle.call(&["kill", id, "KILL"]).code, 0);
    bundle.wait_for("stopped");
    assert!(bundle.call(&["kill", id]).stderr.contains("container not running"));
    assert!(bundle.call(&["start", id]).stderr.contains("cannot start a container that has stopped"));
    assert_eq!(bundle.call(&["delete", id]).code, 0);
    assert!(bundle.call(&["state", id]).stderr.contains("container does not exist"));
    bundle.assert_nothing_left();
}

#[test]
fn run_gives_the_programs_exit_code_and_leaves_nothing() {
    let bundle = Bundle::new("exit 7");
    assert_eq!(bundle.run().code, 7);
    bundle.assert_nothing_left();
    let killed = Bundle::new("kill -9 $$");
    // As pid 1 it can't kill itself; a child can be killed.
    assert_eq!(killed.run().code, 0);
    let child = Bundle::new("sh -c 'kill -9 $$'; exit $?");
    assert_eq!(child.run().code, 137);
}

#[test]
fn delete_by_force_ends_a_running_one_and_forgives_a_missing_one() {
    let bundle = Bundle::running();
    assert_eq!(bundle.call(&["delete", "-f", bundle.id()]).code, 0);
    bundle.assert_nothing_left();
    assert_eq!(bundle.call(&["delete", "--force", "nobody"]).code, 0);
    assert_eq!(bundle.call(&["delete", "nobody"]).code, 1);
}

#[test]
fn a_created_container_can_be_deleted() {
    let bundle = Bundle::new("true");
    assert_eq!(bundle.detached(&["create", bundle.id()]).code, 0);
    assert_eq!(bundle.call(&["delete", bundle.id()]).code, 0);
    bundle.assert_nothing_left();
}

#[test]
fn a_paused_container_says_so_and_goes_on() {
    let bundle = Bundle::running();
    let id = bundle.id();
    assert_eq!(bundle.call(&["pause", id]).code, 0);
    assert_eq!(bundle.status(), "paused");
    assert!(bundle.exec(&[id, "true"]).stderr.contains("cannot exec in a paused container"));
    assert_eq!(bundle.call(&["resume", id]).code, 0);
    assert_eq!(bundle.status(), "running");
    assert!(bundle.call(&["resume", id]).stderr.contains("container not paused"));
    assert_eq!(bundle.call(&["pause", id]).code, 0);
    assert_eq!(bundle.call(&["delete", "-f", id]).code, 0);
    bundle.assert_nothing_left();
}

#[test]
fn list_and_ps_know_the_container() {
    let bundle = Bundle::running();
    let list: Value = serde_json::from_str(&bundle.call(&["list", "-f", "json"]).stdout).unwrap();
    assert_eq!(list[0]["id"], bundle.id());
    assert_eq!(bundle.call(&["list", "-q"]).stdout.trim(), bundle.id());
    let pids: Vec<u32> =
        serde_json::from_str(&bundle.call(&["ps", "-f", "json", bundle.id()]).stdout).unwrap();
    assert!(!pids.is_empty() && pids.iter().any(|p| list[0]["pid"] == *p), "{pids:?}");
}

#[test]
fn signals_reach_the_program() {
    let bundle = Bundle::new("trap 'exit 9' USR1; echo up > /tmp/up; while :; do sleep 0.05; done");
    bundle.start_detached();
    while !bundle.rootfs().join("tmp/up").exists() {
        std::thread::yield_now();
    }
    assert_eq!(bundle.call(&["kill", bundle.id(), "SIGUSR1"]).code, 0);
    bundle.wait_for("stopped");
    assert!(bundle.call(&["kill", bundle.id(), "NOPE"]).stderr.contains("unknown signal"));
}

#[test]
fn hooks_run_in_order_with_the_state_on_their_stdin() {
    let mut bundle = Bundle::new("true");
    let log = bundle.dir.join("hooks");
    let hook = |name: &str| {
        let script = format!("echo \"{name} $(cat)\" >> {}", log.display());
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"], "timeout": 10}])
    };
    bundle.spec["hooks"] = json!({
        "prestart": hook("prestart"), "createRuntime": hook("createRuntime"),
        "poststart": hook("poststart"), "poststop": hook("poststop")
    });
    assert_eq!(bundle.run().code, 0);
    let text = std::fs::read_to_string(&log).unwrap();
    let names: Vec<&str> = text.lines().filter_map(|l| l.split(' ').next()).collect();
    assert_eq!(names, ["prestart", "createRuntime", "poststart", "poststop"]);
    let id = bundle.id();
    for line in text.lines() {
        let state: Value = serde_json::from_str(line.split_once(' ').unwrap().1).unwrap();
        assert!(state["id"] == id && state["bundle"] == bundle.dir.to_str().unwrap(), "{line}");
    }
}

#[test]
fn a_failed_or_late_hook_fails_the_create_and_leaves_nothing() {
    for (script, timeout, text) in [("echo sorry >&2; exit 3", 10, "sorry"), ("sleep 100", 1, "timeout")] {
        let mut bundle = Bundle::new("true");
        let args = json!(["sh", "-c", script]);
        bundle.spec["hooks"] = json!({"createRuntime": [{"path": "/bin/sh", "args": args, "timeout": timeout,
            "env": ["PATH=/usr/bin:/bin"]}]});
        let answer = bundle.run();
        assert!(answer.code == 1 && answer.stderr.contains(text), "{answer:?}");
        bundle.assert_nothing_left();
    }
}

#[test]
fn a_container_that_ends_at_once_is_never_missed() {
    let bundle = Bundle::new("exit 5");
    for _ in 0..30 {
        assert_eq!(bundle.run().code, 5);
    }
    bundle.assert_nothing_left();
}

/// runc leaves a directory without a state, which its delete -f does not remove.
mod ours_alone {
    use crate::bundle::Bundle;

    #[test]
    fn a_create_that_was_killed_is_found_and_deleted() {
        let bundle = Bundle::new("true");
        std::fs::create_dir_all(bundle.state_dir().join(bundle.id())).unwrap();
        assert!(bundle.run().stderr.contains("container with given ID already exists"));
        assert_eq!(bundle.call(&["delete", "-f", bundle.id()]).code, 0);
        assert_eq!(bundle.run().code, 0);
    }
}
