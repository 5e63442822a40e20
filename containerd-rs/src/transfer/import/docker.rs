//! Docker's own archive: `manifest.json`, configurations and layers by path.

use std::io::Read;

use oci::{Descriptor, Index, Manifest, Reference, media_type};
use serde::Deserialize;

use super::super::export::{IMAGE_NAME, REF_NAME};
use super::super::fetch::Target;
use super::{Contents, put};
use crate::error::{Error, Result};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// Makes manifests for the images of the archive, and the index of them.
pub(super) fn index(target: &Target, contents: &Contents) -> Result<Index> {
    let bytes = contents.documents.get("manifest.json").ok_or_else(|| {
        Error::invalid("unrecognized image format: the archive has no index.json or manifest.json")
    })?;
    let images: Vec<DockerImage> = serde_json::from_slice(bytes)
        .map_err(|error| Error::invalid("read manifest.json of the archive").because(error))?;
    let mut manifests = Vec::new();
    for image in images {
        let mut layers = Vec::new();
        for path in &image.layers {
            layers.push(descriptor(contents, path, |digest| layer_type(target, digest))?);
        }
        let config = descriptor(contents, &image.config, |_| Ok(media_type::DOCKER_CONFIG))?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::DOCKER_MANIFEST.to_owned(),
            artifact_type: String::new(),
            config,
            layers,
            subject: None,
            annotations: Default::default(),
        };
        let json = serde_json::to_vec(&manifest).map_err(|error| Error::caused("write a manifest", error))?;
        let stored = put(target, media_type::DOCKER_MANIFEST, &json)?;
        let tags = image.repo_tags.unwrap_or_default();
        if tags.is_empty() {
            manifests.push(stored.clone());
        }
        for tag in tags {
            let name: Reference = tag.parse().map_err(|error: oci::ReferenceError| {
                Error::invalid(format!("name {tag:?} in the archive: {error}"))
            })?;
            let name = name.with_default_tag();
            let mut named = stored.clone();
            named.annotations.insert(IMAGE_NAME.to_owned(), name.to_string());
            named.annotations.extend(name.tag().map(|tag| (REF_NAME.to_owned(), tag.to_owned())));
            manifests.push(named);
        }
    }
    Ok(Index {
        schema_version: 2,
        media_type: media_type::INDEX.to_owned(),
        manifests,
        annotations: Default::default(),
    })
}

fn descriptor(
    contents: &Contents,
    path: &str,
    media_type: impl Fn(&str) -> Result<&'static str>,
) -> Result<Descriptor> {
    let (digest, size) = contents.file(path.trim_start_matches("./")).ok_or_else(|| {
        Error::invalid(format!("the archive's manifest.json names {path:?}, which isn't in it"))
    })?;
    Ok(Descriptor::new(media_type(digest.as_str())?, digest.clone(), *size))
}

/// Docker's type of a layer, told by its first bytes.
fn layer_type(target: &Target, digest: &str) -> Result<&'static str> {
    let (_, file) = target.store.reader(&target.namespace, digest)?;
    let mut start = Vec::new();
    file.take(4)
        .read_to_end(&mut start)
        .map_err(|error| Error::caused(format!("read content {digest}"), error))?;
    Ok(match start.as_slice() {
        [0x1f, 0x8b, ..] => media_type::DOCKER_LAYER_GZIP,
        [0x28, 0xb5, 0x2f, 0xfd] => media_type::LAYER_ZSTD,
        _ => media_type::DOCKER_LAYER,
    })
}
