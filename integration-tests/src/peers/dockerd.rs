//! Debian's dockerd.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{Client, Daemon, Netns, Output, bin, busybox_rootfs, wait};

/// A private dockerd of Debian's in a network namespace of its own, which knows `runc-rs`.
#[derive(Debug)]
pub struct Dockerd {
    daemon: Option<Daemon>,
    netns: Netns,
    dir: TempDir,
}

impl Dockerd {
    /// The image it has.
    pub const IMAGE: &str = "busybox:1";

    /// Starts one on the containerd at `containerd`, or on one of its own.
    ///
    /// # Panics
    /// It doesn't come up, or takes no image.
    pub fn start(containerd: Option<&Path>) -> Self {
        let dir = tempfile::Builder::new().prefix("debian-").tempdir_in("/var/tmp").expect("make a folder");
        let mut peer = Self { daemon: None, netns: Netns::new(), dir };
        let at = |name: &str| peer.dir().join(name);
        // Not `ip netns exec`: it hides the cgroup mounts.
        let mut command = peer.netns.command("dockerd");
        command.arg("--data-root").arg(at("data")).arg("--exec-root").arg(at("exec"));
        command.arg("--pidfile").arg(at("pid")).arg(format!("--host=unix://{}", peer.socket().display()));
        command.arg(format!("--add-runtime=runc-rs={}", bin("runc-rs").display()));
        if let Some(socket) = containerd {
            command.arg("--containerd").arg(socket);
        }
        let mut daemon = Daemon::start("dockerd", command, &at("dockerd.log"));
        wait::eventually("dockerd answers", || {
            daemon.assert_alive();
            (peer.docker().run(&["version"]).code == 0).then_some(())
        });
        peer.daemon = Some(daemon);
        peer.import();
        peer
    }

    fn import(&self) {
        let (rootfs, tar) = (self.dir().join("rootfs"), self.dir().join("rootfs.tar"));
        busybox_rootfs(&rootfs);
        let mut pack = std::process::Command::new("tar");
        Output::of(pack.arg("-C").arg(&rootfs).arg("-cf").arg(&tar).arg(".")).ok();
        let tar = tar.to_str().expect("a temporary path is UTF-8");
        self.docker().run(&["import", "-c", "ENV PATH=/bin", tar, Self::IMAGE]).ok();
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
        self.dir().join("docker.sock")
    }

    /// The docker CLI on it.
    pub fn docker(&self) -> Client {
        Client::docker(&self.netns, self.dir(), "docker", &self.socket())
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.daemon.as_ref().map(Daemon::log).unwrap_or_default());
        }
        let ids = self.docker().run(&["ps", "-aq"]).stdout;
        let mut remove = vec!["rm", "-f", "-v"];
        remove.extend(ids.split_whitespace());
        self.docker().run(&remove);
        self.daemon.take();
    }
}
