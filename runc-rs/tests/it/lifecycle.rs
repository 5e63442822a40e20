//! create, start, state, kill, delete, list, pause.

use serde_json::Value;

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
fn a_container_that_ends_at_once_is_never_missed() {
    let bundle = Bundle::new("exit 5");
    for _ in 0..30 {
        assert_eq!(bundle.run().code, 5);
    }
    bundle.assert_nothing_left();
}
