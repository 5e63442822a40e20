//! Where no daemon listens, `engine` starts the stack itself.

use integration_tests::{Output, PrivateMachine, eventually};

use crate::clients::IMAGE;

const STARTED: &str = "engine: started engined on unix:///run/engined.sock";

/// The pids of the daemons by this name.
fn pids(machine: &PrivateMachine, name: &str) -> Vec<String> {
    let found = machine.shell(&format!("pgrep -x {name}")).stdout;
    found.split_whitespace().map(str::to_owned).collect()
}

fn both(machine: &PrivateMachine) -> [Vec<String>; 2] {
    ["engined", "containerd-rs"].map(|name| pids(machine, name))
}

#[track_caller]
fn status(output: Output) -> String {
    output.ok().lines().map(|line| line.split(" (").next().unwrap_or(line)).collect()
}

#[test]
fn the_first_command_starts_both_daemons_and_the_second_finds_them() {
    let machine = PrivateMachine::new();
    let first = machine.shell(&format!("engine run --rm {IMAGE} echo hello"));
    assert_eq!((first.code, first.stdout.as_str()), (0, "hello\n"), "{}", first.stderr);
    assert_eq!(first.stderr.matches(STARTED).count(), 1, "{}", first.stderr);
    let daemons = both(&machine);
    assert_eq!([daemons[0].len(), daemons[1].len()], [1, 1], "{daemons:?} outlive the command");
    let second = machine.shell(&format!("engine run --rm {IMAGE} echo again"));
    assert_eq!((second.stdout.as_str(), second.stderr.as_str()), ("again\n", ""));
    assert_eq!(both(&machine), daemons);
    // The terminal's signals are not for them, and its end neither.
    let session = machine.shell(&format!("ps -o sid= -p {}", daemons[0][0])).ok();
    assert_eq!(session.trim(), daemons[0][0], "a session of its own");
    let docker = machine.shell("docker -H unix:///run/engined.sock images -q");
    assert_eq!(docker.ok().lines().count(), 1);
}

#[test]
fn commands_at_once_start_one_daemon() {
    let machine = PrivateMachine::new();
    let script = "for i in 1 2 3 4 5 6; do engine ps -q & all=\"$all $!\"; done; for pid in $all; do wait $pid || echo failed; done";
    let output = machine.shell(script);
    assert_eq!((output.code, output.stdout.as_str()), (0, ""), "{}", output.stderr);
    assert_eq!(output.stderr.matches(STARTED).count(), 1, "{}", output.stderr);
    let daemons = both(&machine);
    assert_eq!([daemons[0].len(), daemons[1].len()], [1, 1], "{daemons:?}");
}

#[test]
fn what_dead_daemons_left_hinders_nobody_and_their_containers_are_there() {
    let machine = PrivateMachine::new();
    let run = format!(
        "engine run -d --name box -p 8080:80 {IMAGE} httpd -f -h /www && engine inspect -f '{{{{.State.Pid}}}}' box"
    );
    let pid = machine.shell(&run).ok().lines().last().expect("a pid").to_owned();
    for victims in [&["engined"][..], &["containerd-rs", "engined"]] {
        for name in victims {
            for pid in pids(&machine, name) {
                machine.shell(&format!("kill -9 {pid}")).ok();
            }
        }
        assert_eq!(machine.shell("test -S /run/engined.sock && echo left").ok(), "left");
        assert_eq!(machine.shell("curl -s --max-time 5 http://127.0.0.1:8080/").ok(), "hello from inside");
        let back = machine.shell("engine inspect -f '{{.State.Pid}} {{.State.Status}}' box");
        assert_eq!(back.stdout.trim(), format!("{pid} running"), "{victims:?}: {}", back.stderr);
        assert_eq!(back.stderr.matches(STARTED).count(), 1, "{victims:?}: {}", back.stderr);
        assert_eq!(machine.shell("engine exec box echo alive").ok(), "alive", "{victims:?}");
    }
    machine.shell("engine rm -f box").ok();
    assert_eq!(machine.shell("engine ps -aq").ok(), "");
}

#[test]
fn a_containerd_that_died_alone_is_started_again_by_its_engine() {
    let machine = PrivateMachine::new();
    machine.shell(&format!("engine run -d --name box {IMAGE} sleep 1000")).ok();
    // Once as the engine's own child, once as one that a new engine had found.
    for engine_too in [false, true] {
        if engine_too {
            machine.shell("kill -9 $(pgrep -x engined) && engine ps").ok();
        }
        let dead = pids(&machine, "containerd-rs");
        machine.shell(&format!("kill -9 {}", dead.join(" "))).ok();
        eventually("another containerd-rs", || {
            let now = pids(&machine, "containerd-rs");
            (now.len() == 1 && now != dead).then_some(())
        });
        assert_eq!(machine.shell("engine exec box echo alive").ok(), "alive");
        assert_eq!(machine.shell(&format!("engine run --rm {IMAGE} echo new")).ok(), "new");
    }
    assert_eq!(status(machine.shell("engine ps --format '{{.Names}}'")), "box");
}

#[test]
fn who_does_not_want_it_and_who_cannot_be_helped_is_told() {
    let machine = PrivateMachine::new();
    let none = machine.shell("ENGINE_AUTOSTART=0 engine ps");
    assert_eq!(none.code, 1);
    let words = "Cannot connect to the engine daemon at unix:///run/engined.sock. Is engined running?";
    assert!(none.stderr.contains(words), "{}", none.stderr);
    let elsewhere = machine.shell("engine -H tcp://127.0.0.1:1 ps");
    assert_eq!(elsewhere.code, 1);
    assert!(
        elsewhere.stderr.contains("Cannot connect to the engine daemon at tcp://127.0.0.1:1"),
        "{}",
        elsewhere.stderr
    );
    // A daemon that can't come up: its log says why, and the command where the log is.
    machine.shell("touch /var/lib/engine").ok();
    let broken = machine.shell("engine ps");
    assert_eq!(broken.code, 1);
    assert!(broken.stderr.contains("/var/log/engined.log"), "{}", broken.stderr);
    assert!(machine.shell("cat /var/log/engined.log").ok().contains("/var/lib/engine"));
    machine.shell("rm /var/lib/engine").ok();
    assert_eq!(machine.shell("engine ps -q").ok(), "");
}
