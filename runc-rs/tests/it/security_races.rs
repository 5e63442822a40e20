//! The originals' breaks that were races: somebody swaps a path of the image while a container is made on it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::{Value, json};

use crate::bundle::Bundle;
use crate::terminal::{ConsoleSocket, with_terminal};

const ROUNDS: usize = 30;

/// Meanwhile `place` is by turns what it was and a link to `target`.
fn while_swapped<T>(place: &Path, target: &str, deed: impl FnOnce() -> T) -> T {
    let link = place.with_extension("swap");
    symlink(target, &link).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // It fails once the runtime has replaced one of the two.
                let _ = renameat_with(CWD, &link, CWD, place, RenameFlags::EXCHANGE);
            }
        });
        let result = deed();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// An image with what the attacker needs, and no mount on /dev.
fn without_dev(mut bundle: Bundle) -> Bundle {
    bundle.spec["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev");
    fs::create_dir_all(bundle.rootfs().join("dev/pts")).unwrap();
    fs::write(bundle.rootfs().join("dev/console"), "").unwrap();
    fs::write(bundle.rootfs().join("secret"), "secret").unwrap();
    bundle
}

/// Fails with a build that masks files with the null device below the root.
#[test]
fn cve_2025_31133_masks_hold_while_the_images_null_device_is_swapped() {
    let mut held = 0;
    for _ in 0..ROUNDS {
        let mut bundle = without_dev(Bundle::new("cat /hidden"));
        fs::write(bundle.rootfs().join("hidden"), "hidden").unwrap();
        fs::write(bundle.rootfs().join("dev/null"), "").unwrap();
        bundle.spec["linux"]["maskedPaths"] = json!(["/hidden"]);
        let answer = while_swapped(&bundle.rootfs().join("dev/null"), "/secret", || bundle.run());
        match answer.code {
            0 => held += usize::from(answer.stdout.is_empty()),
            code => assert!(code == 1 && answer.stderr.contains("/dev/null"), "{answer:?}"),
        }
        assert!(!answer.stdout.contains("secret") && !answer.stdout.contains("hidden"), "{answer:?}");
    }
    assert!(held > 0, "the attacker always kept the container from starting: nothing was shown");
}

/// runc 1.1.5 fails these.
mod ours_alone {
    use super::*;

    /// Fails with a build that binds /dev/pts/0 by its path, and with one that follows links at /dev/console.
    #[test]
    fn cve_2025_52565_the_console_is_our_terminal_whatever_is_swapped() {
        for (place, target) in [("dev/pts", "/fake"), ("dev/console", "/proc/timer_list")] {
            let mut shown = 0;
            for _ in 0..ROUNDS {
                let mut bundle = without_dev(with_terminal("sleep 1000"));
                fs::create_dir(bundle.rootfs().join("fake")).unwrap();
                symlink("/secret", bundle.rootfs().join("fake/0")).unwrap();
                bundle.spec["linux"]["maskedPaths"] = json!(["/proc/timer_list", "/secret"]);
                let socket = ConsoleSocket::new(&bundle);
                let run = ["run", "-d", "--console-socket", socket.path(), bundle.id()];
                let code = while_swapped(&bundle.rootfs().join(place), target, || bundle.detached(&run).code);
                if code != 0 {
                    continue;
                }
                let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", bundle.pid())).unwrap();
                let mounted = |at: &str| -> Vec<&str> {
                    mounts.lines().filter_map(|l| l.split(' ').nth(4).filter(|p| p.starts_with(at))).collect()
                };
                assert_eq!(mounted("/proc/timer_list"), ["/proc/timer_list"], "the mask alone\n{mounts}");
                let console = mounts
                    .lines()
                    .find(|l| l.split(' ').nth(4).is_some_and(|p| p.starts_with("/dev/console")));
                assert!(console.is_some_and(|l| l.contains(" - devpts ")), "{place}: {mounts}");
                shown += 1;
            }
            assert!(shown > 0, "{place}: the attacker always kept the container from starting");
        }
    }

    /// Fails with a build that writes sysctls through the container's /proc once that is mounted.
    #[test]
    fn cve_2025_52881_sysctls_reach_the_kernel_while_proc_is_swapped() {
        let mut set = 0;
        for _ in 0..ROUNDS {
            let mut bundle = Bundle::new("sleep 1000");
            bundle.spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
            bundle.spec["linux"]["maskedPaths"] = Value::Null;
            bundle.spec["linux"]["readonlyPaths"] = Value::Null;
            let fake = bundle.rootfs().join("fake/sys/net/ipv4");
            fs::create_dir_all(&fake).unwrap();
            fs::write(fake.join("ip_forward"), "fake").unwrap();
            fs::create_dir(bundle.rootfs().join("proc")).unwrap();
            let code = while_swapped(&bundle.rootfs().join("proc"), "/fake", || {
                bundle.detached(&["run", "-d", bundle.id()]).code
            });
            assert_eq!(fs::read_to_string(fake.join("ip_forward")).unwrap(), "fake");
            if code == 0 {
                let pid = bundle.pid().to_string();
                let args = ["-t", &pid, "-n", "cat", "/proc/sys/net/ipv4/ip_forward"];
                let seen = Command::new("nsenter").args(args).output().unwrap();
                assert_eq!(String::from_utf8_lossy(&seen.stdout), "1\n");
                set += 1;
            }
        }
        assert!(set > 0, "the attacker always kept the container from starting: nothing was shown");
    }
}
