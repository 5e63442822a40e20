//! A real docker-registry on loopback, in a test's own network namespace.

use std::path::Path;

use crate::{BusyboxImage, Daemon, Netns, wait};

/// The port it usually listens on; the network namespace is the test's own.
const PORT: u16 = 5000;

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    daemon: Daemon,
    port: u16,
}

impl Registry {
    /// Starts one with its data below `dir`.
    ///
    /// # Panics
    /// It doesn't come up.
    pub fn start(netns: &Netns, dir: &Path) -> Self {
        Self::serve(netns, dir, &dir.join("registry"), PORT)
    }

    /// Starts one with its data in `data`, its configuration and log below `dir`.
    ///
    /// # Panics
    /// It doesn't come up.
    pub fn serve(netns: &Netns, dir: &Path, data: &Path, port: u16) -> Self {
        std::fs::create_dir_all(data).expect("make the registry's folder");
        let config = dir.join(format!("registry-{port}.yml"));
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            data.display()
        );
        std::fs::write(&config, text).expect("write the registry's configuration");
        let mut command = netns.command("docker-registry");
        command.arg("serve").arg(&config);
        let mut daemon = Daemon::start("docker-registry", command, &dir.join(format!("registry-{port}.log")));
        wait::eventually("the registry answers", || {
            daemon.assert_alive();
            let url = format!("http://127.0.0.1:{port}/v2/");
            netns
                .command("curl")
                .args(["-fs", "-o", "/dev/null", &url])
                .status()
                .ok()?
                .success()
                .then_some(())
        });
        Self { daemon, port }
    }

    /// `HOST:PORT/NAME`.
    pub fn name(&self, image: &str) -> String {
        format!("127.0.0.1:{}/{image}", self.port)
    }

    /// Pushes an image under `name` (`repo:tag`).
    ///
    /// # Panics
    /// skopeo fails.
    pub fn push(&self, netns: &Netns, image: &BusyboxImage, name: &str) {
        self.push_from(netns, &format!("oci-archive:{}", image.archive.display()), name);
    }

    /// Pushes what skopeo calls `source` (`oci:…`, `oci-archive:…`) under `name` (`repo:tag`).
    ///
    /// # Panics
    /// skopeo fails.
    pub fn push_from(&self, netns: &Netns, source: &str, name: &str) {
        let target = format!("docker://{}", self.name(name));
        let output = netns
            .command("skopeo")
            .args(["--insecure-policy", "copy", "--dest-tls-verify=false", source, &target])
            .output()
            .expect("run skopeo");
        assert!(output.status.success(), "skopeo: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Stops it.
    pub fn stop(self) {
        self.daemon.terminate();
    }
}
