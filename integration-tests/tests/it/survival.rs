//! A daemon's death or upgrade never stops, blocks or forgets a container.

use integration_tests::{Output, Stack, eventually};

const IMAGE: &str = "127.0.0.1:5000/busybox:1";
/// A line of 100 bytes every 2 ms.
const WRITER: &str = "i=0; while :; do printf 'line %-94d\\n' $i; i=$((i+1)); usleep 2000; done";
/// Longer than the daemons need to end.
const SHORT: &str = "sleep 2; date +%s; exit 9";

type Cli = fn(&Stack, &[&str]) -> Output;

#[test]
fn containers_live_on_while_both_daemons_are_killed_and_no_line_is_lost() {
    let mut stack = Stack::start();
    outlived(&mut stack, |s, a| s.docker(a), Stack::kill_9);
}

#[test]
fn containers_live_on_while_both_daemons_are_replaced_by_a_newer_build() {
    for stop in [Stack::kill_9, Stack::terminate] {
        let mut stack = Stack::start();
        let revisions = |stack: &Stack| {
            let all = "{{.Server.GitCommit}} {{(index .Server.Components 1).Details.GitCommit}}";
            stack.docker(&["version", "-f", all]).ok()
        };
        assert_ne!(revisions(&stack), "newer newer");
        outlived(
            &mut stack,
            |s, a| s.engine(a),
            |stack| {
                stop(stack);
                stack.upgrade();
            },
        );
        assert_eq!(revisions(&stack), "newer newer");
    }
}

/// A writer and a container that ends go through `death` of the daemons.
fn outlived(stack: &mut Stack, cli: Cli, death: impl Fn(&mut Stack)) {
    cli(stack, &["pull", IMAGE]).ok();
    cli(stack, &["run", "-d", "--name", "writer", IMAGE, "sh", "-c", WRITER]).ok();
    cli(stack, &["run", "-d", "--name", "short", IMAGE, "sh", "-c", SHORT]).ok();
    let pid = cli(stack, &["inspect", "-f", "{{.State.Pid}}", "writer"]).ok();
    let short = cli(stack, &["inspect", "-f", "{{.State.Pid}}", "short"]).ok();
    let log = cli(stack, &["inspect", "-f", "{{.LogPath}}", "writer"]).ok();
    let written = || std::fs::metadata(&log).expect("the writer's log").len();
    death(stack);
    let before = written();
    eventually("the short container ends", || (!alive(&short)).then_some(()));
    // A pipe holds 64 KiB.
    eventually("the writer goes on writing", || (written() > before + (128 << 10)).then_some(()));
    assert!(alive(&pid), "the container died with its daemons");
    let back = now(stack);
    stack.start_again();
    let state = |name| cli(stack, &["inspect", "-f", "{{.State.Pid}} {{.State.Status}}", name]).ok();
    assert_eq!(state("writer"), format!("{pid} running"));
    assert_eq!(
        cli(stack, &["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "short"]).ok(),
        "exited 9"
    );
    let last: f64 = cli(stack, &["logs", "short"]).ok().parse().expect("the time it ended at");
    let finished = cli(stack, &["inspect", "-f", "{{.State.FinishedAt}}", "short"]).ok();
    let finished: f64 = stack.shell(&format!("date -d {finished} +%s.%N")).ok().parse().expect("a time");
    assert!(last <= finished && finished < back, "ended at {last}, told {finished}, daemons back at {back}");
    assert!(cli(stack, &["ps"]).ok().contains("writer"));
    assert_eq!(cli(stack, &["exec", "writer", "echo", "alive"]).ok(), "alive");
    cli(stack, &["stop", "-t", "0", "writer"]).ok();
    let logs = cli(stack, &["logs", "writer"]).ok();
    let numbers: Vec<usize> = logs
        .lines()
        .map(|l| l.trim_start_matches("line ").trim_end().parse().expect("a numbered line"))
        .collect();
    assert!(!numbers.is_empty());
    assert!(numbers.iter().enumerate().all(|(i, n)| i == *n), "a line is missing or double");
    cli(stack, &["rm", "writer", "short"]).ok();
    assert_eq!(cli(stack, &["ps", "-aq"]).ok(), "");
}

fn alive(pid: &str) -> bool {
    std::path::Path::new("/proc").join(pid).exists()
}

fn now(stack: &Stack) -> f64 {
    stack.shell("date +%s.%N").ok().parse().expect("a time")
}
