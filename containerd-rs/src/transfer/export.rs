//! Exporting: image store → a tar that is an OCI layout and, with `manifest.json`, Docker's too.

use std::collections::HashSet;
use std::io::{BufWriter, Write};

use archive::{Entry, Writer};
use oci::{Descriptor, Index, Manifest, Platform, Reference, media_type};
use serde::Serialize;

use super::bytes::ByteWriter;
use super::progress::Progress;
use super::pull::Copier;
use super::stored::{Stored, Tree, from_proto};
use super::streams::Open;
use crate::blocking::blocking;
use crate::error::{Error, Result};
use crate::metadata::filters::Filters;

/// Annotation with an image's full name.
pub(super) const IMAGE_NAME: &str = "io.containerd.image.name";
/// Annotation with an image's tag.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// What to export, and where to.
#[derive(Debug)]
pub struct Export {
    /// Namespace of the images.
    pub namespace: String,
    /// Names of images.
    pub names: Vec<String>,
    /// Beginnings of names: all images that have one.
    pub prefixes: Vec<String>,
    /// Platforms of indexes to export; empty for all that are there.
    pub platforms: Vec<Platform>,
    /// Leave `manifest.json` out.
    pub is_oci_only: bool,
    /// Leave layers out that mustn't be passed on.
    pub skips_nondistributable: bool,
    /// Where the tar goes.
    pub stream: Open,
    /// Where progress is told.
    pub progress: Progress,
}

/// One image of Docker's `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

impl Copier {
    /// Exports images.
    ///
    /// # Errors
    /// An image is missing or not whole, or the client goes away.
    pub async fn export(&self, export: Export) -> Result<()> {
        let progress = export.progress.clone();
        progress.step("Exporting").await;
        let (db, store) = (self.db.clone(), self.store.clone());
        blocking(move || {
            let images = db.images();
            let mut found = Vec::new();
            for name in &export.names {
                found.push(images.get(&export.namespace, name)?);
            }
            if !export.prefixes.is_empty() {
                for image in images.list(&export.namespace, &Filters::default())? {
                    if export.prefixes.iter().any(|prefix| image.name.starts_with(prefix)) {
                        found.push(image);
                    }
                }
            }
            let stored = Stored { store, namespace: export.namespace.clone() };
            let mut layout = Layout::default();
            for image in found {
                let target = image
                    .target
                    .ok_or_else(|| Error::invalid(format!("image {:?} has no target", image.name)))?;
                let root = from_proto(&target)?;
                let tree = stored.tree(&root, &export.platforms)?;
                layout.add(&image.name, root, tree);
            }
            if layout.roots.is_empty() {
                return Err(Error::invalid("export: no images"));
            }
            let output = BufWriter::with_capacity(32 << 10, ByteWriter::new(export.stream));
            layout.write(&stored, output, export.is_oci_only, export.skips_nondistributable)
        })
        .await?;
        progress.step("Completed export").await;
        Ok(())
    }
}

#[derive(Default)]
struct Layout {
    roots: Vec<Descriptor>,
    blobs: Vec<Descriptor>,
    seen: HashSet<String>,
    docker: Vec<DockerImage>,
}

impl Layout {
    fn add(&mut self, name: &str, root: Descriptor, tree: Tree) {
        let documents = tree.documents.iter().map(|document| &document.descriptor);
        for blob in documents.chain(&tree.blobs) {
            if self.seen.insert(blob.digest.to_string()) {
                self.blobs.push(blob.clone());
            }
        }
        let wanted = Platform::host();
        let best = tree.manifests.iter().min_by_key(|(blob, _)| {
            blob.platform.as_ref().map_or(0, |p| wanted.rank(p).unwrap_or(usize::MAX))
        });
        if let Some((_, manifest)) = best {
            self.add_docker(name, manifest);
        }
        let mut root = root;
        root.annotations.insert(IMAGE_NAME.to_owned(), name.to_owned());
        if let Some(tag) =
            name.parse::<Reference>().ok().and_then(|reference| reference.tag().map(str::to_owned))
        {
            root.annotations.insert(REF_NAME.to_owned(), tag);
        }
        self.roots.push(root);
    }

    fn add_docker(&mut self, name: &str, manifest: &Manifest) {
        let tag = name.parse::<Reference>().ok().filter(|r| r.tag().is_some()).map(|r| r.familiar());
        let config = path_of(&manifest.config);
        if let Some(known) = self.docker.iter_mut().find(|image| image.config == config) {
            known.repo_tags.extend(tag);
            return;
        }
        self.docker.push(DockerImage {
            config,
            repo_tags: tag.into_iter().collect(),
            layers: manifest.layers.iter().map(path_of).collect(),
        });
    }

    fn write(
        mut self,
        stored: &Stored,
        output: impl Write,
        is_oci_only: bool,
        skips_nondistributable: bool,
    ) -> Result<()> {
        let failed = |error: archive::ArchiveError| Error::caused("write the archive", error);
        let json = |what: serde_json::Result<Vec<u8>>| {
            what.map_err(|error| Error::caused("write the archive", error))
        };
        let mut tar = Writer::new(output);
        tar.append_bytes("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#).map_err(failed)?;
        self.blobs.sort_by(|a, b| a.digest.cmp(&b.digest));
        for blob in &self.blobs {
            if media_type::is_nondistributable(&blob.media_type)
                && (skips_nondistributable || !stored.has(blob)?)
            {
                continue;
            }
            let (info, file) = stored.store.reader(&stored.namespace, blob.digest.as_str())?;
            let size = info.size.try_into().unwrap_or(0);
            let entry = Entry { name: path_of(blob).into_bytes(), mode: 0o444, size, ..Entry::default() };
            tar.append(&entry, file).map_err(failed)?;
        }
        let index = Index {
            schema_version: 2,
            media_type: media_type::INDEX.to_owned(),
            manifests: self.roots,
            annotations: Default::default(),
        };
        tar.append_bytes("index.json", &json(serde_json::to_vec(&index))?).map_err(failed)?;
        if !is_oci_only && !self.docker.is_empty() {
            tar.append_bytes("manifest.json", &json(serde_json::to_vec(&self.docker))?).map_err(failed)?;
        }
        tar.finish().map_err(failed)?;
        Ok(())
    }
}

fn path_of(blob: &Descriptor) -> String {
    format!("blobs/{}/{}", blob.digest.algorithm().name(), blob.digest.hex())
}
