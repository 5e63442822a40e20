//! kill -9 of a shim: its container is killed too and leaves nothing, as under containerd.

use std::path::Path;

use integration_tests::{Containerd, Stack, eventually, kill_shim_9, namespace};

const IMAGE: &str = "127.0.0.1:5000/busybox:1";
const SHIMS: [&str; 2] = ["io.containerd.runcrs.v2", "io.containerd.runc.v2"];

/// The process still runs; one that nobody reaps has ended all the same.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

#[test]
fn a_killed_shims_container_is_killed_and_told_of_as_137() {
    let stack = Stack::start();
    stack.docker(&["pull", "-q", IMAGE]).ok();
    for shim in SHIMS {
        let run = ["run", "-d", "--name", "box", "--runtime", shim, "-p", "18080:80", IMAGE, "sleep", "1000"];
        let id = stack.docker(&run).ok();
        let pid = stack.docker(&["inspect", "-f", "{{.State.Pid}}", "box"]).ok();
        stack.docker(&["exec", "-d", "box", "sleep", "1001"]).ok();
        kill_shim_9(&id);
        assert_eq!(stack.docker(&["wait", "box"]).ok(), "137", "{shim}");
        assert!(!runs(&pid), "{shim}: the container lives on, of nobody");
        assert_eq!(stack.docker(&["inspect", "-f", "{{.State.Status}}", "box"]).ok(), "exited", "{shim}");
        stack.docker(&["start", "box"]).ok();
        assert_eq!(stack.docker(&["exec", "box", "echo", "again"]).ok(), "again", "{shim}");
        stack.docker(&["rm", "-f", "box"]).ok();
        stack.assert_clean(&[]);
    }
}

#[test]
fn a_shim_killed_while_the_daemons_are_away_leaves_nothing() {
    let mut stack = Stack::start();
    stack.docker(&["pull", "-q", IMAGE]).ok();
    for shim in SHIMS {
        let id =
            stack.docker(&["run", "-d", "--name", "box", "--runtime", shim, IMAGE, "sleep", "1000"]).ok();
        let pid = stack.docker(&["inspect", "-f", "{{.State.Pid}}", "box"]).ok();
        stack.kill_9();
        kill_shim_9(&id);
        stack.start_again();
        let state = ["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "box"];
        eventually("the end is taken in", || (stack.docker(&state).ok() == "exited 137").then_some(()));
        assert!(!runs(&pid), "{shim}: the container lives on, of nobody");
        stack.docker(&["rm", "box"]).ok();
        stack.assert_clean(&[]);
    }
}

#[test]
fn debians_containerd_kills_the_container_of_a_killed_shim_and_so_do_we() {
    let peer = Containerd::start();
    let image = peer.import();
    let id = namespace(peer.dir());
    for shim in SHIMS {
        peer.ctr().run(&["run", "-d", "--runtime", shim, image, &id, "sleep", "1000"]).ok();
        let listed = peer.ctr().run(&["tasks", "ls"]).ok();
        let line = listed.lines().find(|line| line.starts_with(&id)).expect("listed").to_owned();
        let pid = line.split_whitespace().nth(1).expect("a pid");
        kill_shim_9(&id);
        eventually("the container is killed", || (!runs(pid)).then_some(()));
        eventually("the task is gone", || {
            (peer.ctr().run(&["tasks", "ls", "-q"]).ok().is_empty()).then_some(())
        });
        peer.ctr().run(&["containers", "rm", &id]).ok();
    }
}
