//! The originals' breaks by an image or a configuration that is made for it (docs/security.md).

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;

use serde_json::{Value, json};

use crate::bundle::{Answer, Bundle, runtime};

/// Fails with a build whose rootless spec has /sys alone, bound with all below it.
#[test]
fn cve_2023_25809_a_rootless_spec_gives_no_cgroup_above_the_containers_to_write_to() {
    let mut bundle = Bundle::new("");
    let own = bundle.spec.clone();
    assert_eq!(bundle.call(&["spec", "--rootless", "-b", bundle.rootfs().to_str().unwrap()]).code, 0);
    let text = fs::read_to_string(bundle.rootfs().join("config.json")).unwrap();
    bundle.spec = serde_json::from_str(&text).unwrap();
    let script = "[ -e /sys/fs/cgroup/cgroup.procs ] && mkdir /sys/fs/cgroup/x && echo made; \
        for d in /sys/fs/cgroup/*/; do mkdir $d/x && echo made $d; done; echo done";
    bundle.spec["process"] = own["process"].clone();
    bundle.spec["process"]["args"] = json!(["sh", "-c", script]);
    let answer = bundle.run();
    assert_eq!((answer.code, answer.stdout.as_str()), (0, "done\n"), "{answer:?}");
    assert!(answer.stderr.contains("Read-only file system"), "{answer:?}");
}

/// Each would have to be cut to fit somewhere: it is an error, and nothing is left.
#[test]
fn cve_2021_43784_what_is_too_long_is_an_error_and_never_cut() {
    let long = "x".repeat(5_000);
    let ranges: Vec<Value> =
        (0..400).map(|n| json!({"containerID": n, "hostID": 100_000 + n, "size": 1})).collect();
    let cases: [(&str, Value); 5] = [
        ("/hostname", json!(long)),
        ("/process/args", json!(["true", "x".repeat(3 << 20)])),
        ("/process/env", json!([format!("A={}", "x".repeat(3 << 20))])),
        ("/process/cwd", json!(format!("/{long}"))),
        ("/linux/uidMappings", json!(ranges)),
    ];
    for (pointer, value) in cases {
        let mut bundle = Bundle::new("true");
        bundle.namespace("user");
        bundle.spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
        bundle.spec["linux"]["gidMappings"] = bundle.spec["linux"]["uidMappings"].clone();
        *bundle.spec.pointer_mut(pointer).unwrap_or(&mut Value::Null) = value;
        let answer: Answer = bundle.run();
        assert!(answer.code == 1 && !answer.stderr.is_empty(), "{pointer}: {}", answer.code);
        bundle.assert_nothing_left();
    }
}

/// runc 1.1.5 has these flaws.
mod ours_alone {
    use super::*;
    use crate::terminal::{ConsoleSocket, with_terminal};

    /// Fails with a build that follows links at /dev/console.
    #[test]
    fn cve_2026_88264_a_link_at_dev_console_is_refused() {
        for target in ["/proc/timer_list", "/../../host/made", "/etc/made"] {
            let mut bundle = with_terminal("true");
            bundle.spec["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev");
            fs::create_dir_all(bundle.rootfs().join("dev/pts")).unwrap();
            symlink(target, bundle.rootfs().join("dev/console")).unwrap();
            let socket = ConsoleSocket::new(&bundle);
            let answer = bundle.detached(&["run", "-d", "--console-socket", socket.path(), bundle.id()]);
            assert!(answer.code == 1 && answer.stderr.contains("/dev/console"), "{target}: {answer:?}");
            assert!(!bundle.rootfs().join("etc/made").exists() && !bundle.dir.join("host").exists());
            bundle.assert_nothing_left();
        }
    }

    /// Fails with a build that opens /dev/null by its path for stdio that is missing, after the pivot.
    #[test]
    fn cve_2026_88265_stdio_that_is_missing_is_never_a_file_of_the_image() {
        // The image's own /dev, and one from elsewhere, which is left as it is.
        for bound in [false, true] {
            let mut bundle = Bundle::new("ls -l /proc/self/fd > /tmp/fds");
            let dev = if bound { bundle.dir.join("dev") } else { bundle.rootfs().join("dev") };
            fs::create_dir(&dev).unwrap();
            symlink("/etc/victim", dev.join("null")).unwrap();
            bundle.spec["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] == "proc");
            if bound {
                bundle.mount(
                    json!({"destination": "/dev", "type": "bind", "source": dev, "options": ["bind"]}),
                );
            }
            bundle.spec["process"]["user"] = json!({"uid": 1234, "gid": 1234});
            fs::set_permissions(
                bundle.rootfs().join("tmp"),
                std::os::unix::fs::PermissionsExt::from_mode(0o777),
            )
            .unwrap();
            let victim = bundle.rootfs().join("etc/victim");
            fs::write(&victim, "mine").unwrap();
            drop(bundle.command(&runtime(), &[]));
            let script = "exec 0<&- 1>&- 2>&-; \"$0\" --root state run \"$1\"";
            let status = Command::new("sh")
                .args(["-c", script])
                .arg(runtime())
                .arg(bundle.id())
                .current_dir(&bundle.dir)
                .status();
            assert_eq!(status.unwrap().code(), Some(0));
            let fds = fs::read_to_string(bundle.rootfs().join("tmp/fds")).unwrap();
            assert!(!fds.contains("victim"), "{fds}");
            assert_eq!(
                (fs::read_to_string(&victim).unwrap().as_str(), fs::metadata(&victim).unwrap().uid()),
                ("mine", 0)
            );
        }
    }
}
