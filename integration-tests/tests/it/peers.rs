//! Our parts under the daemons of others: the shim and the runtime under Debian's containerd, the
//! runtime under podman, every runtime under every shim.

use std::path::{Path, PathBuf};

use integration_tests::{Census, Client, Containerd, Output, Podman, Stack, bin, eventually, namespace};

const IMAGE: &str = "127.0.0.1:5000/busybox:1";
const GOS: &str = "io.containerd.runc.v2";
const OURS: &str = "io.containerd.runcrs.v2";

/// crun 1.8 refuses a hybrid of cgroup v1 and v2, and its device program needs a capability that root
/// may lack: a script gives it a view with v2 alone and has it leave cgroups to others.
pub(crate) fn crun_on_v2(dir: &Path, arguments: &str) -> PathBuf {
    let wrapper = dir.join("crun-on-v2");
    let script = format!(
        "#!/bin/sh\nexec unshare -m --propagation slave sh -c 'umount -l /sys/fs/cgroup && \
         mount -t cgroup2 none /sys/fs/cgroup && exec crun \"$@\"' sh {arguments} \"$@\"\n"
    );
    std::fs::write(&wrapper, script).expect("write the wrapper");
    std::fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    wrapper
}

/// A container's life with one OCI runtime; `ctr` takes `--runc-binary` only for Go's shim's name.
fn lives_with(ctr: &Client, binary: &Path) {
    let name = binary.display().to_string();
    let run = ["run", "--runtime", GOS, "--runc-binary", &name];
    let output =
        ctr.run(&[&run[..], &["--rm", IMAGE, "c1", "sh", "-c", "echo hi; echo e >&2; exit 7"]].concat());
    let said = (output.code, output.stdout.as_str(), output.stderr.as_str());
    assert_eq!(said, (7, "hi\n", "e\n"), "{name}");
    let output = ctr.run(&[&run[..], &["--rm", IMAGE, "c1", "nosuchcmd"]].concat());
    assert!(output.code != 0 && output.stderr.contains("$PATH"), "{name}: {}", output.stderr);
    ctr.run(&[&run[..], &["-d", IMAGE, "c1", "sleep", "1000"]].concat()).ok();
    let exec = |command: &str| ctr.run(&["task", "exec", "--exec-id", "e1", "c1", "sh", "-c", command]);
    let output = exec("echo in; exit 3");
    assert_eq!((output.code, output.stdout.as_str()), (3, "in\n"), "{name}: {}", output.stderr);
    let terminal = ctr.run_in_terminal(&["task", "exec", "-t", "--exec-id", "e1", "c1", "tty"]);
    assert!(terminal.code == 0 && terminal.stdout.contains("/dev/pts/0"), "{name}: {}", terminal.stdout);
    ctr.run(&["task", "kill", "-s", "SIGKILL", "c1"]).ok();
    eventually("the task stops", || ctr.run(&["task", "ls"]).ok().contains("STOPPED").then_some(()));
    let removed = ctr.run(&["task", "rm", "c1"]);
    assert!(removed.stderr.contains("exit code 137"), "{name}: {}", removed.stderr);
    ctr.run(&["containers", "rm", "c1"]).ok();
}

fn runtimes(dir: &Path) -> [PathBuf; 3] {
    [PathBuf::from("/usr/sbin/runc"), bin("runc-rs"), crun_on_v2(dir, "--cgroup-manager=disabled")]
}

#[test]
fn every_runtime_runs_under_every_shim_on_debians_containerd() {
    let peer = Containerd::start();
    peer.import();
    for runtime in runtimes(peer.dir()) {
        lives_with(&peer.ctr(), &runtime);
    }
    let peer = Containerd::start_with_our_shim_as_gos();
    peer.import();
    for runtime in runtimes(peer.dir()) {
        lives_with(&peer.ctr(), &runtime);
    }
    Census::of(peer.dir().to_str().expect("UTF-8")).assert_empty();
}

#[test]
fn every_runtime_runs_under_every_shim_on_containerd_rs() {
    let mut stack = Stack::without_engine();
    stack.ctr(&["images", "pull", "-q", "--plain-http", IMAGE]).ok();
    let runtimes = runtimes(stack.dir());
    for runtime in &runtimes {
        lives_with(&stack.ctr_client(), runtime);
    }
    stack.kill_containerd_9();
    stack.name_our_shim_as_gos();
    stack.start_containerd();
    for runtime in &runtimes {
        lives_with(&stack.ctr_client(), runtime);
    }
    Census::of(stack.dir().to_str().expect("UTF-8")).assert_empty();
}

#[test]
fn tasks_of_both_shims_outlive_kill_9_of_debians_containerd() {
    let mut peer = Containerd::start();
    peer.import();
    for shim in [GOS, OURS] {
        let run = |name: &str, script: &str| {
            peer.ctr().run(&["run", "-d", "--runtime", shim, IMAGE, name, "sh", "-c", script]).ok();
        };
        run("long", "while :; do usleep 20000; done");
        run("short", "sleep 1; exit 9");
        let line = |peer: &Containerd, name: &str| {
            let listing = peer.ctr().run(&["task", "ls"]).ok();
            let line = listing.lines().find(|line| line.starts_with(name)).map(str::to_owned);
            line.unwrap_or_else(|| panic!("{shim}: {name} isn't listed: {listing}"))
        };
        let before = line(&peer, "long");
        let short = line(&peer, "short");
        peer.kill_9();
        let pid = short.split_whitespace().nth(1).expect("a pid").to_owned();
        eventually("the other one has ended", || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            (status.is_empty() || status.contains("State:\tZ")).then_some(())
        });
        peer.start_again();
        assert_eq!(line(&peer, "long"), before, "{shim}: another process, or not running");
        assert!(line(&peer, "short").contains("STOPPED"), "{shim}");
        let alive = peer.ctr().run(&["task", "exec", "--exec-id", "e1", "long", "echo", "alive"]);
        assert_eq!(alive.ok(), "alive", "{shim}");
        let removed = peer.ctr().run(&["task", "rm", "short"]);
        assert!(removed.stderr.contains("exit code 9"), "{shim}: {}", removed.stderr);
        peer.ctr().run(&["task", "rm", "-f", "long"]);
        peer.ctr().run(&["containers", "rm", "long", "short"]).ok();
    }
    Census::of(peer.dir().to_str().expect("UTF-8")).assert_empty();
}

#[test]
fn our_shim_heeds_options_that_a_configuration_file_gives() {
    let peer = Containerd::start();
    peer.import();
    let file = peer.dir().join("runtime.toml");
    let run = |text: &str| {
        std::fs::write(&file, text).expect("write the options");
        let path = file.to_str().expect("UTF-8");
        let script = "echo hi";
        let args = [
            "run",
            "--rm",
            "--runtime",
            OURS,
            "--runtime-config-path",
            path,
            IMAGE,
            "c1",
            "sh",
            "-c",
            script,
        ];
        peer.ctr().run(&args)
    };
    let log = peer.dir().join("called");
    let wrapper = peer.dir().join("runtime");
    let script =
        format!("#!/bin/sh\necho \"$@\" >> {}\nexec {} \"$@\"\n", log.display(), bin("runc-rs").display());
    std::fs::write(&wrapper, script).expect("write the wrapper");
    std::fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    let root = peer.dir().join("runtime-root");
    let text = format!("BinaryName = \"{}\"\nRoot = \"{}\"\n", wrapper.display(), root.display());
    assert_eq!(run(&text).ok(), "hi");
    let called = std::fs::read_to_string(&log).expect("the runtime was called");
    let create = called.lines().find(|line| line.contains(" create ")).expect("create");
    assert!(create.contains(&format!("--root {}/{}", root.display(), namespace(peer.dir()))), "{create}");
    let refused = run("BinaryNam = \"x\"\n");
    assert!(refused.code != 0 && refused.stderr.contains("unknown option"), "{}", refused.stderr);
}

fn podman_lives_with(runtime: &Path) {
    let podman = Podman::new(runtime);
    let name = runtime.display();
    let client = podman.client();
    let image = Podman::IMAGE;
    let said = |output: &Output| (output.code, output.stdout.clone());
    let script = "echo $A; echo e >&2; exit 7";
    let output = client.run(&["run", "--rm", "--network", "none", "-e", "A=b", image, "sh", "-c", script]);
    assert_eq!((said(&output), output.stderr.as_str()), ((7, "b\n".into()), "e\n"), "{name}");
    let output = client.run(&["run", "--rm", "--network", "none", image, "nosuchcmd"]);
    assert_eq!(output.code, 127, "{name}: {}", output.stderr);
    let output = client.run(&["run", "--rm", "--network", "none", image, "/etc/passwd"]);
    assert_eq!(output.code, 126, "{name}: {}", output.stderr);
    let script = "trap 'echo bye; exit 9' TERM; echo up; while :; do usleep 20000; done";
    client.run(&["run", "-d", "--name", "box", "--network", "none", image, "sh", "-c", script]).ok();
    eventually("it has said that it is up", || (client.run(&["logs", "box"]).stdout == "up\n").then_some(()));
    let output = client.run(&["exec", "box", "sh", "-c", "echo in; exit 3"]);
    assert_eq!(said(&output), (3, "in\n".into()), "{name}: {}", output.stderr);
    let terminal = client.run_in_terminal(&["exec", "-it", "box", "tty"]);
    assert!(terminal.code == 0 && terminal.stdout.contains("/dev/pts/0"), "{name}: {}", terminal.stdout);
    let typed = client.run_with_input(&["exec", "-i", "box", "cat"], "typed\n");
    assert_eq!(typed.ok(), "typed", "{name}");
    client.run(&["pause", "box"]).ok();
    assert_eq!(client.run(&["inspect", "-f", "{{.State.Status}}", "box"]).ok(), "paused", "{name}");
    client.run(&["unpause", "box"]).ok();
    client.run(&["stop", "box"]).ok();
    assert_eq!(client.run(&["inspect", "-f", "{{.State.ExitCode}}", "box"]).ok(), "9", "{name}");
    assert_eq!(client.run(&["logs", "box"]).ok(), "up\nbye", "{name}");
    client.run(&["start", "box"]).ok();
    client.run(&["rm", "-f", "-t", "0", "box"]).ok();
    assert_eq!(client.run(&["ps", "-aq"]).ok(), "", "{name}");
    let output = client.run(&[
        "run",
        "--rm",
        "--network",
        "none",
        "--memory",
        "64m",
        "--pids-limit",
        "50",
        image,
        "true",
    ]);
    assert_eq!(said(&output), (0, String::new()), "{name}: {}", output.stderr);
}

#[test]
fn podman_runs_execs_in_stops_and_removes_a_container_with_runc_and_with_runc_rs() {
    podman_lives_with(Path::new("/usr/sbin/runc"));
    podman_lives_with(&bin("runc-rs"));
}
