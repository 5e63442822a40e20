//! What killed daemons leave blocks nobody, and a second daemon is turned away without harm to the first.

use std::fs::File;
use std::path::PathBuf;

use integration_tests::{Output, Stack, bin};
use nix::fcntl::{Flock, FlockArg};

const IMAGE: &str = "127.0.0.1:5000/busybox:1";

/// Runs a daemon that must refuse to: one that doesn't is ended after a while.
fn refused(stack: &Stack, daemon: &str, flags: &[(&str, PathBuf)]) -> String {
    let mut command = stack.netns.command("timeout");
    command.arg("20").arg(bin(daemon));
    for (flag, value) in flags {
        command.arg(flag).arg(value);
    }
    let output = Output::of(&mut command);
    assert_eq!(output.code, 1, "{daemon} {flags:?}: {}{}", output.stdout, output.stderr);
    output.stderr
}

/// A stack with a container that serves a port.
fn serving() -> (Stack, String) {
    let stack = Stack::start();
    stack.docker(&["pull", "-q", IMAGE]).ok();
    let serve = ["run", "-d", "--name", "web", "-p", "18080:80", IMAGE, "httpd", "-f", "-h", "/www"];
    stack.docker(&serve).ok();
    let pid = pid(&stack);
    (stack, pid)
}

fn pid(stack: &Stack) -> String {
    stack.docker(&["inspect", "-f", "{{.State.Pid}}", "web"]).ok()
}

/// The daemons and the container go on as if nothing had been.
fn undisturbed(stack: &Stack, before: &str) {
    assert_eq!(pid(stack), before);
    assert_eq!(stack.docker(&["exec", "web", "echo", "alive"]).ok(), "alive");
    assert_eq!(stack.shell("curl -s --max-time 10 http://127.0.0.1:18080/").ok(), "hello from inside");
    assert_eq!(stack.docker(&["run", "--rm", IMAGE, "echo", "new"]).ok(), "new");
}

#[test]
fn sockets_and_pid_files_of_killed_daemons_are_replaced() {
    let (mut stack, before) = serving();
    stack.kill_9();
    let ttrpc = stack.dir().join("cs/containerd.sock.ttrpc");
    for left in [stack.engine_socket(), stack.containerd_socket(), ttrpc, stack.dir().join("engined.pid")] {
        assert!(left.exists(), "{} is what this test is about", left.display());
    }
    stack.start_again();
    undisturbed(&stack, &before);
    stack.terminate();
    assert!(!stack.engine_socket().exists() && !stack.dir().join("engined.pid").exists());
    // The number has passed to another process, or the file is no pid's.
    for text in [std::process::id().to_string(), "no number".into(), String::new()] {
        std::fs::write(stack.dir().join("engined.pid"), text).expect("write a pid file");
        stack.start_again();
        undisturbed(&stack, &before);
        stack.kill_9();
    }
    stack.start_again();
    stack.docker(&["rm", "-f", "web"]).ok();
    stack.assert_clean(&[]);
}

/// The kernel closes a killed daemon's sockets before its locks: who starts it again at once meets those.
#[test]
fn a_killed_daemon_that_is_slow_to_let_go_keeps_nobody_out() {
    let (mut stack, before) = serving();
    stack.kill_9();
    let held = ["cr/lock", "cs/lock", "data/lock", "exec/lock"].map(|name| {
        let file = File::open(stack.dir().join(name)).expect("a lock");
        Flock::lock(file, FlockArg::LockExclusiveNonblock).expect("nobody holds it")
    });
    let letting_go = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        drop(held);
    });
    stack.start_again();
    letting_go.join().expect("let go");
    undisturbed(&stack, &before);
    stack.docker(&["rm", "-f", "web"]).ok();
    stack.assert_clean(&[]);
}

#[test]
fn a_second_engined_is_refused_whatever_it_shares_and_harms_nobody() {
    let (stack, before) = serving();
    let dir = |name: &str| stack.dir().join(name);
    let socket = |path: PathBuf| PathBuf::from(format!("unix://{}", path.display()));
    let own = [
        ("--data-root", dir("data2")),
        ("--exec-root", dir("exec2")),
        ("-H", socket(dir("2.sock"))),
        ("--pidfile", dir("2.pid")),
        ("--containerd", stack.containerd_socket()),
    ];
    let shared = [
        ("--data-root", dir("data"), "another daemon uses"),
        ("--exec-root", dir("exec"), "another daemon uses"),
        ("-H", socket(stack.engine_socket()), "another daemon listens there"),
        ("--pidfile", dir("engined.pid"), "is still running"),
    ];
    for (flag, value, words) in shared {
        let flags = own.clone().map(|(name, own)| (name, if name == flag { value.clone() } else { own }));
        let said = refused(&stack, "engined", &flags);
        assert!(said.contains(words), "{flag}: {said}");
        undisturbed(&stack, &before);
    }
    std::fs::write(dir("2.sock"), "precious").expect("write");
    assert!(refused(&stack, "engined", &own).contains("no socket is in the way"));
    assert_eq!(std::fs::read_to_string(dir("2.sock")).expect("still there"), "precious");
    stack.docker(&["rm", "-f", "web"]).ok();
    stack.assert_clean(&[]);
}

#[test]
fn a_second_containerd_rs_is_refused_whatever_it_shares_and_harms_nobody() {
    let (stack, before) = serving();
    let dir = |name: &str| stack.dir().join(name);
    let own = [("--root", dir("cr2")), ("--state", dir("cs2")), ("--address", dir("cs2/2.sock"))];
    let shared = [
        ("--root", dir("cr"), "another daemon uses"),
        ("--state", dir("cs"), "another daemon uses"),
        ("--address", stack.containerd_socket(), "somebody listens there already"),
    ];
    for (flag, value, words) in shared {
        let flags = own.clone().map(|(name, own)| (name, if name == flag { value.clone() } else { own }));
        let said = refused(&stack, "containerd-rs", &flags);
        assert!(said.contains(words), "{flag}: {said}");
        undisturbed(&stack, &before);
    }
    stack.docker(&["rm", "-f", "web"]).ok();
    stack.assert_clean(&[]);
}
