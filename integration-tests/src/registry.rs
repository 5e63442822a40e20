//! A real docker-registry in a test's own network namespace.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{BusyboxImage, Daemon, Netns, Output, wait};

/// The port it listens on; the network namespace is the test's own.
const PORT: u16 = 5000;
const SECURE_PORT: u16 = 5443;
const GUARDED_PORT: u16 = 5001;
/// On the loopback interface, but none of the addresses that clients take for insecure.
const SECURE_ADDRESS: &str = "10.99.0.1";

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    daemon: Daemon,
    /// `HOST:PORT`
    pub address: String,
    /// Folder with the `ca.crt` of a registry that speaks TLS.
    pub certificates: Option<PathBuf>,
    /// `USER:PASSWORD` of one that asks who asks.
    pub user: Option<&'static str>,
}

impl Registry {
    /// Starts one on 127.0.0.1 with its data below `dir`.
    ///
    /// # Panics
    /// It doesn't come up.
    pub fn start(netns: &Netns, dir: &Path) -> Self {
        Self::serve(netns, &dir.join("registry"), &format!("127.0.0.1:{PORT}"), None, None)
    }

    /// Starts one on `port` whose data in `data` are kept from run to run.
    ///
    /// # Panics
    /// It doesn't come up.
    pub fn start_on(netns: &Netns, data: &Path, port: u16) -> Self {
        Self::serve(netns, data, &format!("127.0.0.1:{port}"), None, None)
    }

    /// Starts one that speaks plain HTTP on the address of the secure one, which must have been started.
    ///
    /// # Panics
    /// It doesn't come up.
    pub fn start_plain(netns: &Netns, dir: &Path) -> Self {
        Self::serve(netns, &dir.join("plain-registry"), &format!("{SECURE_ADDRESS}:{PORT}"), None, None)
    }

    /// Starts one that speaks TLS, with a certificate of an authority that nobody knows, on an address that
    /// isn't 127/8.
    ///
    /// # Panics
    /// It doesn't come up.
    pub fn start_secure(netns: &Netns, dir: &Path) -> Self {
        let add = netns.command("ip").args(["addr", "add", SECURE_ADDRESS, "dev", "lo"]).status();
        assert!(add.is_ok_and(|status| status.success()), "add {SECURE_ADDRESS}");
        let certificates = dir.join("secure-registry-certs");
        std::fs::create_dir_all(&certificates).expect("make a folder of certificates");
        certify(&certificates);
        let address = format!("{SECURE_ADDRESS}:{SECURE_PORT}");
        Self::serve(netns, &dir.join("secure-registry"), &address, Some(certificates), None)
    }

    /// Starts one on 127.0.0.1 that lets in `me` with the password `secret` alone (basic authorization).
    ///
    /// # Panics
    /// It doesn't come up.
    pub fn start_guarded(netns: &Netns, dir: &Path) -> Self {
        let address = format!("127.0.0.1:{GUARDED_PORT}");
        Self::serve(netns, &dir.join("guarded-registry"), &address, None, Some("me:secret"))
    }

    fn serve(
        netns: &Netns,
        data: &Path,
        address: &str,
        certificates: Option<PathBuf>,
        user: Option<&'static str>,
    ) -> Self {
        std::fs::create_dir_all(data).expect("make the registry's folder");
        let mut text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\nhttp:\n  addr: {address}\n",
            data.display()
        );
        if let Some(folder) = &certificates {
            let folder = folder.display();
            text.push_str(&format!(
                "  tls: {{certificate: {folder}/server.crt, key: {folder}/server.key}}\n"
            ));
        }
        if let Some(user) = user {
            let file = data.with_extension("htpasswd");
            let (name, password) = user.split_once(':').expect("USER:PASSWORD");
            let made = Output::of(Command::new("htpasswd").args(["-Bbn", name, password])).ok();
            std::fs::write(&file, made).expect("write the registry's users");
            text.push_str(&format!("auth:\n  htpasswd: {{realm: guarded, path: {}}}\n", file.display()));
        }
        let config = data.with_extension("yml");
        std::fs::write(&config, text).expect("write the registry's configuration");
        let mut command = netns.command("docker-registry");
        command.arg("serve").arg(&config);
        let mut daemon = Daemon::start("docker-registry", command, &data.with_extension("log"));
        let url = format!("{}://{address}/v2/", if certificates.is_some() { "https" } else { "http" });
        wait::eventually("the registry answers", || {
            daemon.assert_alive();
            let mut curl = netns.command("curl");
            curl.args(user.map(|user| format!("-u{user}")));
            curl.args(["-fsk", "-o", "/dev/null", &url]).status().ok()?.success().then_some(())
        });
        Self { daemon, address: address.to_owned(), certificates, user }
    }

    /// `HOST:PORT/NAME`.
    pub fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// Pushes an image under `name` (`repo:tag`).
    ///
    /// # Panics
    /// skopeo fails.
    pub fn push(&self, netns: &Netns, image: &BusyboxImage, name: &str) {
        let source = format!("oci-archive:{}", image.archive.display());
        self.copy(netns, &source, name);
    }

    /// Pushes what skopeo names `source`, an index with all that it names.
    ///
    /// # Panics
    /// skopeo fails.
    pub fn copy(&self, netns: &Netns, source: &str, name: &str) {
        let target = format!("docker://{}", self.name(name));
        let mut skopeo = netns.command("skopeo");
        skopeo.args(["--insecure-policy", "copy", "--all", "--dest-tls-verify=false", source, &target]);
        skopeo.args(self.user.map(|user| format!("--dest-creds={user}")));
        let output = skopeo.output().expect("run skopeo");
        assert!(output.status.success(), "skopeo: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Stops it.
    pub fn stop(self) {
        self.daemon.terminate();
    }
}

/// An authority (`ca.crt`) and a server's certificate by it.
fn certify(folder: &Path) {
    let openssl = |args: &str| {
        let output =
            Command::new("openssl").args(args.split(' ')).current_dir(folder).output().expect("run openssl");
        assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.crt -days 30 -subj /CN=test-authority"));
    openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN=registry"));
    std::fs::write(folder.join("san"), format!("subjectAltName=IP:{SECURE_ADDRESS}\n")).expect("write san");
    openssl(
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 30 -extfile san",
    );
}
