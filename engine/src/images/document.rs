//! From what a name points to down to the configuration.

use std::sync::{Arc, PoisonError};

use oci::{Document, ImageConfig, Index, Manifest, Platform};
use proto::containerd::types::Descriptor;
use serde_json::Value;

use super::Images;
use crate::error::{Error, Result};

/// Documents remembered at most.
const REMEMBERED: usize = 2048;
/// Indexes inside one another at most.
const DEPTH: usize = 4;

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

/// A document that was read: what it says never changes under its digest.
#[derive(Debug, Clone)]
pub(super) enum Known {
    Image(Arc<Parsed>),
    /// Where it leads depends on what is here.
    Index(Arc<Index>),
}

impl Images {
    /// Reads what `target` leads to. `None` when a blob is missing.
    pub(super) async fn parse(&self, target: &Descriptor) -> Result<Option<Arc<Parsed>>> {
        let (mut media_type, mut digest) = (target.media_type.clone(), target.digest.clone());
        let bad = |error: &dyn std::fmt::Display| Error::system(format!("image {}: {error}", target.digest));
        for _ in 0..DEPTH {
            let known = match self.remembered(&digest) {
                Some(known) => known,
                None => {
                    let Some(bytes) = self.document(&digest).await? else { return Ok(None) };
                    let known = match Document::parse(&media_type, &bytes).map_err(|error| bad(&error))? {
                        Document::Index(index) => Known::Index(Arc::new(index)),
                        Document::Manifest(manifest) => {
                            let Some(parsed) = self.read(digest.clone(), *manifest).await? else {
                                return Ok(None);
                            };
                            Known::Image(Arc::new(parsed))
                        }
                    };
                    self.remember(digest, known.clone());
                    known
                }
            };
            match known {
                Known::Image(parsed) => return Ok(Some(parsed)),
                Known::Index(index) => {
                    let Some(child) = self.child_here(&index).await? else { return Ok(None) };
                    (media_type, digest) = child;
                }
            }
        }
        Err(bad(&"indexes are nested too deeply"))
    }

    fn remembered(&self, digest: &str) -> Option<Known> {
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    fn remember(&self, digest: String, known: Known) {
        let mut cache = self.inner.known.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= REMEMBERED {
            cache.clear();
        }
        cache.insert(digest, known);
    }

    async fn read(&self, manifest_digest: String, manifest: Manifest) -> Result<Option<Parsed>> {
        let id = manifest.config.digest.to_string();
        let bad = |error: &dyn std::fmt::Display| Error::system(format!("image {id}: {error}"));
        let Some(bytes) = self.document(&id).await? else { return Ok(None) };
        let config = ImageConfig::parse(&bytes).map_err(|error| bad(&error))?;
        let raw = serde_json::from_slice(&bytes).map_err(|error| bad(&error))?;
        let chain = oci::chain_ids(&config.rootfs.diff_ids).iter().map(ToString::to_string).collect();
        Ok(Some(Parsed { id, manifest_digest, manifest, config, raw, chain }))
    }

    /// Of several platforms the best that is here: a pull fetches but one, and another may come later.
    async fn child_here(&self, index: &Index) -> Result<Option<(String, String)>> {
        let mut children = index.matching(&Platform::host());
        for child in &index.manifests {
            if !children.iter().any(|known| known.digest == child.digest) {
                children.push(child);
            }
        }
        for child in children {
            match self.client().blob(child.digest.as_str()).await {
                Ok(_) => return Ok(Some((child.media_type.clone(), child.digest.to_string()))),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    async fn document(&self, digest: &str) -> Result<Option<Vec<u8>>> {
        match self.client().read_document(digest).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Bytes of each layer's files, base first. Layers that are not unpacked count as their blobs.
    pub(super) async fn layer_sizes(&self, parsed: &Parsed) -> Vec<i64> {
        let mut sizes = Vec::with_capacity(parsed.chain.len());
        for (at, chain) in parsed.chain.iter().enumerate() {
            let blob = || parsed.manifest.layers.get(at).and_then(|layer| layer.size.try_into().ok());
            sizes.push(self.layer_size(chain).await.or_else(blob).unwrap_or(0));
        }
        sizes
    }

    async fn layer_size(&self, chain: &str) -> Option<i64> {
        let known = self.inner.sizes.lock().unwrap_or_else(PoisonError::into_inner).get(chain).copied();
        if known.is_some() {
            return known;
        }
        let snapshotter = &self.inner.config.snapshotter;
        let layer = self.client().snapshot(snapshotter, chain).await.ok()?;
        let size = self.client().layer_size(snapshotter, &layer).await.ok()?;
        self.inner.sizes.lock().unwrap_or_else(PoisonError::into_inner).insert(chain.to_owned(), size);
        Some(size)
    }
}
