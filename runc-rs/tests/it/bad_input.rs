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

/// Every prefix of a real configuration is broken JSON.
#[test]
fn a_truncated_config_is_refused_wherever_it_ends() {
    let bundle = Bundle::new("true");
    let whole = bundle.spec.to_string();
    let place = bundle.dir.join("cut");
    std::fs::create_dir(&place).unwrap();
    for end in (0..whole.len()).step_by(whole.len() / 23) {
        std::fs::write(place.join("config.json"), &whole[..end]).unwrap();
        let answer = bundle.call(&["run", "-b", place.to_str().unwrap(), bundle.id()]);
        assert_eq!(answer.code, 1, "{end}: {answer:?}");
    }
    bundle.assert_nothing_left();
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    for (pointer, value) in [
        ("/process/args", json!("sh")),
        ("/process/user/uid", json!(-1)),
        ("/process/user/uid", json!(1u64 << 40)),
        ("/mounts", json!({"destination": "/x"})),
        ("/linux/namespaces", json!("all")),
        ("/linux/resources", json!([1, 2])),
        ("/root", json!("rootfs")),
    ] {
        refused(|s| *s.pointer_mut(pointer).unwrap() = value.clone());
    }
}

#[test]
fn a_bad_mount_option_is_refused_with_the_mount_it_is_of() {
    for options in [json!(["nosuchoption"]), json!(["size=lots"]), json!(["mode=99999"])] {
        let mount = json!({"destination": "/bad", "type": "tmpfs", "source": "tmpfs", "options": options});
        let text = refused(|s| s["mounts"].as_array_mut().unwrap().push(mount));
        assert!(text.contains("/bad") && text.contains("invalid argument"), "{text}");
    }
}

#[test]
fn an_id_cannot_leave_the_state_directory() {
    let bundle = Bundle::new("true");
    let outside = bundle.dir.join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("state.json"), "{}").unwrap();
    for id in ["../outside", "/outside", "a/../../outside", ".."] {
        for command in [&["run"][..], &["create"], &["state"], &["start"], &["kill"], &["delete", "-f"]] {
            let answer = bundle.call(&[command, &[id]].concat());
            assert_ne!(answer.code, 0, "{command:?} {id:?}: {answer:?}");
        }
        assert_ne!(bundle.exec(&[id, "true"]).code, 0);
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    assert!(bundle.rootfs().exists());
}

#[test]
fn a_second_container_of_the_same_id_changes_nothing_of_the_first() {
    let bundle = Bundle::running();
    let before = bundle.state();
    for command in [&["run"][..], &["run", "-d"], &["create"]] {
        let answer = bundle.detached(&[command, &[bundle.id()]].concat());
        assert!(answer.code == 1 && answer.stderr.contains("already exists"), "{answer:?}");
    }
    assert_eq!(bundle.state(), before);
    assert_eq!(bundle.exec(&[bundle.id(), "true"]).code, 0);
}

#[test]
fn a_variable_without_a_name_or_a_value_is_refused_not_dropped() {
    for entry in ["BAD", "=x", ""] {
        let mut bundle = Bundle::new("true");
        bundle.push("/process/env", json!(entry));
        let answer = bundle.run();
        assert!(answer.code == 1 && answer.stderr.contains("environment variable"), "{entry:?}: {answer:?}");
        bundle.assert_nothing_left();
    }
    let running = Bundle::running();
    let answer = running.exec(&["--env", "BAD", running.id(), "true"]);
    assert!(answer.code == 255 && answer.stderr.contains("invalid environment variable"), "{answer:?}");
}

#[test]
fn a_label_that_nothing_enforces_is_refused_not_ignored() {
    assert!(!std::path::Path::new("/sys/fs/selinux/enforce").exists(), "made for kernels without SELinux");
    let mut bundle = Bundle::new("true");
    bundle.spec["process"]["selinuxLabel"] = json!("system_u:system_r:container_t:s0");
    let answer = bundle.run();
    assert!(answer.code == 1 && answer.stderr.contains("selinux label is specified"), "{answer:?}");
    let running = Bundle::running();
    let answer = running.exec(&["--process-label", "x", running.id(), "true"]);
    assert!(answer.code == 255 && answer.stderr.contains("selinux label is specified"), "{answer:?}");
}

#[test]
fn the_systemd_driver_says_that_there_is_no_systemd_and_leaves_nothing() {
    let mut bundle = Bundle::new("true");
    for path in ["", "system.slice:test:box", "/not/a/scope"] {
        bundle.spec["linux"]["cgroupsPath"] = json!(path);
        let answer = bundle.call(&["--systemd-cgroup", "run", bundle.id()]);
        assert!(answer.code == 1 && answer.stderr.contains("systemd"), "{path}: {answer:?}");
        bundle.assert_nothing_left();
    }
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
