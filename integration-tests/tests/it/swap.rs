//! Every seam, proven by swapping in the original.

use integration_tests::Stack;

const IMAGE: &str = "127.0.0.1:5000/busybox:1";

#[test]
fn the_runtime_is_swapped_under_engined() {
    let stack = Stack::start();
    stack.docker(&["pull", "-q", IMAGE]).ok();
    for runtime in ["runc-rs", "runc"] {
        stack.docker(&["run", "-d", "--name", "box", "--runtime", runtime, IMAGE, "sleep", "1000"]).ok();
        assert_eq!(stack.docker(&["exec", "box", "echo", "in"]).ok(), "in", "{runtime}");
        stack.docker(&["rm", "-f", "box"]).ok();
        let output = stack.docker(&["run", "--rm", "--runtime", runtime, IMAGE, "sh", "-c", "exit 4"]);
        assert_eq!(output.code, 4, "{runtime}: {}", output.stderr);
    }
}

#[test]
fn gos_shim_is_swapped_in_under_engined() {
    let stack = Stack::start();
    stack.docker(&["pull", "-q", IMAGE]).ok();
    let run = [
        "run",
        "-d",
        "--name",
        "box",
        "--runtime",
        "io.containerd.runc.v2",
        IMAGE,
        "sh",
        "-c",
        "echo hi; sleep 1000",
    ];
    stack.docker(&run).ok();
    integration_tests::eventually("the line is logged", || {
        (stack.docker(&["logs", "box"]).stdout == "hi\n").then_some(())
    });
    stack.docker(&["rm", "-f", "box"]).ok();
}
