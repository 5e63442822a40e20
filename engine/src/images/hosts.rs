//! How registries are reached, said in `hosts.toml` files, which every containerd reads.
//!
//! ```text
//! EXEC_ROOT/registries/DOMAIN/hosts.toml   made here: an insecure registry, or docker.io with mirrors
//! CERTIFICATES/DOMAIN/{ca.crt,…}           the user's, where Docker has them
//! ```

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use oci::reference::DEFAULT_DOMAIN;

use crate::error::{Error, Result};

/// What the daemon was told about registries.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// `HOST`, `HOST:PORT` or CIDR: certificates aren't checked, and HTTP will do.
    pub insecure: Vec<String>,
    /// URLs of Docker Hub's mirrors, first choice first.
    pub mirrors: Vec<String>,
    /// Where files are made.
    pub dir: PathBuf,
    /// The user's certificates.
    pub certificates: PathBuf,
}

impl Hosts {
    /// The folder that containerd finds the hosts of `domain` in; none: its defaults do.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn folder_for(&self, domain: &str) -> Result<Option<PathBuf>> {
        let text = if self.is_insecure(domain) {
            insecure(domain)
        } else if domain == DEFAULT_DOMAIN && !self.mirrors.is_empty() {
            mirrored(&self.mirrors)
        } else {
            let is_known = self.certificates.join(domain).is_dir();
            return Ok(is_known.then(|| self.certificates.clone()));
        };
        // A domain has no slash by its grammar.
        let file = self.dir.join(domain).join("hosts.toml");
        crate::files::keep(&file, &text, 0o644)
            .map_err(|source| Error::caused(format!("write {}", file.display()), source))?;
        Ok(Some(self.dir.clone()))
    }

    fn is_insecure(&self, domain: &str) -> bool {
        let host = domain.rsplit_once(':').map_or(domain, |(host, _)| host).trim_matches(['[', ']']);
        let ip: Option<IpAddr> = host.parse().ok();
        self.insecure.iter().any(|known| {
            known == domain
                || known == host
                || known.parse::<ipnet::IpNet>().is_ok_and(|net| ip.is_some_and(|ip| net.contains(&ip)))
        })
    }
}

fn insecure(domain: &str) -> String {
    format!("server = \"http://{domain}\"\n\n[host.\"https://{domain}\"]\nskip_verify = true\n")
}

fn mirrored(mirrors: &[String]) -> String {
    let mut text = "server = \"https://registry-1.docker.io\"\n".to_owned();
    for mirror in mirrors {
        let url = toml_string(mirror);
        let _ = write!(text, "\n[host.{url}]\ncapabilities = [\"pull\", \"resolve\"]\n");
    }
    text
}

/// JSON's escapes are TOML's too.
fn toml_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
