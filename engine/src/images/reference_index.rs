//! Names to images and back.

use std::{collections::BTreeMap, sync::Arc};

use oci::Reference;
use proto::containerd::{services::images::v1 as api, types::Descriptor};

use super::{Images, Parsed};
use crate::error::{Error, Result};

/// Images that lost their last tag are kept under `moby-dangling@DIGEST`, as dockerd keeps them.
pub const DANGLING: &str = "moby-dangling@";

/// An image and everything that is called by it.
#[derive(Debug, Clone)]
pub struct Image {
    /// What it is.
    pub parsed: Arc<Parsed>,
    /// What its names point to.
    pub target: Descriptor,
    /// containerd's names, sorted.
    pub names: Vec<String>,
    /// `busybox:latest`
    pub tags: Vec<String>,
    /// `busybox@sha256:…`
    pub digests: Vec<String>,
    /// Seconds since 1970 of the newest name.
    pub tagged: i64,
}

impl Image {
    /// `sha256:…` of the configuration.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.parsed.id
    }

    /// The first twelve digits of the id.
    #[must_use]
    pub fn short_id(&self) -> &str {
        let hex = self.parsed.id.trim_start_matches("sha256:");
        hex.get(..12).unwrap_or(hex)
    }

    /// The name of the top snapshot; empty for an image without layers.
    #[must_use]
    pub fn chain_id(&self) -> &str {
        self.parsed.chain.last().map_or("", String::as_str)
    }

    /// Different repositories among the tags and digests.
    #[must_use]
    pub fn repositories(&self) -> usize {
        let mut names: Vec<&str> =
            self.tags.iter().map(|tag| tag.rsplit_once(':').map_or(tag.as_str(), |t| t.0)).collect();
        names.sort_unstable();
        names.dedup();
        names.len()
    }
}

/// A reference as docker's clients write it.
pub(super) fn reference(name: &str) -> Result<Reference> {
    let parsed: Reference =
        name.parse().map_err(|error: oci::ReferenceError| Error::invalid(error.to_string()))?;
    Ok(parsed.with_default_tag())
}

/// The name in an error text: with its tag.
pub(super) fn shown(name: &str) -> String {
    name.parse::<Reference>()
        .map_or_else(|_| name.to_owned(), |reference| reference.with_default_tag().familiar())
}

pub(super) fn missing(name: &str) -> Error {
    Error::not_found(format!("No such image: {}", shown(name)))
}

impl Images {
    /// All images, each once.
    ///
    /// # Errors
    /// containerd can't answer.
    pub async fn all(&self) -> Result<Vec<Image>> {
        let mut images: BTreeMap<String, Image> = BTreeMap::new();
        let mut records = self.client().images(&[]).await?;
        records.sort_by(|a, b| a.name.cmp(&b.name));
        for record in records {
            let Some(target) = record.target.clone() else { continue };
            let parsed = match self.parse(&target).await {
                Ok(Some(parsed)) => parsed,
                // A name whose content isn't (all) here yet.
                Ok(None) => continue,
                Err(error) => {
                    tracing::debug!(image = record.name, error = error.full_text(), "left out of the list");
                    continue;
                }
            };
            let image = images.entry(parsed.id.clone()).or_insert_with(|| Image {
                parsed: Arc::clone(&parsed),
                target: target.clone(),
                names: Vec::new(),
                tags: Vec::new(),
                digests: Vec::new(),
                tagged: 0,
            });
            image.add(&record, &target);
        }
        Ok(images.into_values().collect())
    }

    /// Finds an image by id (`sha256:` and 64 digits), reference, or a prefix of its id.
    ///
    /// # Errors
    /// 404 for none, 400 for what is no name.
    pub async fn resolve(&self, name: &str) -> Result<Image> {
        self.lookup(name).await.map(|(image, _)| image)
    }

    /// The image, and containerd's name when `name` is a reference and no id.
    pub(super) async fn lookup(&self, name: &str) -> Result<(Image, Option<String>)> {
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        let full = name.starts_with("sha256:") && crate::id::is_full(hex);
        let images = self.all().await?;
        if !full {
            match reference(name) {
                Ok(reference) => {
                    let stored = reference.to_string();
                    if let Some(image) = images.iter().find(|image| image.names.contains(&stored)) {
                        return Ok((image.clone(), Some(stored)));
                    }
                    // `name@digest` also means the tag that was pulled with that digest.
                    if let Some(digest) = reference.digest() {
                        let repository = format!("{}:", reference.name());
                        let held = |image: &&Image| {
                            image.target.digest == digest.as_str()
                                && image.names.iter().any(|name| name.starts_with(&repository))
                        };
                        if let Some(image) = images.iter().find(held) {
                            let stored =
                                image.names.iter().find(|name| name.starts_with(&repository)).cloned();
                            return Ok((image.clone(), stored));
                        }
                    }
                }
                Err(error) if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => return Err(error),
                Err(_) => {}
            }
        }
        if hex.is_empty() || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(missing(name));
        }
        let fits = |image: &&Image| {
            image.id().trim_start_matches("sha256:").starts_with(hex)
                || (full && (image.target.digest == name || image.parsed.manifest_digest == name))
        };
        let mut found = images.iter().filter(fits);
        match (found.next(), found.next()) {
            (Some(image), None) => Ok((image.clone(), None)),
            _ => Err(missing(name)),
        }
    }
}

impl Image {
    fn add(&mut self, record: &api::Image, target: &Descriptor) {
        self.names.push(record.name.clone());
        let seconds = record.updated_at.or(record.created_at).map_or(0, |time| time.seconds);
        self.tagged = self.tagged.max(seconds);
        if record.name.starts_with(DANGLING) {
            return;
        }
        let Ok(reference) = record.name.parse::<Reference>() else { return };
        if let Some(tag) = reference.tag() {
            self.tags.push(format!("{}:{tag}", reference.familiar_name()));
        }
        let digest = format!("{}@{}", reference.familiar_name(), target.digest);
        if !self.digests.contains(&digest) {
            self.digests.push(digest);
        }
    }
}
