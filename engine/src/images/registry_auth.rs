//! Who asks a registry: `X-Registry-Auth`, and `POST /auth`.

use std::sync::Arc;

use base64::Engine as _;
use containerd_client::Credentials;
use registry::{CredentialSource, NoCredentials, RegistryError, Settings, StaticCredentials};
use serde::Deserialize;

use super::{Images, refusal};
use crate::error::{Error, Kind, Result};

/// The address that clients give for Docker Hub.
const HUB: &str = "index.docker.io";

/// What clients send in `X-Registry-Auth`, base64url of JSON (what can't be read counts as nothing), and to
/// `/auth`.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct RegistryAuth {
    username: String,
    password: String,
    identitytoken: String,
    auth: String,
    serveraddress: String,
}

impl std::fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryAuth").field("username", &self.username).finish_non_exhaustive()
    }
}

impl RegistryAuth {
    /// Reads the header's value.
    #[must_use]
    pub fn parse(header: &str) -> Self {
        let engine = base64::engine::general_purpose::GeneralPurpose::new(
            &base64::alphabet::URL_SAFE,
            base64::engine::GeneralPurposeConfig::new()
                .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
        );
        let decoded = engine.decode(header.trim()).ok();
        decoded.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    pub(super) fn credentials(self) -> Option<Credentials> {
        if !self.identitytoken.is_empty() {
            return Some(Credentials { username: String::new(), secret: self.identitytoken });
        }
        if !self.username.is_empty() {
            return Some(Credentials { username: self.username, secret: self.password });
        }
        let decoded = base64::engine::general_purpose::STANDARD.decode(&self.auth).ok()?;
        let (username, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        Some(Credentials { username: username.to_owned(), secret: secret.to_owned() })
    }

    /// The registry's domain, out of an address with or without scheme and path; none: Docker Hub.
    fn domain(&self) -> Result<String> {
        let address = self.serveraddress.as_str();
        let bare = address.strip_prefix("https://").or(address.strip_prefix("http://")).unwrap_or(address);
        let host = bare.split('/').next().unwrap_or_default();
        if host.is_empty() || host == HUB {
            return Ok(oci::reference::DEFAULT_DOMAIN.to_owned());
        }
        // It becomes a file's name and part of a URL: only what may stand in an image's name will do.
        let parsed: Option<oci::Reference> = format!("{host}/x/x").parse().ok();
        match parsed {
            Some(reference) if reference.domain() == host => Ok(host.to_owned()),
            _ => Err(Error::invalid(format!("unable to parse server address: {address:?}"))),
        }
    }
}

/// The credentials as the registry's client takes them.
pub(super) fn source(credentials: Option<Credentials>) -> Arc<dyn CredentialSource> {
    match credentials {
        None => Arc::new(NoCredentials),
        Some(Credentials { username, secret }) if username.is_empty() => {
            Arc::new(StaticCredentials(registry::Credentials::Refresh(secret)))
        }
        Some(Credentials { username, secret }) => {
            Arc::new(StaticCredentials(registry::Credentials::Basic { username, secret }))
        }
    }
}

impl Images {
    /// Asks the registry that the credentials are for whether it takes them.
    ///
    /// # Errors
    /// 401 if it doesn't, 500 if it can't be reached.
    pub async fn login(&self, auth: RegistryAuth) -> Result<()> {
        let domain = auth.domain()?;
        let hosts_dir = self.inner.config.hosts.folder_for(&domain)?;
        let settings = Settings { hosts_dir, credentials: source(auth.credentials()), ..Settings::default() };
        registry::Client::new(settings).login(&domain).await.map_err(|error| match error {
            RegistryError::Unauthorized { cause } => Error::new(Kind::Unauthorized, cause),
            other => Error::system(refusal::dockers_words(&other.to_string())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_address_is_a_domain_or_refused() {
        let domain = |address: &str| {
            RegistryAuth { serveraddress: address.to_owned(), ..RegistryAuth::default() }.domain()
        };
        for (address, expected) in [
            ("", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("http://registry.example/v2/", "registry.example"),
        ] {
            assert_eq!(domain(address).expect(address), expected);
        }
        for bad in ["..", "a b", "x:y", "https://-/"] {
            assert_eq!(domain(bad).expect_err(bad).kind(), Kind::InvalidParameter, "{bad}");
        }
    }
}
