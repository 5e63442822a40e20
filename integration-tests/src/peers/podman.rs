//! Debian's podman.

use std::ffi::OsString;
use std::path::Path;

use tempfile::TempDir;

use crate::{BusyboxImage, Client, Netns};

/// podman with a store of its own and a chosen runtime.
#[derive(Debug)]
pub struct Podman {
    client: Client,
    dir: TempDir,
    _netns: Netns,
}

impl Podman {
    /// The image it has.
    pub const IMAGE: &str = "localhost/busybox:1";

    /// podman with `runtime`, and the busybox image in its store.
    ///
    /// # Panics
    /// It takes no image.
    pub fn new(runtime: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("debian-").tempdir_in("/var/tmp").expect("make a folder");
        let netns = Netns::new();
        let at = |name: &str| dir.path().join(name).into_os_string();
        let mut first: Vec<OsString> = vec!["--root".into(), at("root"), "--runroot".into(), at("run")];
        first.extend(["--tmpdir".into(), at("tmp"), "--runtime".into(), runtime.into()]);
        first.extend(["--cgroup-manager", "cgroupfs", "--events-backend", "file"].map(OsString::from));
        // By default podman raises limits, which takes a capability that root may lack.
        let limits = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n";
        std::fs::write(dir.path().join("containers.conf"), limits).expect("write containers.conf");
        let client = Client::new(&netns, dir.path(), "podman", first)
            .with_env("CONTAINERS_CONF", dir.path().join("containers.conf"));
        let image = BusyboxImage::build(dir.path(), Self::IMAGE);
        let archive = format!("oci-archive:{}", image.archive.display());
        let id = client.run(&["pull", "-q", &archive]).ok();
        client.run(&["tag", &id, Self::IMAGE]).ok();
        Self { client, dir, _netns: netns }
    }

    /// The folder that everything of it lives in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs it.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.client.run(&["rm", "-fa", "-t", "0"]);
        self.client.run(&["rmi", "-fa"]);
        // The store's overlay directory is a mount of its own.
        let store = self.dir.path().join("root/overlay");
        let _ = std::process::Command::new("umount").arg("-q").arg(store).status();
    }
}
