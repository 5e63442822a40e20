//! containerd-rs and engined, private to one test.

use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::client::forget_namespace;
use crate::{BusyboxImage, Client, Daemon, Netns, Output, Registry, bin, bin_dir, path_with_ours, wait};

/// A whole stack: registry, containerd-rs, engined.
#[derive(Debug)]
pub struct Stack {
    engined: Option<Daemon>,
    containerd: Option<Daemon>,
    registry: Option<Registry>,
    /// The image that the registry serves.
    pub image: BusyboxImage,
    /// The network namespace that all daemons live in.
    pub netns: Netns,
    /// Folder that stands before all others on the daemons' `PATH`.
    first_on_path: Option<PathBuf>,
    log_level: &'static str,
    /// Where this stack's containerd-rs and engined are.
    daemons: PathBuf,
    /// Another's socket, for engined to use in place of containerd-rs's.
    foreign_containerd: Option<PathBuf>,
    /// Further flags that engined is started with.
    pub engined_flags: Vec<String>,
    dir: TempDir,
}

impl Stack {
    /// Starts everything; the registry serves `busybox:1`.
    ///
    /// # Panics
    /// A daemon doesn't come up.
    pub fn start() -> Self {
        let mut stack = Self::without_engine();
        stack.start_engined();
        stack
    }

    /// Starts everything as users run it: with the usual log level instead of the tests' `debug`.
    ///
    /// # Panics
    /// A daemon doesn't come up.
    pub fn start_quiet() -> Self {
        let mut stack = Self::registry_alone();
        stack.log_level = "info";
        stack.start_again();
        stack
    }

    /// Starts the registry and containerd-rs alone.
    ///
    /// # Panics
    /// A daemon doesn't come up.
    pub fn without_engine() -> Self {
        let mut stack = Self::registry_alone();
        stack.start_containerd();
        stack
    }

    /// Starts the registry and no daemon yet.
    ///
    /// # Panics
    /// It doesn't come up.
    pub fn registry_alone() -> Self {
        let dir = tempfile::Builder::new().prefix("stack-").tempdir_in("/var/tmp").expect("make a folder");
        let netns = Netns::new();
        let registry = Registry::start(&netns, dir.path());
        let image = BusyboxImage::build(dir.path(), "127.0.0.1:5000/busybox:1");
        registry.push(&netns, &image, "busybox:1");
        let registry = Some(registry);
        Self {
            engined: None,
            containerd: None,
            registry,
            image,
            netns,
            first_on_path: None,
            log_level: "debug",
            daemons: bin_dir(),
            foreign_containerd: None,
            engined_flags: Vec::new(),
            dir,
        }
    }

    /// Starts the registry and engined on another's containerd.
    ///
    /// # Panics
    /// A daemon doesn't come up.
    pub fn on_containerd(socket: PathBuf) -> Self {
        let mut stack = Self::registry_alone();
        stack.foreign_containerd = Some(socket);
        stack.start_engined();
        stack
    }

    /// From the next start on, containerd-rs finds our shim under the name of Go's: for clients that
    /// know no other.
    ///
    /// # Panics
    /// The link can't be made.
    pub fn name_our_shim_as_gos(&mut self) {
        self.first_on_path = Some(crate::our_shim_as_gos(self.dir()));
    }

    /// engined's daemon.json from its next start on.
    ///
    /// # Panics
    /// It can't be written.
    pub fn configure_engined(&self, text: &str) {
        std::fs::write(self.engined_config(), text).expect("write daemon.json");
    }

    fn engined_config(&self) -> PathBuf {
        self.dir().join("daemon.json")
    }

    /// The folder that everything of this stack lives in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The registry.
    ///
    /// # Panics
    /// It was stopped.
    pub fn registry(&self) -> &Registry {
        self.registry.as_ref().expect("the registry runs as long as the stack")
    }

    /// containerd-rs's socket, or that of the one in its place.
    pub fn containerd_socket(&self) -> PathBuf {
        self.foreign_containerd.clone().unwrap_or_else(|| self.dir().join("cs/containerd.sock"))
    }

    /// engined's socket.
    pub fn engine_socket(&self) -> PathBuf {
        self.dir().join("engined.sock")
    }

    /// Starts containerd-rs.
    ///
    /// # Panics
    /// It doesn't come up.
    pub fn start_containerd(&mut self) {
        let mut command = self.netns.command(self.daemons.join("containerd-rs"));
        command.arg("--root").arg(self.dir().join("cr")).arg("--state").arg(self.dir().join("cs"));
        command.arg("--address").arg(self.containerd_socket()).args(["--log-level", self.log_level]);
        if let Some(first) = &self.first_on_path {
            command.env("PATH", format!("{}:{}", first.display(), path_with_ours()));
        }
        let mut daemon = Daemon::start("containerd-rs", command, &self.dir().join("containerd-rs.log"));
        wait::eventually("containerd-rs answers", || {
            daemon.assert_alive();
            (self.ctr(&["version"]).code == 0).then_some(())
        });
        self.containerd = Some(daemon);
    }

    /// Starts engined on that containerd-rs.
    ///
    /// # Panics
    /// It doesn't come up.
    pub fn start_engined(&mut self) {
        let mut command = self.netns.command(self.daemons.join("engined"));
        command.arg("-H").arg(format!("unix://{}", self.engine_socket().display()));
        command
            .arg("--data-root")
            .arg(self.dir().join("data"))
            .arg("--exec-root")
            .arg(self.dir().join("exec"));
        command.arg("--pidfile").arg(self.dir().join("engined.pid"));
        command.arg("--containerd").arg(self.containerd_socket()).args(&self.engined_flags);
        if self.engined_config().exists() {
            command.arg("--config-file").arg(self.engined_config());
        }
        let mut daemon = Daemon::start("engined", command, &self.dir().join("engined.log"));
        wait::eventually("engined answers", || {
            daemon.assert_alive();
            (self.docker(&["version"]).code == 0).then_some(())
        });
        self.engined = Some(daemon);
    }

    /// From now on, daemons are started from the newer build.
    ///
    /// # Panics
    /// It wasn't made.
    pub fn upgrade(&mut self) {
        self.daemons = bin_dir().join("newer");
        for name in ["containerd-rs", "engined"] {
            let path = self.daemons.join(name);
            assert!(path.exists(), "{} is missing: run `make newer debug`", path.display());
        }
    }

    /// Ends both daemons as a service manager does.
    pub fn terminate(&mut self) {
        for daemon in [self.engined.take(), self.containerd.take()].into_iter().flatten() {
            daemon.terminate();
        }
    }

    /// kill -9 of engined and containerd-rs.
    pub fn kill_9(&mut self) {
        if let Some(daemon) = self.engined.take() {
            daemon.kill_9();
        }
        if let Some(daemon) = self.containerd.take() {
            daemon.kill_9();
        }
    }

    /// Ends engined and starts it again, with the flags that are set now.
    ///
    /// # Panics
    /// It doesn't come up.
    pub fn restart_engined(&mut self) {
        if let Some(daemon) = self.engined.take() {
            daemon.terminate();
        }
        self.start_engined();
    }

    /// kill -9 of containerd-rs alone.
    pub fn kill_containerd_9(&mut self) {
        if let Some(daemon) = self.containerd.take() {
            daemon.kill_9();
        }
    }

    /// kill -9 of one daemon or both.
    pub fn kill(&mut self, victim: Victim) {
        if matches!(victim, Victim::Engined | Victim::Both)
            && let Some(daemon) = self.engined.take()
        {
            daemon.kill_9();
        }
        if matches!(victim, Victim::Containerd | Victim::Both) {
            self.kill_containerd_9();
        }
    }

    /// Starts the daemons that were killed.
    ///
    /// # Panics
    /// One doesn't come up.
    pub fn start_missing(&mut self) {
        if self.containerd.is_none() {
            self.start_containerd();
        }
        if self.engined.is_none() {
            self.start_engined();
        }
    }

    /// Starts a `docker` command and doesn't wait for it.
    ///
    /// # Panics
    /// It can't be started.
    pub fn spawn_docker(&self, args: &[&str]) -> std::process::Child {
        let mut command = self.netns.command("docker");
        command.arg("-H").arg(format!("unix://{}", self.engine_socket().display())).args(args);
        let nothing = std::process::Stdio::null;
        command.env("HOME", self.dir()).stdin(nothing()).stdout(nothing()).stderr(nothing());
        command.spawn().expect("start docker")
    }

    /// Ends the containers of a test that failed while its daemons were down.
    fn kill_shims(&self) {
        for shim in processes(|line| line.contains("containerd-shim-")) {
            let folder = std::fs::read_link(format!("/proc/{shim}/cwd")).unwrap_or_default();
            if folder.starts_with(self.dir()) {
                let children = std::fs::read_to_string(format!("/proc/{shim}/task/{shim}/children"));
                let children = children.unwrap_or_default();
                for pid in children.split_whitespace().filter_map(|pid| pid.parse().ok()).chain([shim]) {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
        }
    }

    /// Starts both daemons again.
    pub fn start_again(&mut self) {
        self.start_containerd();
        self.start_engined();
    }

    /// The real docker CLI on our socket.
    pub fn docker(&self, args: &[&str]) -> Output {
        self.docker_client().run(args)
    }

    /// Our CLI on our socket.
    pub fn engine(&self, args: &[&str]) -> Output {
        self.engine_client().run(args)
    }

    /// Debian's `ctr` on containerd-rs.
    pub fn ctr(&self, args: &[&str]) -> Output {
        self.ctr_client().run(args)
    }

    /// The real docker CLI on our socket.
    pub fn docker_client(&self) -> Client {
        Client::docker(&self.netns, self.dir(), "docker", &self.engine_socket())
    }

    /// Our CLI on our socket.
    pub fn engine_client(&self) -> Client {
        Client::docker(&self.netns, self.dir(), bin("engine"), &self.engine_socket())
    }

    /// Debian's `ctr` on containerd-rs.
    pub fn ctr_client(&self) -> Client {
        Client::ctr(&self.netns, self.dir(), &self.containerd_socket())
    }

    /// A shell command in the stack's network namespace.
    pub fn shell(&self, script: &str) -> Output {
        let mut command = self.netns.command("sh");
        Output::of(command.args(["-c", script]).env("HOME", self.dir()))
    }

    /// The logs of both daemons, for a failure's message.
    pub fn logs(&self) -> String {
        ["containerd-rs.log", "engined.log"]
            .iter()
            .map(|name| std::fs::read_to_string(self.dir().join(name)).unwrap_or_default())
            .collect::<Vec<_>>()
            .join("\n--\n")
    }
}

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// engined.
    Engined,
    /// containerd-rs.
    Containerd,
    /// First engined, then containerd-rs.
    Both,
}

impl Victim {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Engined, Self::Containerd, Self::Both];
}

/// kill -9 of the shim of a container with that id, which no other container of the machine has.
///
/// # Panics
/// There is none.
pub fn kill_shim_9(id: &str) {
    for pid in shims_of(id) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("kill the shim");
    }
}

/// The shims of a container, whichever they are.
///
/// # Panics
/// There is none.
pub fn shims_of(id: &str) -> Vec<i32> {
    let words = format!("-id {id} ");
    let shims = processes(|line| line.contains("containerd-shim-") && line.contains(&words));
    assert!(!shims.is_empty(), "no shim of {id} runs");
    shims
}

/// The processes whose command lines, words parted by blanks, are the ones looked for.
fn processes(is_one: impl Fn(&str) -> bool) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        is_one(&String::from_utf8_lossy(&line).replace('\0', " "))
    })
    .collect()
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        if self.engined.is_some() {
            let ids = self.docker(&["ps", "-aq"]).stdout;
            let mut remove = vec!["rm", "-f", "-v"];
            remove.extend(ids.split_whitespace());
            self.docker(&remove);
        }
        self.engined.take();
        self.containerd.take();
        self.kill_shims();
        forget_namespace(self.dir());
        if let Some(registry) = self.registry.take() {
            registry.stop();
        }
    }
}
