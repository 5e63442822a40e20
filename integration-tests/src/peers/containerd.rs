//! Debian's containerd.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::client::forget_namespace;
use crate::{BusyboxImage, Client, Daemon, Netns, Registry, our_shim_as_gos, path_with_ours, wait};

/// A private containerd of Debian's, which finds our shim beside Go's.
#[derive(Debug)]
pub struct Containerd {
    daemon: Option<Daemon>,
    netns: Netns,
    first_on_path: Option<PathBuf>,
    registry: Option<Registry>,
    /// The image that its registry serves and [`Containerd::import`] brings in.
    pub image: BusyboxImage,
    dir: TempDir,
}

impl Containerd {
    /// Starts one.
    ///
    /// # Panics
    /// It doesn't come up.
    pub fn start() -> Self {
        Self::start_with(|_| None)
    }

    /// Starts one in whose eyes our shim is Go's: `io.containerd.runc.v2` is ours.
    ///
    /// # Panics
    /// It doesn't come up.
    pub fn start_with_our_shim_as_gos() -> Self {
        Self::start_with(|dir| Some(our_shim_as_gos(dir)))
    }

    fn start_with(first_on_path: impl FnOnce(&Path) -> Option<PathBuf>) -> Self {
        let dir = tempfile::Builder::new().prefix("debian-").tempdir_in("/var/tmp").expect("make a folder");
        let image = BusyboxImage::build(dir.path(), "127.0.0.1:5000/busybox:1");
        let first_on_path = first_on_path(dir.path());
        let netns = Netns::new();
        let registry = Registry::start(&netns, dir.path());
        registry.push(&netns, &image, "busybox:1");
        let registry = Some(registry);
        let mut peer = Self { daemon: None, netns, first_on_path, registry, image, dir };
        let text = format!(
            "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{0}/containerd.sock\"\n",
            peer.dir().display()
        );
        std::fs::write(peer.dir().join("config.toml"), text).expect("write containerd's configuration");
        peer.start_again();
        peer
    }

    /// The network namespace it lives in.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The folder that everything of it lives in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.dir().join("containerd.sock")
    }

    /// Starts it on what the last one left.
    ///
    /// # Panics
    /// It doesn't come up.
    pub fn start_again(&mut self) {
        let mut command = self.netns.command("containerd");
        command.arg("--config").arg(self.dir().join("config.toml"));
        if let Some(first) = &self.first_on_path {
            command.env("PATH", format!("{}:{}", first.display(), path_with_ours()));
        }
        let mut daemon = Daemon::start("containerd", command, &self.dir().join("containerd.log"));
        wait::eventually("containerd answers", || {
            daemon.assert_alive();
            (self.ctr().run(&["version"]).code == 0).then_some(())
        });
        self.daemon = Some(daemon);
    }

    /// kill -9.
    pub fn kill_9(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill_9();
        }
    }

    /// Imports the busybox image and gives its name.
    ///
    /// # Panics
    /// The import fails.
    pub fn import(&self) -> &'static str {
        let archive = self.image.archive.to_str().expect("a temporary path is UTF-8");
        self.ctr().run(&["images", "import", archive]).ok();
        "127.0.0.1:5000/busybox:1"
    }

    /// `ctr` on it.
    pub fn ctr(&self) -> Client {
        Client::ctr(&self.netns, self.dir(), &self.socket())
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.daemon.as_ref().map(Daemon::log).unwrap_or_default());
        }
        let tasks = self.ctr().run(&["tasks", "ls", "-q"]).stdout;
        for task in tasks.split_whitespace() {
            self.ctr().run(&["tasks", "rm", "-f", task]);
        }
        self.daemon.take();
        forget_namespace(self.dir());
        if let Some(registry) = self.registry.take() {
            registry.stop();
        }
    }
}
