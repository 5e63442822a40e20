//! From what a name points to down to the configuration.

use std::sync::{Arc, PoisonError};

use oci::{Document, ImageConfig, Manifest, Platform};
use proto::containerd::types::Descriptor;
use serde_json::Value;

use super::Images;
use crate::error::{Error, Result};

/// Documents remembered at most.
const REMEMBERED: usize = 2048;

/// An image's documents.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// `sha256:` of the configuration: the image's id.
    pub id: String,
    /// The manifest chosen for this machine.
    pub manifest_digest: String,
    /// Its content.
    pub manifest: Manifest,
    /// The configuration.
    pub config: ImageConfig,
    /// The configuration as it was written.
    pub raw: Value,
    /// Snapshot names, base first.
    pub chain: Vec<String>,
}

impl Images {
    /// Reads what `target` leads to. `None` when a blob is missing.
    pub(super) async fn parse(&self, target: &Descriptor) -> Result<Option<Arc<Parsed>>> {
        let known = |images: &Images| {
            let cache = images.inner.parsed.lock().unwrap_or_else(PoisonError::into_inner);
            cache.get(&target.digest).cloned()
        };
        if let Some(parsed) = known(self) {
            return Ok(Some(parsed));
        }
        let Some(parsed) = self.read(target).await? else { return Ok(None) };
        let parsed = Arc::new(parsed);
        let mut cache = self.inner.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= REMEMBERED {
            cache.clear();
        }
        cache.insert(target.digest.clone(), Arc::clone(&parsed));
        Ok(Some(parsed))
    }

    async fn read(&self, target: &Descriptor) -> Result<Option<Parsed>> {
        let (mut media_type, mut digest) = (target.media_type.clone(), target.digest.clone());
        let bad = |error: &dyn std::fmt::Display| Error::system(format!("image {}: {error}", target.digest));
        for _ in 0..4 {
            let Some(bytes) = self.document(&digest).await? else { return Ok(None) };
            match Document::parse(&media_type, &bytes).map_err(|error| bad(&error))? {
                Document::Manifest(manifest) => {
                    let id = manifest.config.digest.to_string();
                    let Some(bytes) = self.document(&id).await? else { return Ok(None) };
                    let config = ImageConfig::parse(&bytes).map_err(|error| bad(&error))?;
                    let raw = serde_json::from_slice(&bytes).map_err(|error| bad(&error))?;
                    let chain =
                        oci::chain_ids(&config.rootfs.diff_ids).iter().map(ToString::to_string).collect();
                    return Ok(Some(Parsed {
                        id,
                        manifest_digest: digest,
                        manifest: *manifest,
                        config,
                        raw,
                        chain,
                    }));
                }
                Document::Index(index) => {
                    // Of several platforms the one that is here; a pull fetches but one.
                    let wanted = index.matching(&Platform::host());
                    let mut children: Vec<_> = wanted.into_iter().collect();
                    for child in &index.manifests {
                        if !children.iter().any(|known| known.digest == child.digest) {
                            children.push(child);
                        }
                    }
                    let mut found = None;
                    for child in children {
                        match self.client().blob(child.digest.as_str()).await {
                            Ok(_) => {
                                found = Some((child.media_type.clone(), child.digest.to_string()));
                                break;
                            }
                            Err(error) if error.is_not_found() => {}
                            Err(error) => return Err(error.into()),
                        }
                    }
                    let Some(child) = found else { return Ok(None) };
                    (media_type, digest) = child;
                }
            }
        }
        Err(bad(&"indexes are nested too deeply"))
    }

    async fn document(&self, digest: &str) -> Result<Option<Vec<u8>>> {
        match self.client().read_document(digest).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Bytes of each layer on disk, base first. Layers that are not unpacked count as their blobs.
    pub(super) async fn layer_sizes(&self, parsed: &Parsed) -> Vec<i64> {
        let mut sizes = Vec::with_capacity(parsed.chain.len());
        for (at, chain) in parsed.chain.iter().enumerate() {
            let known = self.inner.sizes.lock().unwrap_or_else(PoisonError::into_inner).get(chain).copied();
            let size = match known {
                Some(size) => size,
                None => match self.client().snapshot_usage(&self.inner.config.snapshotter, chain).await {
                    Ok(usage) => {
                        let mut cache = self.inner.sizes.lock().unwrap_or_else(PoisonError::into_inner);
                        cache.insert(chain.clone(), usage.size);
                        usage.size
                    }
                    Err(_) => parsed
                        .manifest
                        .layers
                        .get(at)
                        .and_then(|layer| layer.size.try_into().ok())
                        .unwrap_or(0),
                },
            };
            sizes.push(size);
        }
        sizes
    }
}
