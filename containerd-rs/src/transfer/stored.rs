//! Images as they are in the store: documents, and everything below a descriptor.

use oci::image::MAX_DOCUMENT;
use oci::{Descriptor, Document, Manifest, Platform, media_type};
use proto::containerd::types;

use crate::content::Store;
use crate::error::{Error, Kind, Result};

/// Deepest nesting of indexes.
const MAX_DEPTH: usize = 8;

/// The blobs of one namespace. Methods block.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) store: Store,
    pub(super) namespace: String,
}

/// A manifest or index with its bytes.
pub(super) struct StoredDocument {
    pub(super) descriptor: Descriptor,
    pub(super) bytes: Vec<u8>,
}

/// All that is below a descriptor.
#[derive(Default)]
pub(super) struct Tree {
    /// Configurations, layers and other leaves, each once.
    pub(super) blobs: Vec<Descriptor>,
    /// Manifests and indexes, children before what names them.
    pub(super) documents: Vec<StoredDocument>,
    /// The image manifests among them.
    pub(super) manifests: Vec<(Descriptor, Manifest)>,
    /// Children of indexes that aren't in the store.
    pub(super) missing: Vec<Descriptor>,
}

impl Stored {
    /// Whether the store has a blob.
    pub(super) fn has(&self, blob: &Descriptor) -> Result<bool> {
        match self.store.info(&self.namespace, blob.digest.as_str()) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads a small blob.
    pub(super) fn read(&self, blob: &Descriptor) -> Result<Vec<u8>> {
        self.store.read_all(&self.namespace, blob.digest.as_str(), MAX_DOCUMENT as u64)
    }

    /// Reads a manifest or index, and labels it so that it holds its children.
    pub(super) fn hold_children(&self, blob: &Descriptor) -> Result<Document> {
        let document = parse(blob, &self.read(blob)?)?;
        let labels = document.gc_labels().into_iter().map(|(key, child)| (key, child.digest.to_string()));
        self.store.set_labels(&self.namespace, blob.digest.as_str(), labels.collect())?;
        Ok(document)
    }

    /// Everything below `root`. With `platforms`, manifests of an index that suit none are left out.
    ///
    /// # Errors
    /// A blob of a manifest is missing, or a document can't be read.
    pub(super) fn tree(&self, root: &Descriptor, platforms: &[Platform]) -> Result<Tree> {
        let mut tree = Tree::default();
        self.descend(root, platforms, 0, &mut tree)?;
        Ok(tree)
    }

    fn descend(
        &self,
        blob: &Descriptor,
        platforms: &[Platform],
        depth: usize,
        tree: &mut Tree,
    ) -> Result<()> {
        let is_document = media_type::is_manifest(&blob.media_type) || media_type::is_index(&blob.media_type);
        if !is_document {
            if !self.has(blob)? && !media_type::is_nondistributable(&blob.media_type) {
                return Err(Error::not_found(format!("content digest {}", blob.digest)));
            }
            if !tree.blobs.iter().any(|known| known.digest == blob.digest) {
                tree.blobs.push(blob.clone());
            }
            return Ok(());
        }
        if depth > MAX_DEPTH {
            return Err(Error::invalid(format!("indexes nested deeper than {MAX_DEPTH} at {}", blob.digest)));
        }
        if tree.documents.iter().any(|known| known.descriptor.digest == blob.digest) {
            return Ok(());
        }
        let bytes = self.read(blob)?;
        match parse(blob, &bytes)? {
            Document::Manifest(manifest) => {
                self.descend(&manifest.config, platforms, depth + 1, tree)?;
                for layer in &manifest.layers {
                    self.descend(layer, platforms, depth + 1, tree)?;
                }
                tree.manifests.push((blob.clone(), *manifest));
            }
            Document::Index(index) => {
                for child in &index.manifests {
                    let suits = platforms.is_empty()
                        || child.platform.as_ref().is_none_or(|made_for| {
                            platforms.iter().any(|platform| platform.rank(made_for).is_some())
                        });
                    if suits && self.has(child)? {
                        self.descend(child, platforms, depth + 1, tree)?;
                    } else {
                        tree.missing.push(child.clone());
                    }
                }
            }
        }
        tree.documents.push(StoredDocument { descriptor: blob.clone(), bytes });
        Ok(())
    }
}

fn parse(blob: &Descriptor, bytes: &[u8]) -> Result<Document> {
    Document::parse(&blob.media_type, bytes)
        .map_err(|error| Error::invalid(format!("read manifest {}", blob.digest)).because(error))
}

/// A descriptor from the API's.
pub(super) fn from_proto(descriptor: &types::Descriptor) -> Result<Descriptor> {
    let digest = descriptor.digest.parse().map_err(|error: oci::DigestError| {
        Error::invalid(format!("digest {:?}: {error}", descriptor.digest))
    })?;
    let mut found = Descriptor::new(&descriptor.media_type, digest, descriptor.size.try_into().unwrap_or(0));
    found.annotations.clone_from(&descriptor.annotations);
    Ok(found)
}
