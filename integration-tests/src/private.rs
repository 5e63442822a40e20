//! A machine's paths, processes and network for one test: what runs at its default places does so here.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::{BusyboxImage, Netns, Output, Registry, path_with_ours, wait};

/// Mount, pid and network namespaces with /run, /var/lib and /var/log of their own, and a registry
/// with `busybox:1` on 127.0.0.1:5000.
#[derive(Debug)]
pub struct PrivateMachine {
    registry: Option<Registry>,
    /// Its process 1.
    first: Child,
    pid: u32,
    dir: TempDir,
    _netns: Netns,
}

impl PrivateMachine {
    /// Makes one in which nothing runs.
    ///
    /// # Panics
    /// Namespaces can't be made (it needs root).
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("stack-").tempdir_in("/var/tmp").expect("make a folder");
        let netns = Netns::new();
        let registry = Registry::start(&netns, dir.path());
        registry.push(&netns, &BusyboxImage::build(dir.path(), "127.0.0.1:5000/busybox:1"), "busybox:1");
        let script = format!(
            "mount -t tmpfs none /run && mount -t tmpfs none /var/log && mount --bind {0}/lib /var/lib && \
             touch {0}/ready && sleep infinity & wait",
            dir.path().display()
        );
        // A shell that waits reaps orphans, as a process 1 must.
        std::fs::create_dir(dir.path().join("lib")).expect("make a folder");
        let mut command = netns.command("unshare");
        // Killed with its parent, and with it all that it holds.
        command.args(["-m", "--propagation", "private", "-p", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["sh", "-c", &script]).stdin(Stdio::null()).process_group(0);
        let first = command.spawn().expect("run unshare");
        let ready = dir.path().join("ready");
        wait::eventually("the private machine is there", || ready.exists().then_some(()));
        let pid = child_of(first.id());
        Self { registry: Some(registry), first, pid, dir, _netns: netns }
    }

    /// The folder that it shares with the host.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A shell command inside, which finds our binaries first.
    pub fn shell(&self, script: &str) -> Output {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid.to_string(), "-m", "-p", "-n", "sh", "-c", script]);
        command.env("PATH", path_with_ours()).env("HOME", self.dir());
        Output::of(command.env_remove("DOCKER_HOST").env_remove("ENGINE_HOST"))
    }

    /// What the daemons have said, for a failure's message.
    pub fn logs(&self) -> String {
        self.shell("tail -n 200 /var/log/*.log").stdout
    }
}

impl Default for PrivateMachine {
    fn default() -> Self {
        Self::new()
    }
}

/// The only child of a process.
fn child_of(pid: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("children");
    children.split_whitespace().next().and_then(|child| child.parse().ok()).expect("a child")
}

impl Drop for PrivateMachine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        // Cgroups are the host's.
        self.shell("export ENGINE_AUTOSTART=0; timeout 20 engine rm -f $(timeout 5 engine ps -aq)");
        let _ = self.first.kill();
        let _ = self.first.wait();
        if let Some(registry) = self.registry.take() {
            registry.stop();
        }
    }
}
