//! Every seam below engined, proven by swapping in the original.

use integration_tests::{Dockerd, Stack, eventually};

use crate::docker_suite::Suite;

const IMAGE: &str = "127.0.0.1:5000/busybox:1";

fn pulled(stack: &Stack) {
    stack.docker(&["pull", "-q", IMAGE]).ok();
}

#[test]
fn debians_runc_passes_the_suite_under_debians_dockerd() {
    let peer = Dockerd::start(None);
    Suite::new(&peer.docker(), Dockerd::IMAGE, "runc").passes_with_limits();
}

#[test]
fn runc_rs_passes_the_suite_under_debians_dockerd() {
    let peer = Dockerd::start(None);
    Suite::new(&peer.docker(), Dockerd::IMAGE, "runc-rs").passes_with_limits();
}

#[test]
fn runc_rs_passes_the_suite_under_engined() {
    let stack = Stack::start();
    pulled(&stack);
    Suite::new(&stack.docker_client(), IMAGE, "runc-rs").passes_with_limits();
}

#[test]
fn debians_runc_passes_the_suite_under_engined() {
    let stack = Stack::start();
    pulled(&stack);
    Suite::new(&stack.docker_client(), IMAGE, "runc").passes_with_limits();
}

#[test]
fn debians_crun_with_arguments_from_daemon_json_passes_the_suite_under_engined() {
    let mut stack = Stack::registry_alone();
    let wrapper = crate::peers::crun_on_v2(stack.dir(), "");
    stack.configure_engined(&format!(
        r#"{{"runtimes": {{"crun-v2": {{"path": "{}", "runtimeArgs": ["--cgroup-manager=disabled"]}}}}}}"#,
        wrapper.display()
    ));
    stack.start_again();
    pulled(&stack);
    Suite { words_of_runc: false, ..Suite::new(&stack.docker_client(), IMAGE, "crun-v2") }.passes();
}

/// Go's shim gives a process whose output goes to a `binary://` logger no input: engined's logs would have to
/// go another way for `run -i` without a terminal.
#[test]
fn gos_shim_passes_the_suite_under_engined() {
    let stack = Stack::start();
    pulled(&stack);
    Suite { takes_input: false, ..Suite::new(&stack.docker_client(), IMAGE, "io.containerd.runc.v2") }
        .passes_with_limits();
    let run = ["run", "-d", "--name", "box", "--runtime", "io.containerd.runc.v2", IMAGE];
    stack.docker(&[&run[..], &["sh", "-c", "echo hi; sleep 1000"]].concat()).ok();
    eventually("the line is logged", || (stack.docker(&["logs", "box"]).stdout == "hi\n").then_some(()));
    stack.docker(&["rm", "-f", "box"]).ok();
}

#[test]
fn debians_dockerd_passes_the_suite_on_containerd_rs_with_both_shims() {
    let mut stack = Stack::without_engine();
    for ours in [false, true] {
        if ours {
            stack.kill_containerd_9();
            stack.name_our_shim_as_gos();
            stack.start_containerd();
        }
        let peer = Dockerd::start(Some(&stack.containerd_socket()));
        Suite::new(&peer.docker(), Dockerd::IMAGE, "runc-rs").passes_with_limits();
        let moby = stack.ctr(&["-n", "moby", "containers", "ls", "-q"]).ok();
        assert_eq!(moby, "", "dockerd's containers were here, and are gone");
    }
}
