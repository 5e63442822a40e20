//! A daemon's death never stops, blocks or forgets a container.

use integration_tests::Stack;

const IMAGE: &str = "127.0.0.1:5000/busybox:1";

#[test]
fn containers_live_on_while_both_daemons_are_killed_and_no_line_is_lost() {
    let mut stack = Stack::start();
    stack.docker(&["pull", "-q", IMAGE]).ok();
    let script = "i=0; while :; do echo line $i; i=$((i+1)); usleep 2000; done";
    stack.docker(&["run", "-d", "--name", "writer", IMAGE, "sh", "-c", script]).ok();
    stack.docker(&["run", "-d", "--name", "short", IMAGE, "sh", "-c", "sleep 2; exit 9"]).ok();
    let pid = stack.docker(&["inspect", "-f", "{{.State.Pid}}", "writer"]).ok();
    stack.kill_9();
    // Long enough for far more output than a pipe holds, and for the other container to end.
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert!(std::path::Path::new("/proc").join(&pid).exists(), "the container died with its daemons");
    stack.start_again();
    assert_eq!(
        stack.docker(&["inspect", "-f", "{{.State.Pid}} {{.State.Status}}", "writer"]).ok(),
        format!("{pid} running")
    );
    assert_eq!(
        stack.docker(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "short"]).ok(),
        "exited 9"
    );
    assert_eq!(stack.docker(&["exec", "writer", "echo", "alive"]).ok(), "alive");
    stack.docker(&["stop", "-t", "0", "writer"]).ok();
    let logs = stack.docker(&["logs", "writer"]).ok();
    let numbers: Vec<usize> =
        logs.lines().map(|l| l.trim_start_matches("line ").parse().expect("a numbered line")).collect();
    assert!(numbers.len() > 500, "it was blocked: {} lines", numbers.len());
    assert!(numbers.iter().enumerate().all(|(i, n)| i == *n), "a line is missing or double");
    stack.docker(&["rm", "writer", "short"]).ok();
    assert_eq!(stack.docker(&["ps", "-aq"]).ok(), "");
}
