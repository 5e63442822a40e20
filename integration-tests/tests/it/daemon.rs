//! containerd-rs under Debian's `ctr`, with every shim and runtime there is.

use integration_tests::{Census, Stack, eventually, namespace, shims_of};

const IMAGE: &str = "127.0.0.1:5000/busybox:1";
/// Shims under test.
const SHIMS: &[&str] = &["io.containerd.runc.v2", "io.containerd.runcrs.v2"];

fn pulled() -> Stack {
    let stack = Stack::without_engine();
    stack.ctr(&["images", "pull", "--plain-http", IMAGE]).ok();
    stack
}

#[test]
fn ctr_pulls_runs_and_removes_and_nothing_is_left() {
    let stack = pulled();
    assert!(stack.ctr(&["images", "ls", "-q"]).ok().contains(IMAGE));
    assert!(stack.ctr(&["snapshots", "ls"]).ok().contains("Committed"));
    assert!(stack.ctr(&["content", "ls", "-q"]).ok().contains(&stack.image.manifest));
    for shim in SHIMS {
        let run = ["run", "--rm", "--runtime", shim, IMAGE, "c1", "sh", "-c", "echo hello; exit 7"];
        let output = stack.ctr(&run);
        assert_eq!((output.code, output.stdout.as_str()), (7, "hello\n"), "{shim}: {}", output.stderr);
    }
    assert_eq!(stack.ctr(&["containers", "ls", "-q"]).ok(), "");
    stack.ctr(&["images", "rm", "--sync", IMAGE]).ok();
    assert_eq!(stack.ctr(&["content", "ls", "-q"]).ok(), "", "collected with its image");
    Census::of(stack.dir().to_str().expect("UTF-8")).assert_empty();
}

#[test]
fn a_detached_task_is_listed_execs_and_is_killed() {
    let stack = pulled();
    for shim in SHIMS {
        stack.ctr(&["run", "-d", "--runtime", shim, IMAGE, "c1", "sleep", "1000"]).ok();
        assert!(stack.ctr(&["task", "ls"]).ok().contains("RUNNING"), "{shim}");
        let exec = stack.ctr(&["task", "exec", "--exec-id", "e1", "c1", "sh", "-c", "echo in; exit 3"]);
        assert_eq!((exec.code, exec.stdout.as_str()), (3, "in\n"), "{shim}: {}", exec.stderr);
        assert!(stack.ctr(&["task", "metrics", "c1"]).ok().contains("memory"), "{shim}");
        stack.ctr(&["task", "kill", "-s", "SIGKILL", "c1"]).ok();
        eventually("the task stops", || stack.ctr(&["task", "ls"]).ok().contains("STOPPED").then_some(()));
        stack.ctr(&["task", "rm", "c1"]);
        stack.ctr(&["containers", "rm", "c1"]).ok();
        assert_eq!(stack.ctr(&["snapshots", "ls"]).ok().matches("Active").count(), 0, "{shim}");
    }
}

#[test]
fn a_task_outlives_kill_9_of_the_daemon_and_an_exit_meanwhile_is_found() {
    let mut stack = pulled();
    for shim in SHIMS {
        stack.ctr(&["run", "-d", "--runtime", shim, IMAGE, "long", "sleep", "1000"]).ok();
        stack.ctr(&["run", "-d", "--runtime", shim, IMAGE, "short", "sh", "-c", "sleep 1; exit 9"]).ok();
        let before = stack.ctr(&["task", "ls"]).ok();
        let pid = |listing: &str| {
            let line = listing.lines().find(|line| line.starts_with("long")).map(str::to_owned);
            line.and_then(|line| line.split_whitespace().nth(1).map(str::to_owned)).expect("the task's pid")
        };
        stack.kill_containerd_9();
        std::thread::sleep(std::time::Duration::from_secs(2));
        stack.start_containerd();
        let after = stack.ctr(&["task", "ls"]).ok();
        assert_eq!(pid(&before), pid(&after), "{shim}: another process");
        let state = |name: &str| after.lines().find(|l| l.starts_with(name)).expect("listed").to_owned();
        assert!(state("long").contains("RUNNING") && state("short").contains("STOPPED"), "{shim}: {after}");
        assert_eq!(stack.ctr(&["task", "exec", "--exec-id", "e", "long", "echo", "alive"]).ok(), "alive");
        // `ctr task rm` ends with the task's exit code.
        let removed = stack.ctr(&["task", "rm", "short"]);
        assert!(removed.stderr.contains("exit code 9"), "{shim}: the true exit code, not {}", removed.stderr);
        stack.ctr(&["task", "rm", "-f", "long"]);
        stack.ctr(&["containers", "rm", "long", "short"]).ok();
    }
}

#[test]
fn a_wedged_shim_hides_no_other_task_and_is_back_when_it_answers() {
    let mut stack = pulled();
    for name in ["sound", "wedged"] {
        stack.ctr(&["run", "-d", "--runtime", SHIMS[1], IMAGE, name, "sleep", "1000"]).ok();
    }
    let line = |stack: &Stack, name: &str| {
        let listing = stack.ctr(&["task", "ls"]).ok();
        listing.lines().find(|line| line.starts_with(name)).map(str::to_owned)
    };
    let sound = line(&stack, "sound").expect("listed");
    let before = line(&stack, "wedged").expect("listed");
    let pid = before.split_whitespace().nth(1).expect("a pid");
    let shim = stack.shell(&format!("awk '/^PPid/ {{print $2}}' /proc/{pid}/status")).ok();
    stack.shell(&format!("kill -STOP {shim}")).ok();
    stack.kill_containerd_9();
    stack.start_containerd();
    assert_eq!(line(&stack, "sound").expect("listed"), sound);
    let wedged = line(&stack, "wedged").expect("one that doesn't answer is no less listed");
    assert!(wedged.contains("UNKNOWN"), "{wedged}");
    stack.shell(&format!("kill -CONT {shim}")).ok();
    eventually("the other shim answers", || (line(&stack, "wedged").as_ref() == Some(&before)).then_some(()));
    for name in ["sound", "wedged"] {
        stack.ctr(&["task", "rm", "-f", name]);
        stack.ctr(&["containers", "rm", name]).ok();
    }
}

#[test]
fn bad_requests_are_clear_errors_and_leave_nothing() {
    let stack = pulled();
    let output = stack.ctr(&["run", "--rm", "--runtime", "io.containerd.nosuch.v1", IMAGE, "c1", "true"]);
    assert_ne!(output.code, 0);
    assert!(output.stderr.contains("containerd-shim-nosuch-v1"), "{}", output.stderr);
    let output = stack.ctr(&["run", "--rm", IMAGE, "c2", "nosuchcmd"]);
    assert!(output.stderr.contains("executable file not found in $PATH"), "{}", output.stderr);
    let output = stack.ctr(&["run", "--rm", "127.0.0.1:5000/nosuch:1", "c3", "true"]);
    assert!(output.stderr.contains("not found"), "{}", output.stderr);
    let output = stack.ctr(&["images", "pull", "--plain-http", "127.0.0.1:5001/busybox:1"]);
    assert!(output.stderr.contains("connection refused"), "{}", output.stderr);
    assert_eq!(stack.ctr(&["task", "ls", "-q"]).ok(), "");
    Census::of(stack.dir().to_str().expect("UTF-8")).assert_empty();
}

/// A shim outlives everybody: a lock or a pipe that it held would be held for as long as its container runs.
#[test]
fn a_shim_holds_nothing_of_who_started_its_daemon() {
    // Without close-on-exec, as a shell leaves what it has opened by number.
    let (reader, _writer) = nix::unistd::pipe().expect("make a pipe");
    let inode = nix::sys::stat::fstat(&reader).expect("fstat").st_ino;
    let stack = pulled();
    let pipe = std::path::PathBuf::from(format!("pipe:[{inode}]"));
    for shim in SHIMS {
        let id = namespace(stack.dir());
        stack.ctr(&["run", "-d", "--runtime", shim, IMAGE, &id, "sleep", "1000"]).ok();
        for pid in shims_of(&id) {
            let open =
                std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the shim's descriptors").flatten();
            let open: Vec<_> = open.filter_map(|fd| std::fs::read_link(fd.path()).ok()).collect();
            assert!(!open.is_empty() && !open.contains(&pipe), "{shim}: {open:?}");
        }
        stack.ctr(&["task", "rm", "-f", &id]).ok();
        stack.ctr(&["containers", "rm", &id]).ok();
    }
}
