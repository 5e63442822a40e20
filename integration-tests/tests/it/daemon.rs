//! containerd-rs under Debian's `ctr`.

use integration_tests::{Census, Stack};

const IMAGE: &str = "127.0.0.1:5000/busybox:1";

fn pulled() -> Stack {
    let stack = Stack::start();
    stack.ctr(&["images", "pull", "--plain-http", IMAGE]).ok();
    stack
}

#[test]
fn ctr_pulls_runs_and_removes() {
    let stack = pulled();
    assert!(stack.ctr(&["images", "ls", "-q"]).ok().contains(IMAGE));
    assert!(stack.ctr(&["snapshots", "ls"]).ok().contains("Committed"));
    assert!(stack.ctr(&["content", "ls", "-q"]).ok().contains(&stack.image.manifest));
    let run = [
        "run",
        "--rm",
        "--runtime",
        "io.containerd.runcrs.v2",
        IMAGE,
        "c1",
        "sh",
        "-c",
        "echo hello; exit 7",
    ];
    let output = stack.ctr(&run);
    assert_eq!((output.code, output.stdout.as_str()), (7, "hello\n"), "{}", output.stderr);
    assert_eq!(stack.ctr(&["containers", "ls", "-q"]).ok(), "");
    stack.ctr(&["images", "rm", "--sync", IMAGE]).ok();
    assert_eq!(stack.ctr(&["content", "ls", "-q"]).ok(), "", "collected with its image");
    Census::of(stack.dir().to_str().expect("UTF-8")).assert_empty();
}

#[test]
fn a_detached_task_is_listed_execs_and_is_killed() {
    for runtime in ["io.containerd.runcrs.v2", "io.containerd.runc.v2"] {
        let stack = pulled();
        stack.ctr(&["run", "-d", "--runtime", runtime, IMAGE, "c1", "sleep", "1000"]).ok();
        assert!(stack.ctr(&["task", "ls"]).ok().contains("RUNNING"), "{runtime}");
        let exec = stack.ctr(&["task", "exec", "--exec-id", "e1", "c1", "sh", "-c", "echo in; exit 3"]);
        assert_eq!((exec.code, exec.stdout.as_str()), (3, "in\n"), "{runtime}: {}", exec.stderr);
        assert!(stack.ctr(&["task", "metrics", "c1"]).ok().contains("ID"), "{runtime}");
        stack.ctr(&["task", "kill", "-s", "SIGKILL", "c1"]).ok();
        integration_tests::eventually("the task stops", || {
            stack.ctr(&["task", "ls"]).ok().contains("STOPPED").then_some(())
        });
        stack.ctr(&["task", "rm", "c1"]);
        stack.ctr(&["containers", "rm", "c1"]).ok();
    }
}

#[test]
fn unknown_runtime_and_missing_image_are_clear_errors() {
    let stack = pulled();
    let output = stack.ctr(&["run", "--rm", "--runtime", "io.containerd.nosuch.v1", IMAGE, "c1", "true"]);
    assert_ne!(output.code, 0);
    assert!(output.stderr.contains("containerd-shim-nosuch-v1"), "{}", output.stderr);
    let output = stack.ctr(&["run", "--rm", "127.0.0.1:5000/nosuch:1", "c2", "true"]);
    assert!(output.stderr.contains("not found"), "{}", output.stderr);
    assert_eq!(stack.ctr(&["task", "ls", "-q"]).ok(), "");
}
