//! The image a container is made from: its configuration and its top snapshot.

use bollard_stubs::models::ContainerConfig;
use containerd_client::Client;
use oci::{Document, ImageConfig, Platform, Reference};
use proto::containerd::services::images::v1::Image;

use super::record::ImageRef;
use crate::error::{Error, Result};

/// An image, resolved.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// For the record.
    pub reference: ImageRef,
    /// The configuration's defaults for containers.
    pub config: ContainerConfig,
}

/// Finds the image that `name` means on this machine.
///
/// # Errors
/// 404 without one (the client then pulls), 400 for a name that is none.
pub async fn resolve(client: &Client, name: &str) -> Result<Resolved> {
    let image = find(client, name).await?;
    let missing = || Error::not_found(format!("No such image: {}", shown(name)));
    let target = image.target.clone().ok_or_else(missing)?;
    let (id, bytes) =
        config_of(client, &target.media_type, &target.digest).await.map_err(|error| match error {
            // A name whose blobs are gone is of no use: the client may pull it again.
            Failure::Call(error) if error.is_not_found() => missing(),
            Failure::Call(error) => error.into(),
            Failure::Document(text) => Error::system(format!("image {name}: {text}")),
        })?;
    let bad = |error: String| Error::system(format!("image {name}: bad configuration: {error}"));
    let parsed = ImageConfig::parse(&bytes).map_err(|error| bad(error.to_string()))?;
    let json: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    let defaults = super::config::without_nulls(json.get("config").cloned().unwrap_or_default());
    let config = if defaults.is_null() {
        ContainerConfig::default()
    } else {
        serde_json::from_value(defaults).map_err(|error| bad(error.to_string()))?
    };
    let chain_id = oci::chain_id(&parsed.rootfs.diff_ids).map(|chain| chain.to_string()).unwrap_or_default();
    Ok(Resolved {
        reference: ImageRef { name: name.to_owned(), id, chain_id, stored_as: image.name },
        config,
    })
}

/// The id of the image that `name` means now, if any.
pub async fn id_of(client: &Client, name: &str) -> Option<String> {
    let target = find(client, name).await.ok()?.target?;
    let (id, _) = config_of(client, &target.media_type, &target.digest).await.ok()?;
    Some(id)
}

fn shown(name: &str) -> String {
    name.parse::<Reference>()
        .map_or_else(|_| name.to_owned(), |reference| reference.with_default_tag().familiar())
}

async fn find(client: &Client, name: &str) -> Result<Image> {
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    let by_digest = name.starts_with("sha256:") && crate::id::is_full(hex);
    if !by_digest {
        let parsed = name.parse::<Reference>();
        match parsed {
            Ok(reference) => match client.image(&reference.with_default_tag().to_string()).await {
                Ok(image) => return Ok(image),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            },
            Err(error) => return Err(Error::invalid(error.to_string())),
        }
    }
    let missing = || Error::not_found(format!("No such image: {}", shown(name)));
    if hex.is_empty() || hex.len() > 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(missing());
    }
    // An id is the digest of a configuration, which only the documents tell.
    let mut found: Option<(String, Image)> = None;
    for image in client.images(&[]).await? {
        let Some(target) = image.target.clone() else { continue };
        let Ok((id, _)) = config_of(client, &target.media_type, &target.digest).await else { continue };
        if id.strip_prefix("sha256:").is_some_and(|id| id.starts_with(hex))
            || target.digest.ends_with(hex) && by_digest
        {
            match &found {
                Some((other, _)) if *other != id => return Err(missing()),
                _ => found = Some((id, image)),
            }
        }
    }
    found.map(|(_, image)| image).ok_or_else(missing)
}

enum Failure {
    Call(containerd_client::Error),
    Document(String),
}

/// The configuration's digest and bytes, from an index or manifest.
async fn config_of(client: &Client, media_type: &str, digest: &str) -> Result<(String, Vec<u8>), Failure> {
    let (mut media_type, mut digest) = (media_type.to_owned(), digest.to_owned());
    for _ in 0..4 {
        let bytes = client.read_document(&digest).await.map_err(Failure::Call)?;
        match Document::parse(&media_type, &bytes).map_err(|error| Failure::Document(error.to_string()))? {
            Document::Manifest(manifest) => {
                let config = manifest.config.digest.to_string();
                let bytes = client.read_document(&config).await.map_err(Failure::Call)?;
                return Ok((config, bytes));
            }
            Document::Index(index) => {
                let matching = index.matching(&Platform::host());
                let child = matching.first().copied().or(index.manifests.first());
                let child = child.ok_or_else(|| Failure::Document("the index is empty".into()))?;
                (media_type, digest) = (child.media_type.clone(), child.digest.to_string());
            }
        }
    }
    Err(Failure::Document("indexes are nested too deeply".into()))
}
