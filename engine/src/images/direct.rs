//! A pull without the daemon's Transfer service (containerd before 1.7): fetched from the registry here,
//! written blob by blob, and unpacked by snapshots and diff. Everything is held by a lease until the image's
//! record holds it.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use containerd_client::{Client, Credentials};
use futures::{StreamExt as _, stream};
use oci::{Descriptor, Document, ImageConfig};
use proto::containerd::{
    services::images::v1::Image,
    types::{self, transfer::Progress},
};
use registry::{RegistryError, Repository, Settings};
use tokio::sync::mpsc;

use super::{refusal, registry_auth, wanted::Wanted};
use crate::error::{Error, Result};

/// Bytes of one write.
const CHUNK: usize = 1 << 20;
const LEASE: Duration = Duration::from_secs(24 * 3600);
/// Layers fetched at once.
const AT_ONCE: usize = 3;

/// What to pull.
pub(super) struct Direct {
    pub(super) client: Client,
    pub(super) wanted: Wanted,
    pub(super) snapshotter: String,
    /// Folder of `hosts.toml` files.
    pub(super) hosts: Option<PathBuf>,
    pub(super) credentials: Option<Credentials>,
    pub(super) progress: mpsc::Sender<Progress>,
}

impl Direct {
    /// Pulls.
    pub(super) async fn run(mut self) -> Result<()> {
        let lease = self.client.lease(LEASE).await?;
        self.client = lease.client();
        self.pull().await?;
        lease.end(false).await?;
        Ok(())
    }

    async fn pull(&self) -> Result<()> {
        let failed = |error| self.failed(&error);
        let settings = Settings {
            hosts_dir: self.hosts.clone(),
            credentials: registry_auth::source(self.credentials.clone()),
            ..Settings::default()
        };
        let registry = registry::Client::new(settings).repository(&self.wanted.reference).map_err(failed)?;
        let root = registry.resolve(self.wanted.reference.object()).await.map_err(failed)?;
        let manifest = match self.document(&registry, &root).await? {
            Document::Manifest(manifest) => *manifest,
            Document::Index(index) => {
                let chosen = index.matching(&self.wanted.platform).first().copied().cloned();
                let chosen = chosen
                    .ok_or_else(|| refusal::no_platform(&self.wanted.reference, &self.wanted.platform))?;
                match self.document(&registry, &chosen).await? {
                    Document::Manifest(manifest) => *manifest,
                    Document::Index(_) => return Err(Error::system("an index inside an index")),
                }
            }
        };
        self.blob(&registry, &manifest.config).await?;
        let config = self.client.read_document(manifest.config.digest.as_str()).await?;
        let config = ImageConfig::parse(&config)
            .map_err(|source| Error::caused("read the image's configuration", source))?;
        if config.rootfs.diff_ids.len() != manifest.layers.len() {
            return Err(Error::system(
                "the image's manifest and configuration name different numbers of layers",
            ));
        }
        for layer in &manifest.layers {
            self.tell("waiting", layer, 0).await;
        }
        let chain = oci::chain_ids(&config.rootfs.diff_ids);
        let registry = &registry;
        let fetches =
            manifest.layers.clone().into_iter().map(|layer| async move { self.blob(registry, &layer).await });
        let mut fetched = stream::iter(fetches).buffered(AT_ONCE);
        let mut parent = String::new();
        for (at, layer) in manifest.layers.iter().enumerate() {
            fetched.next().await.transpose()?;
            self.tell("extracting", layer, 0).await;
            let (name, diff_id) = (chain[at].to_string(), config.rootfs.diff_ids[at].to_string());
            self.unpack(layer, &parent, &name, &diff_id).await?;
            self.tell("extracted", layer, layer.size).await;
            parent = name;
        }
        if !parent.is_empty() {
            let key = format!("containerd.io/gc.ref.snapshot.{}", self.snapshotter);
            self.client.label_blob(manifest.config.digest.as_str(), BTreeMap::from([(key, parent)])).await?;
        }
        let image = Image {
            name: self.wanted.reference.to_string(),
            target: Some(to_proto(&root)),
            ..Image::default()
        };
        self.client.put_image(image).await?;
        Ok(())
    }

    /// Fetches a manifest or index, labelled so that it holds what it names.
    async fn document(&self, registry: &Repository, descriptor: &Descriptor) -> Result<Document> {
        self.blob(registry, descriptor).await?;
        let bytes = self.client.read_document(descriptor.digest.as_str()).await?;
        let document = Document::parse(&descriptor.media_type, &bytes)
            .map_err(|source| Error::caused(format!("read {}", descriptor.digest), source))?;
        let labels: BTreeMap<String, String> =
            document.gc_labels().into_iter().map(|(key, child)| (key, child.digest.to_string())).collect();
        self.client.label_blob(descriptor.digest.as_str(), labels).await?;
        Ok(document)
    }

    /// Fetches a blob unless it is there, from where an earlier try stopped. The digest is checked by the
    /// store at commit.
    async fn blob(&self, registry: &Repository, blob: &Descriptor) -> Result<()> {
        let digest = blob.digest.as_str();
        let total = i64::try_from(blob.size).unwrap_or(i64::MAX);
        let mut writer =
            match self.client.write_blob(&super::pull_progress::ingest(blob), total, digest).await {
                Ok(writer) => writer,
                Err(error) if error.is_already_exists() => {
                    self.tell("already exists", blob, blob.size).await;
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
        let failed = |error| self.failed(&error);
        let from = u64::try_from(writer.offset()).unwrap_or(0);
        if from < blob.size {
            // A manifest is no blob to the registry; its digest is checked there.
            let document =
                oci::media_type::is_manifest(&blob.media_type) || oci::media_type::is_index(&blob.media_type);
            if document {
                let bytes = registry.manifest(blob).await.map_err(failed)?;
                let rest = bytes.get(usize::try_from(from).unwrap_or(usize::MAX)..).unwrap_or_default();
                writer.write(rest.to_vec()).await?;
            } else {
                self.copy(registry, blob, from, &mut writer).await?;
            }
        }
        let source = self.wanted.reference.domain().split(':').next().unwrap_or_default();
        let labels = BTreeMap::from([(
            format!("containerd.io/distribution.source.{source}"),
            self.wanted.reference.path().to_owned(),
        )]);
        match writer.commit(digest, labels).await {
            Err(error) if !error.is_already_exists() => return Err(error.into()),
            _ => {}
        }
        self.tell("complete", blob, blob.size).await;
        Ok(())
    }

    async fn copy(
        &self,
        registry: &Repository,
        blob: &Descriptor,
        from: u64,
        writer: &mut containerd_client::BlobWriter,
    ) -> Result<()> {
        let failed = |error| self.failed(&error);
        let mut body = registry.blob(blob, from).await.map_err(failed)?;
        let mut chunk = Vec::with_capacity(CHUNK);
        while let Some(piece) = body.next().await.map_err(failed)? {
            chunk.extend_from_slice(&piece);
            if chunk.len() >= CHUNK {
                writer.write(std::mem::take(&mut chunk)).await?;
                self.tell("downloading", blob, writer.offset().try_into().unwrap_or(0)).await;
            }
        }
        if chunk.is_empty() { Ok(()) } else { Ok(writer.write(chunk).await?) }
    }

    /// Makes the layer's snapshot unless it is there.
    async fn unpack(&self, layer: &Descriptor, parent: &str, name: &str, diff_id: &str) -> Result<()> {
        match self.client.snapshot(&self.snapshotter, name).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        let key = format!("extract-{:016x} {name}", rand::random::<u64>());
        let snapshotter = &self.snapshotter;
        let mounts = self.client.prepare_snapshot(snapshotter, &key, parent, BTreeMap::new()).await?;
        let done = async {
            let applied = self.client.apply_layer(to_proto(layer), mounts).await?;
            if applied.digest != diff_id {
                return Err(Error::system(format!(
                    "wrong diff id calculated on extraction \"{}\"",
                    applied.digest
                )));
            }
            match self.client.commit_snapshot(snapshotter, name, &key, BTreeMap::new()).await {
                Err(error) if error.is_already_exists() => {
                    Ok(self.client.remove_snapshot(snapshotter, &key).await?)
                }
                other => Ok(other?),
            }
        };
        if let Err(error) = done.await {
            self.client.remove_snapshot(snapshotter, &key).await?;
            return Err(error);
        }
        let label = BTreeMap::from([("containerd.io/uncompressed".to_owned(), diff_id.to_owned())]);
        self.client.label_blob(layer.digest.as_str(), label).await?;
        Ok(())
    }

    /// The registry's failure in docker's words.
    fn failed(&self, error: &RegistryError) -> Error {
        let is_not_found = matches!(error, RegistryError::NotFound { .. });
        refusal::of_pull(&self.wanted.reference, &self.wanted.platform, &error.to_string(), is_not_found)
    }

    async fn tell(&self, event: &str, blob: &Descriptor, done: u64) {
        let report = Progress {
            event: event.to_owned(),
            name: super::pull_progress::ingest(blob),
            progress: done.try_into().unwrap_or(i64::MAX),
            total: blob.size.try_into().unwrap_or(i64::MAX),
            desc: Some(to_proto(blob)),
            ..Progress::default()
        };
        let _ = self.progress.send(report).await;
    }
}

fn to_proto(descriptor: &Descriptor) -> types::Descriptor {
    types::Descriptor {
        media_type: descriptor.media_type.clone(),
        digest: descriptor.digest.to_string(),
        size: descriptor.size.try_into().unwrap_or(i64::MAX),
        annotations: descriptor.annotations.clone(),
    }
}
