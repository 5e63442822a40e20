//! The originals' known breaks, one test each (facts/security-cases.md).

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::bundle::{Bundle, copy_program, runtime};
use crate::host::wait_until;

/// Fails when descriptors are closed neither at the start (`drop_leaked`) nor before the exec (`finish_fds`).
#[test]
fn cve_2024_21626_no_descriptor_of_the_caller_reaches_the_container() {
    let bundle = Bundle::new("ls /proc/self/fd");
    let script =
        format!("exec 7</etc 8</; exec \"$0\" --root {} run {}", bundle.state_dir().display(), bundle.id());
    std::fs::write(bundle.dir.join("config.json"), bundle.spec.to_string()).unwrap();
    let output =
        Command::new("sh").args(["-c", &script]).arg(runtime()).current_dir(&bundle.dir).output().unwrap();
    // 3 is the directory that ls reads.
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n1\n2\n3\n", "{output:?}");
}

/// Fails without `verify_cwd`.
#[test]
fn cve_2024_21626_the_working_directory_is_never_outside() {
    let bundle = Bundle::running();
    for fd in 0..20 {
        let cwd = format!("/proc/self/fd/{fd}");
        let answer = bundle.exec(&["--cwd", &cwd, bundle.id(), "pwd"]);
        assert_eq!(answer.code, 255, "{cwd}: {answer:?}");
    }
    for fd in 3..20 {
        let mut bundle = Bundle::new("pwd");
        bundle.spec["process"]["cwd"] = json!(format!("/proc/self/fd/{fd}"));
        assert_ne!(bundle.run().code, 0, "{fd}");
    }
}

/// Fails when targets of proc and sysfs may be links.
#[test]
fn cve_2019_19921_proc_and_sys_must_be_plain_directories_of_the_image() {
    for name in ["proc", "sys"] {
        let mut bundle = Bundle::new("true");
        std::fs::create_dir(bundle.rootfs().join("fake")).unwrap();
        symlink("fake", bundle.rootfs().join(name)).unwrap();
        bundle.mount(json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]}));
        let answer = bundle.run();
        assert!(
            answer.code == 1 && answer.stderr.contains("must be mounted on ordinary directory"),
            "{answer:?}"
        );
        bundle.assert_nothing_left();
    }
}

/// Fails without `check_proc`.
#[test]
fn cve_2019_16884_a_volume_cannot_stand_in_for_proc_or_cover_parts_of_it() {
    for place in ["/proc", "/proc/self", "/proc/sys"] {
        let mut bundle = Bundle::new("true");
        let source = bundle.dir.join("fake");
        std::fs::create_dir(&source).unwrap();
        bundle.mount(json!({"destination": place, "type": "bind", "source": source, "options": ["bind"]}));
        let answer = bundle.run();
        assert!(
            answer.code == 1 && answer.stderr.contains("cannot be mounted because"),
            "{place}: {answer:?}"
        );
    }
}

/// Fails when targets are opened by plain paths.
#[test]
fn cve_2021_30465_links_in_the_image_never_lead_a_mount_or_a_mount_point_outside() {
    let mut bundle = Bundle::new("cat /up/inside/mark");
    let host = bundle.dir.join("host");
    std::fs::create_dir(&host).unwrap();
    std::fs::write(bundle.dir.join("mark"), "mark\n").unwrap();
    symlink("../../../../../../../../up", bundle.rootfs().join("rel")).unwrap();
    std::fs::create_dir(bundle.rootfs().join("up")).unwrap();
    symlink(&host, bundle.rootfs().join("abs")).unwrap();
    let source = bundle.dir.join("mark");
    bundle.mount(
        json!({"destination": "/rel/inside/mark", "type": "bind", "source": source, "options": ["bind"]}),
    );
    bundle.mount(json!({"destination": "/abs/made", "type": "tmpfs", "source": "tmpfs"}));
    assert_eq!(bundle.output(), "mark\n");
    assert_eq!(std::fs::read_dir(&host).unwrap().count(), 0);
}

/// A volume in which another container swaps a directory and a link while we mount below it. Fails when
/// targets are opened by plain paths.
#[test]
fn cve_2024_45310_a_racing_link_makes_nothing_on_the_host() {
    let shared = Bundle::new("true");
    let (volume, host) = (shared.dir.join("volume"), shared.dir.join("host"));
    std::fs::create_dir_all(volume.join("a")).unwrap();
    std::fs::create_dir(&host).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = std::fs::rename(volume.join("a"), volume.join("b"));
                let _ = symlink(&host, volume.join("a"));
                let _ = std::fs::remove_file(volume.join("a"));
                let _ = std::fs::rename(volume.join("b"), volume.join("a"));
            }
        });
        for round in 0..25 {
            let mut bundle = Bundle::new("true");
            bundle
                .mount(json!({"destination": "/v", "type": "bind", "source": volume, "options": ["rbind"]}));
            let place = format!("/v/a/made{round}");
            bundle.mount(json!({"destination": place, "type": "tmpfs", "source": "tmpfs"}));
            let code = bundle.run().code;
            assert!(code == 0 || code == 1, "{code}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(std::fs::read_dir(&host).unwrap().count(), 0);
}

/// Fails when `--cap` adds to the inheritable set.
#[test]
fn cve_2022_29162_inheritable_capabilities_are_empty_also_with_exec_cap() {
    let bundle = Bundle::running();
    let answer = bundle.exec(&["--cap", "CAP_CHOWN", bundle.id(), "grep", "CapInh", "/proc/self/status"]);
    assert!(answer.stdout.trim().ends_with("\t0000000000000000"), "{answer:?}");
}

/// Fails without setgroups.
#[test]
fn cve_2022_36109_groups_are_exactly_the_specs() {
    let mut bundle = Bundle::new("id -G");
    bundle.spec["process"]["user"] = json!({"uid": 1, "gid": 2, "additionalGids": [3]});
    assert_eq!(bundle.output(), "2 3\n");
    let running = Bundle::running();
    assert_eq!(running.exec(&["-u", "1:2", running.id(), "id", "-G"]).stdout, "2\n");
}

/// Fails when ids are trimmed and parsed as signed 64-bit numbers.
#[test]
fn cve_2026_30892_odd_forms_of_a_user_are_errors() {
    let bundle = Bundle::running();
    for user in [" 1", "-1", "1:", ":1", "root"] {
        let answer = bundle.exec(&["--user", user, bundle.id(), "id", "-u"]);
        assert_ne!(answer.code, 0, "{user:?}: {answer:?}");
    }
    assert_eq!(bundle.exec(&["--user", "1", bundle.id(), "id", "-u"]).stdout, "1\n");
}

#[test]
fn resource_bombs_end_in_an_error_or_in_time() {
    let mut bundle = Bundle::new("cat /proc/mounts | wc -l");
    bundle.spec["linux"]["maskedPaths"] = (0..2_000).map(|i| json!(format!("/nosuch{i}"))).collect();
    let count: u32 = bundle.output().trim().parse().unwrap();
    assert!(count < 20, "{count}");
    assert!(Path::new("/proc").exists());
}

/// runc 1.1.5 has these flaws.
mod ours_alone {
    use super::*;

    /// Fails when files are masked with the null device below the root.
    #[test]
    fn cve_2025_31133_the_images_null_device_is_not_what_masks() {
        let mut bundle = Bundle::new("cat /hidden | wc -c");
        std::fs::write(bundle.rootfs().join("hidden"), "hidden").unwrap();
        bundle.spec["linux"]["maskedPaths"] = json!(["/hidden"]);
        // A /dev that comes from elsewhere is left as it is.
        let dev = bundle.dir.join("dev");
        std::fs::create_dir(&dev).unwrap();
        symlink("/proc/sys/kernel/core_pattern", dev.join("null")).unwrap();
        bundle.spec["mounts"].as_array_mut().unwrap().retain(|m| m["type"] == "proc");
        bundle.mount(json!({"destination": "/dev", "type": "bind", "source": dev, "options": ["bind"]}));
        assert_eq!(bundle.output(), "0\n");
    }

    /// Fails when targets are opened by plain paths.
    #[test]
    fn cve_2026_41579_an_image_whose_dev_is_a_link_changes_nothing_on_the_host() {
        let mut bundle = Bundle::new("true");
        let host = bundle.dir.join("hostdev");
        std::fs::create_dir(&host).unwrap();
        std::fs::write(host.join("ptmx"), "mine").unwrap();
        symlink(&host, bundle.rootfs().join("dev")).unwrap();
        bundle.spec["mounts"].as_array_mut().unwrap().retain(|m| m["type"] == "proc");
        bundle.run();
        let names: Vec<_> = std::fs::read_dir(&host).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(names, ["ptmx"]);
        assert_eq!(std::fs::read_to_string(host.join("ptmx")).unwrap(), "mine");
    }

    /// Fails when ids are parsed as signed 64-bit numbers.
    #[test]
    fn cve_2026_30892_a_user_above_32_bits_is_an_error() {
        let bundle = Bundle::running();
        for user in ["4294967296", "1:4294967296", "4294967295"] {
            let answer = bundle.exec(&["--user", user, bundle.id(), "id", "-u"]);
            assert_ne!(answer.code, 0, "{user:?}: {answer:?}");
        }
    }

    /// The runtime is made to run itself inside, and to stay there until the attacker has its file open. Fails without
    /// `exe_seal::ensure`. (Debian's runc
    /// can't run in an image without its libraries.)
    #[test]
    fn cve_2019_5736_the_runtimes_file_cannot_be_written_from_inside() {
        let bundle = Bundle::new(
            "while :; do for p in /proc/[0-9]*; do \
               case $(readlink $p/exe) in *busybox*|'') continue;; esac; \
               exec 3<$p/exe || continue; cat /fifo; tries=; \
               until (echo x > /proc/self/fd/3) 2>/tmp/why || [ ${#tries} = 100 ]; do tries=x$tries; sleep 0.01; done; \
               echo > /tmp/tried; exec sleep 1000; \
             done; done",
        );
        let copy = bundle.dir.join("runc-rs");
        // A name without a slash is looked up by the shell.
        let found = Command::new("sh").args(["-c", "command -v \"$0\""]).arg(runtime()).output().unwrap();
        copy_program(Path::new(String::from_utf8(found.stdout).unwrap().trim()), &copy);
        let before = std::fs::read(&copy).unwrap();
        let evil = bundle.rootfs().join("bin/evil");
        // Opening its log it waits for a reader.
        std::fs::write(&evil, "#!/proc/self/exe --log=/fifo\n").unwrap();
        std::fs::set_permissions(&evil, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert!(Command::new("mkfifo").arg(bundle.rootfs().join("fifo")).status().unwrap().success());
        bundle.start_detached();
        bundle.call_with(&copy, &["exec", bundle.id(), "/bin/evil"]);
        wait_until("the attacker has tried", || bundle.rootfs().join("tmp/tried").exists());
        assert!(std::fs::read(&copy).unwrap() == before, "written to");
        let why = std::fs::read_to_string(bundle.rootfs().join("tmp/why")).unwrap();
        assert!(why.contains("Read-only file system") || why.contains("not permitted"), "{why}");
    }
}
