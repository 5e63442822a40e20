//! Pushing: image store → registry, children before what names them.

use std::io;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use oci::{Descriptor, Platform, Reference, media_type};
use proto::containerd::types::transfer::RegistryResolver;
use registry::{BlobSource, Pushed, Repository};
use tokio_util::io::ReaderStream;

use super::fetch::refused;
use super::progress::{Progress, name_of};
use super::pull::Copier;
use super::resolver::repository;
use super::stored::{Stored, Tree, from_proto};
use super::streams::Open;
use crate::blocking::blocking;
use crate::error::{Error, Result};

/// Blobs sent at once.
const CONCURRENT: usize = 3;
/// What a file is read in, in bytes.
const CHUNK: usize = 256 << 10;

/// What to push, and where to.
#[derive(Debug)]
pub struct Push {
    /// Namespace of the image.
    pub namespace: String,
    /// Name of the image.
    pub name: String,
    /// Platforms of an index to push; empty for all that are there.
    pub platforms: Vec<Platform>,
    /// Where to.
    pub reference: String,
    /// How the registry is reached.
    pub resolver: RegistryResolver,
    /// Stream to ask for credentials on.
    pub credentials: Option<Open>,
    /// Where progress is told.
    pub progress: Progress,
}

/// A blob's file, told about while it is read.
struct Sending {
    stored: Stored,
    blob: Descriptor,
    parent: String,
    progress: Progress,
}

impl BlobSource for Sending {
    fn open(&self) -> BoxFuture<'_, io::Result<BoxStream<'static, io::Result<Bytes>>>> {
        Box::pin(async move {
            let (stored, digest) = (self.stored.clone(), self.blob.digest.to_string());
            let (_, file) = blocking(move || stored.store.reader(&stored.namespace, &digest))
                .await
                .map_err(io::Error::other)?;
            let (progress, blob, parent) = (self.progress.clone(), self.blob.clone(), self.parent.clone());
            let mut sent = 0;
            let bytes = ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK);
            Ok(bytes
                .inspect_ok(move |chunk| {
                    sent += chunk.len() as u64;
                    progress.amount("uploading", &blob, &parent, sent);
                })
                .boxed())
        })
    }
}

impl Copier {
    /// Pushes an image.
    ///
    /// # Errors
    /// There is no such image or it isn't whole, the registry refuses or can't be reached.
    pub async fn push(&self, push: Push) -> Result<()> {
        let (reference, registry) = repository(&push.reference, &push.resolver, push.credentials)?;
        push.progress.step(format!("Pushing to {}", push.reference)).await;
        let stored = Stored { store: self.store.clone(), namespace: push.namespace.clone() };
        let (db, namespace, name, platforms) = (self.db.clone(), push.namespace, push.name, push.platforms);
        let reading = stored.clone();
        let (root, tree) = blocking(move || {
            let image = db.images().get(&namespace, &name)?;
            let target =
                image.target.ok_or_else(|| Error::invalid(format!("image {name:?} has no target")))?;
            let root = from_proto(&target)?;
            let tree = reading.tree(&root, &platforms)?;
            whole(root, tree)
        })
        .await?;
        push.progress.step("pushing content").await;
        let parent = name_of(&root);
        let failed = |error| refused(format!("failed to push {}", push.reference), error);
        let mut blobs = tree.blobs;
        blobs.retain(|blob| !media_type::is_nondistributable(&blob.media_type));
        stream::iter(blobs)
            .map(|blob| self.send(&stored, &registry, &reference, blob, &parent, &push.progress))
            .buffer_unordered(CONCURRENT)
            .try_collect::<Vec<()>>()
            .await?;
        for document in tree.documents {
            let blob = &document.descriptor;
            let is_root = blob.digest == root.digest;
            let object = if is_root { reference.object().to_owned() } else { blob.digest.to_string() };
            registry.push_manifest(&blob.media_type, document.bytes.into(), &object).await.map_err(failed)?;
            push.progress.state("complete", blob, if is_root { "" } else { &parent }, blob.size).await;
        }
        push.progress.step(format!("Completed push to {}", push.reference)).await;
        Ok(())
    }

    async fn send(
        &self,
        stored: &Stored,
        registry: &Repository,
        reference: &Reference,
        blob: Descriptor,
        parent: &str,
        progress: &Progress,
    ) -> Result<()> {
        let blob = &blob;
        progress.state("waiting", blob, parent, 0).await;
        let (reading, digest) = (stored.clone(), blob.digest.to_string());
        let info = blocking(move || reading.store.info(&reading.namespace, &digest)).await?;
        let host = reference.domain().split(':').next().unwrap_or_default();
        let known = info.labels.get(&format!("containerd.io/distribution.source.{host}"));
        let elsewhere = known.and_then(|list| list.split(',').find(|repo| *repo != reference.path()));
        let sending = Sending {
            stored: stored.clone(),
            blob: blob.clone(),
            parent: parent.to_owned(),
            progress: progress.clone(),
        };
        let pushed = registry
            .push_blob(blob, elsewhere, &sending)
            .await
            .map_err(|error| refused(format!("failed to push {}", blob.digest), error))?;
        let event = match pushed {
            Pushed::Existed | Pushed::Mounted(_) => "already exists",
            Pushed::Uploaded => "complete",
        };
        progress.state(event, blob, parent, blob.size).await;
        Ok(())
    }
}

/// What can be pushed: a registry refuses an index whose manifests it lacks, so an index of which
/// only one image is here gives way to that image.
fn whole(root: Descriptor, mut tree: Tree) -> Result<(Descriptor, Tree)> {
    if tree.missing.is_empty() {
        return Ok((root, tree));
    }
    let [(manifest, _)] = tree.manifests.as_slice() else {
        let missing = &tree.missing[0].digest;
        return Err(Error::not_found(format!("push {}: content digest {missing}", root.digest)));
    };
    let manifest = manifest.clone();
    tree.documents.retain(|document| document.descriptor.digest == manifest.digest);
    Ok((manifest, tree))
}
