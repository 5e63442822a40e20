//! How a transfer reaches the registry, as the client's resolver tells.

use std::path::PathBuf;
use std::sync::Arc;

use oci::Reference;
use proto::containerd::types::transfer::RegistryResolver;
use registry::{Client, CredentialSource, NoCredentials, Repository, Settings};

use super::credentials::AskingClient;
use super::streams::Open;
use crate::error::{Error, Result};

/// The repository that `reference` names.
///
/// # Errors
/// The reference isn't valid, or what the client configured can't be used.
pub(super) fn repository(
    reference: &str,
    resolver: &RegistryResolver,
    credentials: Option<Open>,
) -> Result<(Reference, Repository)> {
    let name: Reference =
        reference.parse().map_err(|error: oci::ReferenceError| Error::invalid(error.to_string()))?;
    let mut headers = http::HeaderMap::new();
    for (key, value) in &resolver.headers {
        let bad = || Error::invalid(format!("header {key:?} of the registry can't be sent"));
        let key = http::HeaderName::try_from(key).map_err(|_| bad())?;
        headers.insert(key, http::HeaderValue::try_from(value).map_err(|_| bad())?);
    }
    let credentials: Arc<dyn CredentialSource> = match credentials {
        Some(stream) => Arc::new(AskingClient::new(stream, reference)),
        None => Arc::new(NoCredentials),
    };
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let settings = Settings {
        hosts_dir: text(&resolver.host_dir).map(PathBuf::from),
        default_scheme: text(&resolver.default_scheme),
        headers,
        credentials,
        ..Settings::default()
    };
    let repository = Client::new(settings)
        .repository(&name)
        .map_err(|error| super::fetch::refused(format!("reach the registry of {reference}"), error))?;
    Ok((name, repository))
}
