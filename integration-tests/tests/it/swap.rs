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
    let suite = Suite { docker: &peer.docker(), image: Dockerd::IMAGE, runtime: "runc" };
    suite.passes();
    suite.limits_hold();
}

#[test]
fn runc_rs_passes_the_suite_under_debians_dockerd() {
    let peer = Dockerd::start(None);
    let suite = Suite { docker: &peer.docker(), image: Dockerd::IMAGE, runtime: "runc-rs" };
    suite.passes();
    suite.limits_hold();
}

#[test]
fn runc_rs_passes_the_suite_under_engined() {
    let stack = Stack::start();
    pulled(&stack);
    let suite = Suite { docker: &stack.docker_client(), image: IMAGE, runtime: "runc-rs" };
    suite.passes();
    suite.limits_hold();
}

#[test]
fn debians_runc_passes_the_suite_under_engined() {
    let stack = Stack::start();
    pulled(&stack);
    let suite = Suite { docker: &stack.docker_client(), image: IMAGE, runtime: "runc" };
    suite.passes();
    suite.limits_hold();
}

/// crun 1.8 refuses a hybrid of cgroup v1 and v2, and its device program needs a capability that root
/// may lack: it gets a view with v2 alone and leaves cgroups to others.
#[test]
fn debians_crun_with_arguments_from_daemon_json_passes_the_suite_under_engined() {
    let mut stack = Stack::registry_alone();
    let wrapper = stack.dir().join("crun-on-v2");
    let script = "#!/bin/sh\nexec unshare -m --propagation slave sh -c 'umount -l /sys/fs/cgroup && \
                  mount -t cgroup2 none /sys/fs/cgroup && exec crun \"$@\"' sh \"$@\"\n";
    std::fs::write(&wrapper, script).expect("write the wrapper");
    std::fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    stack.configure_engined(&format!(
        r#"{{"runtimes": {{"crun-v2": {{"path": "{}", "runtimeArgs": ["--cgroup-manager=disabled"]}}}}}}"#,
        wrapper.display()
    ));
    stack.start_again();
    pulled(&stack);
    Suite { docker: &stack.docker_client(), image: IMAGE, runtime: "crun-v2" }.passes();
}

#[test]
fn gos_shim_passes_the_suite_under_engined() {
    let stack = Stack::start();
    pulled(&stack);
    let suite = Suite { docker: &stack.docker_client(), image: IMAGE, runtime: "io.containerd.runc.v2" };
    suite.passes();
    suite.limits_hold();
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
        let suite = Suite { docker: &peer.docker(), image: Dockerd::IMAGE, runtime: "runc-rs" };
        suite.passes();
        suite.limits_hold();
        let moby = stack.ctr(&["-n", "moby", "containers", "ls", "-q"]).ok();
        assert_eq!(moby, "", "dockerd's containers were here, and are gone");
    }
}
