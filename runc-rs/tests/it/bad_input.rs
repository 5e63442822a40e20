//! Broken configurations and command lines: a clear error, code 1, nothing left.

use serde_json::{Value, json};

use crate::bundle::Bundle;

#[track_caller]
fn refused(change: impl FnOnce(&mut Value)) -> String {
    let mut bundle = Bundle::new("true");
    change(&mut bundle.spec);
    let answer = bundle.run();
    assert_eq!(answer.code, 1, "{answer:?}");
    bundle.assert_nothing_left();
    answer.stderr
}

#[test]
fn a_config_that_is_missing_broken_or_huge_is_refused() {
    let bundle = Bundle::new("true");
    let empty = bundle.dir.join("empty");
    std::fs::create_dir(&empty).unwrap();
    let answer = bundle.call(&["run", "-b", empty.to_str().unwrap(), bundle.id()]);
    assert!(answer.code == 1 && answer.stderr.contains("config.json not found"), "{answer:?}");
    for text in ["", "{", "[]", "{\"linux\": 5}", &"[".repeat(100_000)] {
        std::fs::write(empty.join("config.json"), text).unwrap();
        let answer = bundle.call(&["run", "-b", empty.to_str().unwrap(), bundle.id()]);
        assert_eq!(answer.code, 1, "{answer:?}");
    }
    bundle.assert_nothing_left();
}

#[test]
fn contradictions_are_refused_before_anything_is_made() {
    refused(|s| s["process"]["args"] = json!([]));
    refused(|s| s["process"]["cwd"] = json!("relative"));
    refused(|s| s["root"]["path"] = json!("nosuch"));
    refused(|s| s["linux"]["namespaces"] = json!([{"type": "moon"}]));
    refused(|s| s["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "mount"}]));
    refused(|s| s["linux"]["namespaces"] = json!([{"type": "mount"}]));
    refused(|s| s["process"]["rlimits"] = json!([{"type": "RLIMIT_NONE", "soft": 1, "hard": 1}]));
    refused(|s| s["linux"]["rootfsPropagation"] = json!("sideways"));
}

#[test]
fn what_fails_in_the_child_is_told_by_its_step_and_leaves_nothing() {
    let text = refused(|s| s["process"]["args"] = json!(["nosuchcmd"]));
    assert!(text.contains(
        "unable to start container process: exec: \"nosuchcmd\": executable file not found in $PATH"
    ));
    let mount = json!({"destination": "/m", "type": "bind", "source": "/nosuch", "options": ["bind"]});
    let text = refused(|s| s["mounts"].as_array_mut().unwrap().push(mount));
    assert!(text.contains("/nosuch") && text.contains("no such file or directory"), "{text}");
    let mount = json!({"destination": "/m", "type": "nosuchfs", "source": "x"});
    let text = refused(|s| s["mounts"].as_array_mut().unwrap().push(mount));
    assert!(text.contains("no such device"), "{text}");
}

#[test]
fn ids_are_names_and_given_once() {
    let bundle = Bundle::running();
    for id in ["", "..", "a/b", "a b"] {
        let answer = bundle.call(&["run", id]);
        assert_eq!(answer.code, 1, "{id:?}: {answer:?}");
    }
    let answer = bundle.call(&["run", bundle.id()]);
    assert!(answer.stderr.contains("container with given ID already exists"), "{answer:?}");
    assert_eq!(bundle.status(), "running");
}

#[test]
fn a_broken_state_file_is_an_error_that_names_it() {
    let bundle = Bundle::running();
    let path = bundle.state_dir().join(bundle.id()).join("state.json");
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    let answer = bundle.call(&["state", bundle.id()]);
    assert_eq!(answer.code, 1, "{answer:?}");
    std::fs::write(&path, good).unwrap();
    assert_eq!(bundle.status(), "running");
}

#[test]
fn the_log_has_json_lines_with_the_last_error() {
    let bundle = Bundle::new("true");
    let log = bundle.dir.join("log.json");
    let answer = bundle.call(&["--log", log.to_str().unwrap(), "--log-format", "json", "state", "nobody"]);
    assert!(answer.code == 1 && answer.stderr.trim() == "container does not exist", "{answer:?}");
    let text = std::fs::read_to_string(log).unwrap();
    let line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(
        (line["level"].as_str(), line["msg"].as_str()),
        (Some("error"), Some("container does not exist"))
    );
    assert!(line["time"].as_str().unwrap().contains('T'));
}

#[test]
fn descriptors_to_be_kept_must_be_there() {
    let bundle = Bundle::new("true");
    let answer = bundle.call(&["run", "--preserve-fds", "60", bundle.id()]);
    assert_eq!(answer.code, 1, "{answer:?}");
    bundle.assert_nothing_left();
}

/// Where runc 1.1 is more lenient.
mod ours_alone {
    use serde_json::json;

    use super::refused;
    use crate::bundle::Bundle;

    #[test]
    fn mappings_without_a_user_namespace_are_refused_not_ignored() {
        refused(|s| s["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 1, "size": 1}]));
    }

    #[test]
    fn a_huge_config_is_refused_before_it_is_read_whole() {
        let bundle = Bundle::new("true");
        let empty = bundle.dir.join("empty");
        std::fs::create_dir(&empty).unwrap();
        std::fs::File::create(empty.join("config.json")).unwrap().set_len(1 << 30).unwrap();
        let answer = bundle.call(&["run", "-b", empty.to_str().unwrap(), bundle.id()]);
        assert!(answer.code == 1 && answer.stderr.contains("larger than"), "{answer:?}");
    }
}
