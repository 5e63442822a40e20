//! What the commands print, and where errors go.

use std::fs;

use serde_json::{Value, json};

use crate::bundle::Bundle;

#[test]
fn state_has_the_keys_that_callers_read() {
    let mut bundle = Bundle::new("sleep 1000");
    bundle.spec["annotations"] = json!({"a.key": "a value"});
    bundle.start_detached();
    let state = bundle.state();
    assert_eq!(state["id"], bundle.id());
    assert_eq!(state["status"], "running");
    assert_eq!(state["bundle"], json!(bundle.dir));
    assert_eq!(state["rootfs"], json!(bundle.rootfs()));
    assert_eq!(state["annotations"]["a.key"], "a value");
    assert!(state["pid"].as_i64().unwrap() > 1 && state["ociVersion"].as_str().unwrap().starts_with("1."));
    assert!(state["created"].as_str().unwrap().ends_with('Z'), "{state}");
    assert_eq!(bundle.call(&["kill", bundle.id(), "9"]).code, 0);
    bundle.wait_for("stopped");
    assert_eq!(bundle.state()["pid"], 0);
}

#[test]
fn list_is_a_table_json_or_ids() {
    let bundle = Bundle::running();
    let table = bundle.call(&["list"]).stdout;
    let lines: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    let pid = bundle.pid().to_string();
    let row = [bundle.id(), &pid, "running", bundle.dir.to_str().unwrap()];
    assert!(lines.len() == 2 && lines[1][..4] == row && lines[1][5] == "root", "{table}");
    assert_eq!(bundle.call(&["list", "--quiet"]).stdout, format!("{}\n", bundle.id()));
    let json: Value = serde_json::from_str(&bundle.call(&["list", "--format", "json"]).stdout).unwrap();
    assert_eq!((&json[0]["id"], &json[0]["status"]), (&json!(bundle.id()), &json!("running")));
    assert_eq!(bundle.call(&["list", "--format", "poem"]).code, 1);
}

#[test]
fn an_empty_list_is_empty() {
    let bundle = Bundle::new("true");
    assert_eq!(bundle.call(&["list", "-q"]).stdout, "");
    assert_eq!(bundle.call(&["list", "-f", "json"]).stdout.trim(), "null");
    assert_eq!(bundle.call(&["list"]).stdout.lines().count(), 1);
}

#[test]
fn ps_shows_the_containers_processes_only() {
    let bundle = Bundle::running();
    let args = ["exec", "-d", bundle.id(), "sleep", "2000"];
    assert_eq!(bundle.detached(&args).code, 0);
    let pids: Vec<i64> =
        serde_json::from_str(&bundle.call(&["ps", "-f", "json", bundle.id()]).stdout).unwrap();
    assert!(pids.len() == 2 && pids.contains(&bundle.pid()), "{pids:?}");
    let table = bundle.call(&["ps", bundle.id()]).stdout;
    assert!(table.lines().next().unwrap().contains("PID") && table.lines().count() == 3, "{table}");
    let table = bundle.call(&["ps", bundle.id(), "-o", "pid,args"]).stdout;
    assert!(table.contains("sleep 2000") && !table.contains("UID"), "{table}");
    assert_eq!(bundle.call(&["ps", "nobody"]).code, 1);
}

#[test]
fn features_tells_what_can_be_asked_for() {
    let features: Value = serde_json::from_str(&Bundle::new("true").call(&["features"]).stdout).unwrap();
    let has = |pointer: &str, wanted: &str| {
        let list =
            features.pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("no {pointer}"));
        assert!(list.contains(&json!(wanted)), "{pointer} lacks {wanted}");
    };
    for hook in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
        has("/hooks", hook);
    }
    for namespace in ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"] {
        has("/linux/namespaces", namespace);
    }
    for (pointer, value) in [
        ("/mountOptions", "rbind"),
        ("/mountOptions", "noexec"),
        ("/mountOptions", "tmpcopyup"),
        ("/linux/capabilities", "CAP_SYS_ADMIN"),
        ("/linux/seccomp/actions", "SCMP_ACT_ERRNO"),
        ("/linux/seccomp/operators", "SCMP_CMP_MASKED_EQ"),
        ("/linux/seccomp/archs", "SCMP_ARCH_X86_64"),
    ] {
        has(pointer, value);
    }
    assert_eq!(features["linux"]["cgroup"]["v1"], true);
    assert_eq!(features["linux"]["cgroup"]["v2"], true);
    assert!(features["ociVersionMin"].as_str().unwrap().starts_with("1.0"));
}

#[test]
fn spec_writes_a_configuration_that_runs() {
    let mut bundle = Bundle::new("true");
    let place = bundle.dir.join("new");
    fs::create_dir(&place).unwrap();
    let path = place.to_str().unwrap();
    assert_eq!(bundle.call(&["spec", "-b", path]).code, 0);
    let written: Value = serde_json::from_slice(&fs::read(place.join("config.json")).unwrap()).unwrap();
    assert_eq!(written["process"]["args"], json!(["sh"]));
    let again = bundle.call(&["spec", "-b", path]);
    assert!(again.code == 1 && again.stderr.contains("exists. Remove it first"), "{again:?}");
    bundle.spec = written;
    bundle.spec["process"]["terminal"] = json!(false);
    bundle.spec["process"]["args"] = json!(["sh", "-c", "hostname; touch /x 2>/dev/null || echo readonly"]);
    bundle.spec["process"]["env"] = json!(["PATH=/bin"]);
    let name = bundle.spec["hostname"].as_str().unwrap().to_owned();
    assert_eq!(bundle.output(), format!("{name}\nreadonly\n"));
}

#[test]
fn a_rootless_spec_maps_the_caller_to_root() {
    let bundle = Bundle::new("true");
    let place = bundle.dir.join("new");
    fs::create_dir(&place).unwrap();
    assert_eq!(bundle.call(&["spec", "--rootless", "-b", place.to_str().unwrap()]).code, 0);
    let spec: Value = serde_json::from_slice(&fs::read(place.join("config.json")).unwrap()).unwrap();
    assert_eq!(spec["linux"]["uidMappings"], json!([{"containerID": 0, "hostID": 0, "size": 1}]));
    let kinds: Vec<&Value> =
        spec["linux"]["namespaces"].as_array().unwrap().iter().map(|n| &n["type"]).collect();
    assert!(kinds.contains(&&json!("user")) && !kinds.contains(&&json!("network")), "{kinds:?}");
}

#[test]
fn version_and_help_answer_on_stdout() {
    let bundle = Bundle::new("true");
    let version = bundle.call(&["--version"]);
    assert!(version.code == 0 && version.stdout.contains(" version ") && version.stdout.contains("spec: 1."));
    for args in [&["--help"][..], &["help"], &["run", "--help"], &["create", "-h"]] {
        let help = bundle.call(args);
        assert!(help.code == 0 && !help.stdout.is_empty(), "{args:?}: {help:?}");
    }
}

#[test]
fn what_the_command_line_does_not_know_is_an_error() {
    let bundle = Bundle::new("true");
    for args in [
        &["fly"][..],
        &["--fly", "list"],
        &["run", "--fly", "x"],
        &["run"],
        &["run", "a", "b"],
        &["state"],
        &["kill"],
        &["delete"],
        &["exec"],
        &["exec", "nobody", "true"],
        &["start", "nobody"],
        &["pause", "nobody"],
        &["resume", "nobody"],
        &["--log-format", "poem", "list"],
        &["--log", "/nosuch/log", "list"],
        &["run", "--preserve-fds", "many", "x"],
    ] {
        let answer = bundle.call(args);
        assert_ne!(answer.code, 0, "{args:?}: {answer:?}");
    }
    bundle.assert_nothing_left();
}

/// As containerd and Docker read them: one object a line, the last error is what they tell their user.
#[test]
fn errors_are_json_lines_in_the_log_and_text_on_stderr() {
    let bundle = Bundle::running();
    let lines = |args: &[&str]| {
        let log = bundle.dir.join("log.json");
        let _ = fs::remove_file(&log);
        let global = ["--log", log.to_str().unwrap(), "--log-format", "json"];
        let answer = bundle.call(&[&global[..], args].concat());
        let text = fs::read_to_string(&log).unwrap();
        let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        (answer, lines)
    };
    for (args, message) in [
        (&["state", "nobody"][..], "container does not exist"),
        (&["run", bundle.id()], "container with given ID already exists"),
        (&["exec", bundle.id(), "nosuch"], "exec: \"nosuch\": executable file not found in $PATH"),
        (&["kill", bundle.id(), "NOPE"], "unknown signal"),
    ] {
        let (answer, lines) = lines(args);
        let last = lines.last().unwrap();
        assert_eq!(last["level"], "error", "{last}");
        assert!(last["msg"].as_str().unwrap().contains(message), "{last}");
        assert!(last["time"].as_str().unwrap().contains('T'), "{last}");
        assert!(answer.stderr.contains(message), "{answer:?}");
    }
}

#[test]
fn signals_have_names_numbers_and_prefixes() {
    for signal in ["USR1", "SIGUSR1", "usr1", "10"] {
        let bundle = Bundle::new("trap 'exit 9' USR1; echo up > /tmp/up; while :; do sleep 0.05; done");
        bundle.start_detached();
        crate::host::wait_until("the trap is set", || bundle.rootfs().join("tmp/up").exists());
        assert_eq!(bundle.call(&["kill", bundle.id(), signal]).code, 0, "{signal}");
        bundle.wait_for("stopped");
    }
    let bundle = Bundle::running();
    assert_eq!(bundle.call(&["kill", bundle.id(), "0"]).code, 0);
    assert_eq!(bundle.status(), "running");
    for signal in ["NOPE", "SIGSIG", "-1", "65"] {
        assert_eq!(bundle.call(&["kill", bundle.id(), signal]).code, 1, "{signal}");
    }
}
