//! kill -9 at any moment: what was begun is afterwards there whole or gone, and can be removed.
//!
//! `KILLED_SEED` and `KILLED_ROUNDS` choose other moments and more of them.

use std::path::Path;
use std::process::Child;
use std::time::Duration;

use integration_tests::{Stack, Victim, eventually};

const IMAGE: &str = "127.0.0.1:5000/busybox:1";
/// Rounds of each kind; CI has other things to do, too.
const ROUNDS: u64 = 6;

/// A row of numbers that a seed fixes.
struct Dice(u64);

impl Dice {
    fn new(salt: u64) -> Self {
        let seed = std::env::var("KILLED_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd1b5_4a32_d192_ed03) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

fn rounds() -> u64 {
    std::env::var("KILLED_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS)
}

/// Lets `client` run for a while, then kills somebody under it; gives its end.
fn kill_under(stack: &mut Stack, mut client: Child, dice: &mut Dice, longest: u64) -> String {
    let (pause, victim) = (dice.below(longest), Victim::ALL[dice.below(3) as usize]);
    std::thread::sleep(Duration::from_millis(pause));
    stack.kill(victim);
    // A client of the daemon that lives goes on when the other is back.
    stack.start_missing();
    let ended = eventually("the client ends", || client.try_wait().expect("wait for the client"));
    format!("{victim:?} killed after {pause} ms, the client ended with {ended}")
}

/// Everything is listed, inspected and removed; then nothing is there.
fn remove_all(stack: &Stack, what: &str) {
    let ids = stack.docker(&["ps", "-aq", "--no-trunc"]).ok();
    for id in ids.lines() {
        let state = stack.docker(&["inspect", "-f", "{{.State.Status}}", id]);
        assert_eq!(state.code, 0, "{what}: listed but not to be inspected: {}", state.stderr);
        let removed = stack.docker(&["rm", "-f", id]);
        assert_eq!(removed.code, 0, "{what}: {} {}", state.stdout, removed.stderr);
    }
    println!("{what}");
    stack.assert_clean(&[]);
}

#[test]
fn a_container_whose_daemons_are_killed_in_mid_step_is_whole_or_gone_and_removable() {
    let mut stack = Stack::start();
    stack.docker(&["pull", "-q", IMAGE]).ok();
    let mut dice = Dice::new(2);
    for round in 0..rounds() * 2 {
        let name = format!("k{round}");
        let steps: [&[&str]; 5] = [
            &["create", "--name", &name, "-v", "/data", "-p", "18080:80", IMAGE, "sleep", "1000"],
            &["run", "-d", "--name", &name, "-p", "18080:80", IMAGE, "sleep", "1000"],
            &["stop", "-t", "0", &name],
            &["rm", "-f", &name],
            &["run", "--rm", "--name", &name, IMAGE, "true"],
        ];
        let step = steps[dice.below(5) as usize];
        if matches!(step[0], "stop" | "rm") {
            stack.docker(&["run", "-d", "--name", &name, "-p", "18080:80", IMAGE, "sleep", "1000"]).ok();
        }
        let client = stack.spawn_docker(step);
        let end = kill_under(&mut stack, client, &mut dice, 700);
        let what = format!("round {round}: {}: {end}", step.join(" "));
        check_what_is_there(&stack, &what);
        remove_all(&stack, &what);
    }
}

/// What says that it runs does run, and its network works; what says that it doesn't has no process.
fn check_what_is_there(stack: &Stack, what: &str) {
    for id in stack.docker(&["ps", "-aq", "--no-trunc"]).ok().lines() {
        let state = stack.docker(&["inspect", "-f", "{{.State.Status}} {{.State.Pid}}", id]).stdout;
        let mut words = state.split_whitespace();
        let (status, pid) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match status {
            "running" => {
                assert!(Path::new("/proc").join(pid).exists(), "{what}: {state} is no process");
                let exec = stack.docker(&["exec", id, "echo", "alive"]);
                assert_eq!(exec.stdout, "alive\n", "{what}: {}", exec.stderr);
            }
            "created" | "exited" | "" => {}
            other => panic!("{what}: {other}"),
        }
    }
}
