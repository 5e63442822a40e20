//! The six kinds of hooks: where and when each runs, what it is told, what its failure does.

use std::fs;

use serde_json::{Value, json};

use crate::bundle::Bundle;
use crate::host::wait_until;

const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A shell's script as a hook, with a path that exists on the host and in the container.
fn hook(script: &str) -> Value {
    json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin", "MINE=yes"], "timeout": 30})
}

/// Every kind writes its name and its state to a file: the host's hooks to `log`, the one that runs in the
/// container to the same file as it is seen there.
fn logging(script: &str) -> (Bundle, std::path::PathBuf) {
    let mut bundle = Bundle::new(script);
    let log = bundle.rootfs().join("tmp/hooks");
    for kind in KINDS {
        let file = if kind == "startContainer" { "/tmp/hooks".to_owned() } else { log.display().to_string() };
        bundle.spec["hooks"][kind] = json!([hook(&format!("echo \"{kind} $(cat)\" >> {file}"))]);
    }
    (bundle, log)
}

fn entries(log: &std::path::Path) -> Vec<(String, Value)> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let entry = |line: &str| {
        let (kind, state) = line.split_once(' ').unwrap();
        (kind.to_owned(), serde_json::from_str(state).unwrap())
    };
    text.lines().map(entry).collect()
}

#[test]
fn every_kind_runs_once_and_is_told_the_containers_state() {
    let (bundle, log) = logging("echo program >> /tmp/order");
    assert_eq!(bundle.run().code, 0);
    let found = entries(&log);
    let at = |kind: &str| found.iter().position(|(k, _)| k == kind).unwrap_or_else(|| panic!("no {kind}"));
    assert_eq!(found.len(), KINDS.len());
    for pair in ["prestart", "createRuntime", "createContainer", "startContainer", "poststop"].windows(2) {
        assert!(at(pair[0]) < at(pair[1]), "{pair:?}");
    }
    assert!(at("createContainer") < at("poststart") && at("poststart") < at("poststop"));
    for (kind, state) in &found {
        assert_eq!((&state["id"], &state["bundle"]), (&json!(bundle.id()), &json!(bundle.dir)), "{kind}");
        assert!(state["ociVersion"].is_string(), "{kind}");
    }
    let status = |kind: &str| found[at(kind)].1["status"].as_str().unwrap();
    assert_eq!(status("createRuntime"), "creating");
    assert_eq!(status("createContainer"), "creating");
    assert_eq!(status("poststop"), "stopped");
    // As the runtime's side numbers it.
    assert!(found[at("createRuntime")].1["pid"].as_i64().unwrap() > 1);
}

#[test]
fn annotations_reach_the_hooks() {
    let (mut bundle, log) = logging("true");
    bundle.spec["annotations"] = json!({"a.key": "a value"});
    bundle.run();
    assert!(entries(&log).iter().all(|(_, state)| state["annotations"]["a.key"] == "a value"));
}

#[test]
fn hooks_of_create_run_before_start_is_called_and_those_of_start_after() {
    let (bundle, log) = logging("sleep 1000");
    assert_eq!(bundle.detached(&["create", bundle.id()]).code, 0);
    let kinds = || entries(&log).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>();
    assert_eq!(kinds()[..3], KINDS[..3]);
    assert!(!kinds().contains(&"startContainer".to_owned()));
    assert_eq!(bundle.call(&["start", bundle.id()]).code, 0);
    wait_until("start's hooks", || kinds().iter().any(|k| k == "startContainer"));
    assert!(!kinds().contains(&"poststop".to_owned()));
    assert_eq!(bundle.call(&["delete", "-f", bundle.id()]).code, 0);
    assert_eq!(kinds().last().unwrap(), "poststop");
}

#[test]
fn a_hook_has_the_specs_environment_and_the_right_namespaces() {
    let mut bundle = Bundle::new("true");
    let out = |name: &str| bundle.rootfs().join("tmp").join(name).display().to_string();
    let tell =
        |file: &str| format!("{{ readlink /proc/self/ns/uts; env | grep -c LEAKED; echo $MINE; }} > {file}");
    let hooks = [
        ("createRuntime", tell(&out("runtime"))),
        ("createContainer", tell(&out("container"))),
        ("startContainer", tell("/tmp/start")),
    ];
    for (kind, script) in &hooks {
        bundle.spec["hooks"][*kind] = json!([hook(script)]);
    }
    let mut command = bundle.command(&crate::bundle::runtime(), &["run", bundle.id()]);
    assert!(command.env("LEAKED", "1").status().unwrap().success());
    let host = fs::read_link("/proc/self/ns/uts").unwrap().display().to_string();
    let text = |name: &str| fs::read_to_string(bundle.rootfs().join("tmp").join(name)).unwrap();
    assert_eq!(text("runtime"), format!("{host}\n0\nyes\n"));
    for name in ["container", "start"] {
        assert!(
            !text(name).starts_with(&host) && text(name).ends_with("\n0\nyes\n"),
            "{name}: {}",
            text(name)
        );
    }
}

#[test]
fn a_hook_that_fails_before_the_start_fails_the_create_and_leaves_nothing() {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let mut bundle = Bundle::new("true");
        let after = bundle.dir.join("after");
        bundle.spec["hooks"][kind] =
            json!([hook("echo sorry >&2; exit 3"), hook(&format!("touch {}", after.display()))]);
        let answer = bundle.detached(&["create", bundle.id()]);
        assert!(answer.code == 1 && answer.stderr.contains("sorry"), "{kind}: {answer:?}");
        assert!(!after.exists(), "{kind}: the next one ran");
        bundle.assert_nothing_left();
    }
}

#[test]
fn a_hook_that_cannot_be_executed_is_named() {
    for path in ["/nosuch/hook", "/etc/passwd", "relative"] {
        let mut bundle = Bundle::new("true");
        bundle.spec["hooks"]["createRuntime"] = json!([{"path": path}]);
        let answer = bundle.run();
        assert!(answer.code == 1 && answer.stderr.contains(path), "{answer:?}");
        bundle.assert_nothing_left();
    }
}

#[test]
fn a_hook_that_takes_too_long_is_killed() {
    let mut bundle = Bundle::new("true");
    let mut slow = hook("exec sleep 1000");
    slow["timeout"] = json!(1);
    bundle.spec["hooks"]["createRuntime"] = json!([slow]);
    let answer = bundle.run();
    assert!(answer.code == 1 && answer.stderr.contains("timeout"), "{answer:?}");
    bundle.assert_nothing_left();
}

#[test]
fn a_failed_hook_of_start_keeps_the_program_from_running() {
    let mut bundle = Bundle::new("echo ran > /tmp/ran");
    bundle.spec["hooks"]["startContainer"] = json!([hook("exit 3")]);
    assert_ne!(bundle.run().code, 0);
    assert!(!bundle.rootfs().join("tmp/ran").exists());
    bundle.assert_nothing_left();
}

/// runc 1.1 runs poststart hooks before the start and ends the container if one fails; the first poststop hook
/// that fails is its last.
mod ours_alone {
    use serde_json::json;

    use super::{KINDS, entries, hook, logging};
    use crate::bundle::Bundle;
    use crate::host::wait_until;

    #[test]
    fn the_order_is_the_specifications() {
        let (bundle, log) = logging("true");
        assert_eq!(bundle.run().code, 0);
        let kinds: Vec<String> = entries(&log).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, KINDS);
        let status = |at: usize| entries(&log)[at].1["status"].clone();
        assert_eq!([status(3), status(4)], ["created", "running"]);
    }

    #[test]
    fn a_failed_poststart_hook_is_a_warning_and_the_others_run() {
        let mut bundle = Bundle::new("sleep 1000");
        let after = bundle.dir.join("after");
        bundle.spec["hooks"]["poststart"] =
            json!([hook("echo sorry >&2; exit 3"), hook(&format!("touch {}", after.display()))]);
        assert_eq!(bundle.detached(&["create", bundle.id()]).code, 0);
        let answer = bundle.call(&["start", bundle.id()]);
        assert!(answer.code == 0 && answer.stderr.contains("sorry"), "{answer:?}");
        wait_until("the second hook", || after.exists());
        assert_eq!(bundle.status(), "running");
    }

    #[test]
    fn every_poststop_hook_runs_though_one_fails() {
        let mut bundle = Bundle::new("true");
        let after = bundle.dir.join("after");
        bundle.spec["hooks"]["poststop"] =
            json!([hook("exit 3"), hook(&format!("touch {}", after.display()))]);
        let answer = bundle.run();
        assert_eq!(answer.code, 0, "{answer:?}");
        assert!(after.exists());
        bundle.assert_nothing_left();
    }
}
