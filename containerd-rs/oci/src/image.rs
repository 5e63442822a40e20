//! Documents of an image: descriptor, manifest, index, configuration.
//!
//! What comes from a registry or a tar is bounded before it is parsed ([`MAX_DOCUMENT`],
//! [`MAX_CHILDREN`]), and refused when it could be read as two kinds of document.

mod config;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::media_type;
use crate::platform::Platform;

pub use config::{ContainerConfig, Empty, Health, History, ImageConfig, RootFs};

/// Largest manifest, index or configuration that is read, in bytes.
pub const MAX_DOCUMENT: usize = 8 << 20;
/// Most layers of a manifest, or entries of an index.
pub const MAX_CHILDREN: usize = 4096;

/// Why a document is refused.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// More than [`MAX_DOCUMENT`] bytes.
    #[error("document of {0} bytes is larger than the limit of {MAX_DOCUMENT}")]
    TooLarge(usize),
    /// More than [`MAX_CHILDREN`] children.
    #[error("document with {0} entries has more than the limit of {MAX_CHILDREN}")]
    TooMany(usize),
    /// No JSON, or not of the right shape.
    #[error("document of type {media_type:?} cannot be read")]
    Malformed {
        /// What it was said to be.
        media_type: String,
        /// The parser's complaint.
        #[source]
        source: serde_json::Error,
    },
    /// It could be read as a manifest and as an index, or contradicts the type it was announced with.
    #[error("ambiguous document of type {media_type:?}: {reason}")]
    Ambiguous {
        /// What it was said to be.
        media_type: String,
        /// What contradicts it.
        reason: String,
    },
    /// A type that is no image document.
    #[error("media type {0:?} is no image manifest or index")]
    Unknown(String),
}

/// A pointer to a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    #[serde(default, deserialize_with = "or_default")]
    pub media_type: String,
    /// The blob's digest.
    pub digest: Digest,
    /// The blob's size in bytes.
    pub size: u64,
    /// Where else it may be fetched.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Free notes.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What a manifest in an index was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What an artifact is.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub artifact_type: String,
}

impl Descriptor {
    /// A bare descriptor.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: String::new(),
        }
    }

    /// The descriptor of some bytes.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }
}

/// One image: a configuration and its layers, base first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// What the document says of itself; may be empty.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// What an artifact is.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub artifact_type: String,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, base first.
    #[serde(default, deserialize_with = "or_default")]
    pub layers: Vec<Descriptor>,
    /// What this manifest is about (signatures and the like).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free notes.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Several manifests, usually one a platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// What the document says of itself; may be empty.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// The manifests.
    #[serde(default, deserialize_with = "or_default")]
    pub manifests: Vec<Descriptor>,
    /// Free notes.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A manifest or an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Box<Manifest>),
    /// Several.
    Index(Index),
}

/// The fields that tell the kinds apart, whatever is in them.
#[derive(Deserialize)]
struct Shape {
    #[serde(default, rename = "mediaType", deserialize_with = "or_default")]
    media_type: String,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(rename = "fsLayers")]
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads the document that was announced as `media_type`.
    ///
    /// # Errors
    /// It is too large, no JSON, or not unambiguously of that type.
    pub fn parse(media_type: &str, bytes: &[u8]) -> Result<Self, DocumentError> {
        let shape: Shape = parse_bounded(media_type, bytes)?;
        let ambiguous =
            |reason: String| DocumentError::Ambiguous { media_type: media_type.to_owned(), reason };
        if !shape.media_type.is_empty() && shape.media_type != media_type {
            return Err(ambiguous(format!("it says of itself that it is {:?}", shape.media_type)));
        }
        if shape.fs_layers.is_some() {
            return Err(ambiguous("it has \"fsLayers\"".to_owned()));
        }
        let document = if media_type::is_manifest(media_type) {
            if shape.manifests.is_some() {
                return Err(ambiguous("a manifest has \"manifests\"".to_owned()));
            }
            Self::Manifest(Box::new(parse_bounded(media_type, bytes)?))
        } else if media_type::is_index(media_type) {
            if shape.config.is_some() || shape.layers.is_some() {
                return Err(ambiguous("an index has \"config\" or \"layers\"".to_owned()));
            }
            Self::Index(parse_bounded(media_type, bytes)?)
        } else {
            return Err(DocumentError::Unknown(media_type.to_owned()));
        };
        let (version, count) = match &document {
            Self::Manifest(manifest) => (manifest.schema_version, manifest.layers.len()),
            Self::Index(index) => (index.schema_version, index.manifests.len()),
        };
        if version != 2 {
            return Err(ambiguous(format!("its schemaVersion is {version}, not 2")));
        }
        if count > MAX_CHILDREN {
            return Err(DocumentError::TooMany(count));
        }
        Ok(document)
    }

    /// The blobs it points to, in order: configuration and layers, or manifests.
    pub fn children(&self) -> Vec<&Descriptor> {
        match self {
            Self::Manifest(manifest) => std::iter::once(&manifest.config).chain(&manifest.layers).collect(),
            Self::Index(index) => index.manifests.iter().collect(),
        }
    }

    /// The labels that keep the children alive while this blob lives: key and child.
    pub fn gc_labels(&self) -> Vec<(String, &Descriptor)> {
        match self {
            Self::Manifest(manifest) => {
                let layers = manifest.layers.iter().enumerate();
                std::iter::once(("containerd.io/gc.ref.content.config".to_owned(), &manifest.config))
                    .chain(layers.map(|(n, layer)| (format!("containerd.io/gc.ref.content.l.{n}"), layer)))
                    .collect()
            }
            Self::Index(index) => {
                let manifests = index.manifests.iter().enumerate();
                manifests.map(|(n, child)| (format!("containerd.io/gc.ref.content.m.{n}"), child)).collect()
            }
        }
    }
}

impl Index {
    /// The manifests that suit `wanted`, best first; among equals the index's order holds.
    pub fn matching(&self, wanted: &Platform) -> Vec<&Descriptor> {
        let mut found: Vec<(usize, &Descriptor)> = self
            .manifests
            .iter()
            .filter_map(|child| Some((wanted.rank(child.platform.as_ref()?)?, child)))
            .collect();
        found.sort_by_key(|(rank, _)| *rank);
        found.into_iter().map(|(_, child)| child).collect()
    }
}

impl ImageConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// It is too large or no JSON of that shape.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let config: Self = parse_bounded(media_type::CONFIG, bytes)?;
        if config.rootfs.diff_ids.len() > MAX_CHILDREN {
            return Err(DocumentError::TooMany(config.rootfs.diff_ids.len()));
        }
        Ok(config)
    }
}

fn parse_bounded<'de, T: Deserialize<'de>>(media_type: &str, bytes: &'de [u8]) -> Result<T, DocumentError> {
    if bytes.len() > MAX_DOCUMENT {
        return Err(DocumentError::TooLarge(bytes.len()));
    }
    serde_json::from_slice(bytes)
        .map_err(|source| DocumentError::Malformed { media_type: media_type.to_owned(), source })
}

/// Go writes an absent list or map as `null`.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
