//! containerd-rs and engined, private to one test.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::{BusyboxImage, Daemon, Netns, Registry, bin, bin_dir, wait};

/// What a command said.
#[derive(Debug)]
pub struct Output {
    /// Exit code; 128 + n for signals.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// The output of a command that must succeed, without its last line feed.
    ///
    /// # Panics
    /// It failed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout.trim_end_matches('\n').to_owned()
    }
}

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
    /// Where this stack's containerd-rs and engined are.
    daemons: PathBuf,
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

    /// Starts the registry and containerd-rs alone.
    ///
    /// # Panics
    /// A daemon doesn't come up.
    pub fn without_engine() -> Self {
        let dir = tempfile::Builder::new().prefix("stack-").tempdir_in("/var/tmp").expect("make a folder");
        let netns = Netns::new();
        let registry = Registry::start(&netns, dir.path());
        let image = BusyboxImage::build(dir.path(), "127.0.0.1:5000/busybox:1");
        registry.push(&netns, &image, "busybox:1");
        let mut stack = Self {
            engined: None,
            containerd: None,
            registry: Some(registry),
            image,
            netns,
            daemons: bin_dir(),
            engined_flags: Vec::new(),
            dir,
        };
        stack.start_containerd();
        stack
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

    /// containerd-rs's socket.
    pub fn containerd_socket(&self) -> PathBuf {
        self.dir().join("cs/containerd.sock")
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
        command.arg("--address").arg(self.containerd_socket()).args(["--log-level", "debug"]);
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

    /// Starts both daemons again.
    pub fn start_again(&mut self) {
        self.start_containerd();
        self.start_engined();
    }

    /// The real docker CLI on our socket.
    pub fn docker(&self, args: &[&str]) -> Output {
        let mut command = self.netns.command("docker");
        command.arg("-H").arg(format!("unix://{}", self.engine_socket().display())).args(args);
        self.run(command)
    }

    /// Our CLI on our socket.
    pub fn engine(&self, args: &[&str]) -> Output {
        let mut command = self.netns.command(bin("engine"));
        command.arg("-H").arg(format!("unix://{}", self.engine_socket().display())).args(args);
        self.run(command)
    }

    /// Debian's `ctr` on containerd-rs.
    pub fn ctr(&self, args: &[&str]) -> Output {
        let mut command = self.netns.command("ctr");
        command.arg("-a").arg(self.containerd_socket()).args(args);
        self.run(command)
    }

    /// A shell command in the stack's network namespace.
    pub fn shell(&self, script: &str) -> Output {
        let mut command = self.netns.command("sh");
        command.args(["-c", script]);
        self.run(command)
    }

    /// The logs of both daemons, for a failure's message.
    pub fn logs(&self) -> String {
        ["containerd-rs.log", "engined.log"]
            .iter()
            .map(|name| std::fs::read_to_string(self.dir().join(name)).unwrap_or_default())
            .collect::<Vec<_>>()
            .join("\n--\n")
    }

    fn run(&self, mut command: Command) -> Output {
        let output = command
            .env("HOME", self.dir())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap_or_else(|e| panic!("run {command:?}: {e}"));
        use std::os::unix::process::ExitStatusExt;
        Output {
            code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        if self.engined.is_some() {
            let ids = self.docker(&["ps", "-aq"]).stdout;
            for id in ids.split_whitespace() {
                self.docker(&["rm", "-f", "-v", id]);
            }
        }
        self.engined.take();
        self.containerd.take();
        if let Some(registry) = self.registry.take() {
            registry.stop();
        }
    }
}
