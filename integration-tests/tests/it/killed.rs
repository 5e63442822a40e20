//! Daemons killed with -9 in the middle of a step: once they are back, everything that is listed can be removed,
//! nothing else is left, and name and port are free again.

use std::time::Duration;

use integration_tests::{Stack, Victim, bin};

const IMAGE: &str = "127.0.0.1:5000/busybox:1";
const PORT: &str = "18080:80";
/// Our shim, and Go's, both with runc-rs.
const SHIMS: [&str; 2] = ["runc-rs", "gos-shim"];
/// Kills of each step, shared out evenly among the daemons and the shims.
const KILLS: u64 = 6;
/// The longest time from the client's start to the kill, in ms: no step takes longer.
const LONGEST: u64 = 240;

/// What is done in the moment of the kill, and what must be there before.
struct Step {
    before: &'static [&'static [&'static str]],
    step: &'static [&'static str],
}

const CREATE: &[&str] = &["create", "--name", "box", "-p", PORT, "-v", "/data", IMAGE, "sleep", "1000"];
const RUN: &[&str] = &["run", "-d", "--name", "box", "-p", PORT, IMAGE, "sleep", "1000"];

#[test]
fn a_run_that_is_cut_off_leaves_nothing() {
    cut_off(&Step { before: &[], step: RUN });
}

#[test]
fn a_create_that_is_cut_off_leaves_nothing() {
    cut_off(&Step { before: &[], step: CREATE });
}

#[test]
fn a_start_that_is_cut_off_leaves_nothing() {
    cut_off(&Step { before: &[CREATE], step: &["start", "box"] });
}

#[test]
fn a_stop_that_is_cut_off_leaves_nothing() {
    cut_off(&Step { before: &[RUN], step: &["stop", "-t", "0", "box"] });
}

#[test]
fn a_removal_that_is_cut_off_leaves_nothing() {
    cut_off(&Step { before: &[RUN], step: &["rm", "-f", "box"] });
}

#[test]
fn an_exec_that_is_cut_off_leaves_nothing() {
    cut_off(&Step { before: &[RUN], step: &["exec", "box", "usleep", "200000"] });
}

#[test]
fn a_pull_that_is_cut_off_leaves_nothing_and_is_made_good_by_the_next() {
    cut_off(&Step { before: &[&["rmi", "-f", IMAGE]], step: &["pull", IMAGE] });
}

/// Kills the daemons at varied moments inside a step.
fn cut_off(Step { before, step }: &Step) {
    let mut stack = Stack::registry_alone();
    // Go's shim kills its runtime when the daemon dies, and runc leaves its cgroup behind when it is killed.
    stack.configure_engined(&format!(
        r#"{{"runtimes": {{"gos-shim": {{"runtimeType": "io.containerd.runc.v2", "path": "{}"}}}}}}"#,
        bin("runc-rs").display()
    ));
    stack.start_again();
    let mut chance = Chance::new();
    for (kill, moment) in chance.moments().into_iter().enumerate() {
        let (victim, shim) = (Victim::ALL[kill % 3], SHIMS[kill / 3 % 2]);
        stack.docker(&["pull", "-q", IMAGE]).ok();
        for command in *before {
            stack.docker(&under(shim, command)).ok();
        }
        let mut client = stack.spawn_docker(&under(shim, step));
        std::thread::sleep(moment);
        stack.kill(victim);
        stack.start_missing();
        client.wait().expect("the client ends");
        eprintln!("{victim:?} was killed {moment:?} after the start of docker {step:?} with {shim}");
        remove_all(&stack);
        stack.assert_clean(&[]);
        stack.docker(&["pull", "-q", IMAGE]).ok();
        stack.docker(&under(shim, RUN)).ok();
        remove_all(&stack);
    }
    stack.assert_clean(&[]);
}

/// The command, with the shim that its container gets.
fn under<'a>(shim: &'a str, command: &[&'a str]) -> Vec<&'a str> {
    match command {
        [verb @ ("run" | "create"), rest @ ..] => [&[*verb, "--runtime", shim], rest].concat(),
        _ => command.to_vec(),
    }
}

/// Removes what is listed.
fn remove_all(stack: &Stack) {
    let ids = stack.docker(&["ps", "-aq", "--no-trunc"]).ok();
    for id in ids.lines() {
        stack.docker(&["rm", "-f", "-v", id]).ok();
    }
    assert_eq!(stack.docker(&["ps", "-aq"]).ok(), "");
    assert_eq!(stack.docker(&["volume", "ls", "-q"]).ok(), "", "nobody's volume");
}

/// Numbers that are the same in every run: xorshift, from `KILL_SEED` if that is set.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let seed = std::env::var("KILL_SEED").ok().and_then(|seed| seed.parse().ok());
        Self(seed.unwrap_or(0x9e37_79b9_7f4a_7c15))
    }

    /// When to kill: one moment in each of as many equal parts of the time, in any order.
    fn moments(&mut self) -> Vec<Duration> {
        let mut moments: Vec<_> = (0..KILLS)
            .map(|part| self.within(part * LONGEST / KILLS, (part + 1) * LONGEST / KILLS))
            .map(Duration::from_millis)
            .collect();
        for at in (1..moments.len()).rev() {
            moments.swap(at, self.within(0, at as u64 + 1) as usize);
        }
        moments
    }

    /// From `from` up to `to`, that one not included.
    fn within(&mut self, from: u64, to: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        from + self.0 % (to - from)
    }
}
