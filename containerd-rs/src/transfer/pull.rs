//! Pulling: registry → image store, layers unpacked while they come in.

use std::collections::HashMap;

use archive::WhiteoutForm;
use futures::stream::{FuturesUnordered, StreamExt};
use oci::image::MAX_DOCUMENT;
use oci::{Descriptor, Document, Manifest, Platform, Reference, media_type};
use proto::containerd::services::images::v1::Image;
use proto::containerd::types::transfer::RegistryResolver;
use registry::Repository;
use tokio::sync::Semaphore;

use super::chain::Plan;
use super::fetch::{Target, fetch, refused, tee};
use super::hold::Hold;
use super::progress::{Progress, to_proto};
use super::resolver::repository;
use super::streams::Open;
use crate::blocking::blocking;
use crate::content::Store;
use crate::error::{Error, Result};
use crate::metadata::Db;
use crate::metadata::labels::Labels;
use crate::snapshots::{Extraction, Snapshots};
use crate::unpack::{AppliedLayer, apply_layer};

/// Blobs fetched at once.
const CONCURRENT: usize = 4;

/// What to pull, and where to.
#[derive(Debug)]
pub struct Pull {
    /// Namespace of the image.
    pub namespace: String,
    /// The request's lease; without one, a lease of our own holds the parts until the image does.
    pub lease: Option<String>,
    /// What to pull.
    pub reference: String,
    /// How the registry is reached.
    pub resolver: RegistryResolver,
    /// Stream to ask for credentials on.
    pub credentials: Option<Open>,
    /// Name of the image; empty for the reference.
    pub name: String,
    /// Labels of the image.
    pub labels: Labels,
    /// Platforms to fetch; empty for this machine's.
    pub platforms: Vec<Platform>,
    /// Platforms to unpack, each by a snapshotter.
    pub unpacks: Vec<Unpack>,
    /// Where progress is told.
    pub progress: Progress,
}

/// One platform to unpack.
#[derive(Clone, Debug)]
pub struct Unpack {
    /// Of an image.
    pub platform: Platform,
    /// Snapshotter's name.
    pub snapshotter: String,
}

/// Copies images between registries, archives and the daemon's stores.
#[derive(Clone, Debug)]
pub struct Copier {
    pub(super) db: Db,
    pub(super) store: Store,
    pub(super) snapshots: Snapshots,
}

impl Copier {
    /// A copier over these stores.
    pub fn new(db: Db, store: Store, snapshots: Snapshots) -> Self {
        Self { db, store, snapshots }
    }

    /// Pulls. What a failure leaves is resumed by the next pull, or collected.
    ///
    /// # Errors
    /// The reference isn't valid, the registry refuses or can't be reached, a blob or layer is
    /// damaged, the disk is full.
    pub async fn pull(&self, mut pull: Pull) -> Result<()> {
        let (reference, client) = repository(&pull.reference, &pull.resolver, pull.credentials.take())?;
        let hold = Hold::take(&self.db, &pull.namespace, pull.lease.take()).await?;
        let result = self.run(pull, &reference, &client, hold.lease()).await;
        hold.end().await;
        result
    }

    async fn run(&self, pull: Pull, reference: &Reference, client: &Repository, lease: &str) -> Result<()> {
        let source =
            format!("distribution.source.{}", reference.domain().split(':').next().unwrap_or_default());
        let target = Target {
            store: self.store.clone(),
            namespace: pull.namespace.clone(),
            lease: lease.to_owned(),
            labels: Labels::from([(format!("containerd.io/{source}"), reference.path().to_owned())]),
            progress: pull.progress.clone(),
        };
        pull.progress.step(format!("Resolving from {}", pull.reference)).await;
        let failed = |error| refused(format!("failed to resolve image {}", pull.reference), error);
        let root = client.resolve(reference.object()).await.map_err(failed)?;
        pull.progress.step(format!("Pulling from {}", pull.reference)).await;

        let mut platforms = pull.platforms;
        platforms.extend(pull.unpacks.iter().map(|unpack| unpack.platform.clone()));
        if platforms.is_empty() {
            platforms.push(Platform::host());
        }
        let manifests = self.documents(&target, client, &root, &platforms).await?;
        if manifests.is_empty() {
            return Err(Error::not_found(format!("no match for platform in manifest {}", root.digest)));
        }
        for (descriptor, manifest) in &manifests {
            self.image(&target, client, descriptor, manifest, &pull.unpacks).await?;
        }
        let image = Image {
            name: if pull.name.is_empty() { pull.reference.clone() } else { pull.name },
            labels: pull.labels,
            target: Some(to_proto(&root)),
            ..Image::default()
        };
        let (db, namespace, lease, name) =
            (self.db.clone(), pull.namespace.clone(), lease.to_owned(), image.name.clone());
        blocking(move || db.images().create_or_update(&namespace, image, Some(&lease))).await?;
        pull.progress.step(format!("saved {name}")).await;
        pull.progress.step(format!("Completed pull from {}", pull.reference)).await;
        Ok(())
    }

    /// Fetches the documents from `root` down, labelled so that each holds its children; answers
    /// the manifests that suit.
    async fn documents(
        &self,
        target: &Target,
        client: &Repository,
        root: &Descriptor,
        platforms: &[Platform],
    ) -> Result<Vec<(Descriptor, Manifest)>> {
        let document = self.document(target, client, root, "").await?;
        let index = match document {
            Document::Manifest(manifest) => return Ok(vec![(root.clone(), *manifest)]),
            Document::Index(index) => index,
        };
        let mut found: Vec<(Descriptor, Manifest)> = Vec::new();
        for platform in platforms {
            // A manifest that says nothing of its platform suits when it is the only one.
            let lone = index.manifests.first().filter(|only| only.platform.is_none());
            let lone = lone.filter(|_| index.manifests.len() == 1);
            let Some(chosen) = index.matching(platform).first().copied().or(lone) else { continue };
            if found.iter().any(|(known, _)| known.digest == chosen.digest) {
                continue;
            }
            let parent = super::progress::name_of(root);
            match self.document(target, client, chosen, &parent).await? {
                Document::Manifest(manifest) => found.push((chosen.clone(), *manifest)),
                Document::Index(_) => {
                    return Err(Error::invalid(format!("index {} inside an index", chosen.digest)));
                }
            }
        }
        Ok(found)
    }

    async fn document(
        &self,
        target: &Target,
        client: &Repository,
        blob: &Descriptor,
        parent: &str,
    ) -> Result<Document> {
        // A page to log in on, and what else is said to be a manifest.
        if !media_type::is_manifest(&blob.media_type) && !media_type::is_index(&blob.media_type) {
            let text = format!("unexpected media type {} for {}", blob.media_type, blob.digest);
            return Err(Error::invalid(text));
        }
        if blob.size > MAX_DOCUMENT as u64 {
            return Err(Error::invalid(format!("manifest {} has {} bytes", blob.digest, blob.size)));
        }
        fetch(target, client, blob, parent, None).await?;
        let (store, namespace, blob) = (target.store.clone(), target.namespace.clone(), blob.clone());
        blocking(move || {
            let digest = blob.digest.to_string();
            let bytes = store.read_all(&namespace, &digest, MAX_DOCUMENT as u64)?;
            let document = Document::parse(&blob.media_type, &bytes)
                .map_err(|error| Error::invalid(format!("read manifest {digest}")).because(error))?;
            let labels = document.gc_labels().into_iter().map(|(key, child)| (key, child.digest.to_string()));
            store.set_labels(&namespace, &digest, labels.collect())?;
            Ok(document)
        })
        .await
    }

    /// Fetches one manifest's blobs, and unpacks its layers meanwhile if that is asked for.
    async fn image(
        &self,
        target: &Target,
        client: &Repository,
        descriptor: &Descriptor,
        manifest: &Manifest,
        unpacks: &[Unpack],
    ) -> Result<()> {
        let parent = super::progress::name_of(descriptor);
        fetch(target, client, &manifest.config, &parent, None).await?;
        let unpack = unpacks.iter().find(|unpack| {
            descriptor.platform.as_ref().is_none_or(|platform| unpack.platform.rank(platform).is_some())
        });
        let plan = match unpack {
            Some(unpack) => Some(self.plan(target, manifest, &unpack.snapshotter).await?),
            None => None,
        };
        let permits = Semaphore::new(CONCURRENT);
        let mut jobs = FuturesUnordered::new();
        // A layer that occurs twice is fetched once.
        let mut first = HashMap::new();
        for (n, layer) in manifest.layers.iter().enumerate() {
            if *first.entry(layer.digest.as_str()).or_insert(n) != n {
                continue;
            }
            let (plan, permits, parent) = (plan.as_ref(), &permits, parent.as_str());
            jobs.push(async move {
                target.progress.state("waiting", layer, parent, 0).await;
                let _permit = permits.acquire().await;
                let extracted =
                    self.layer(target, client, layer, parent, plan.is_some_and(|p| p.missing[n]), plan).await;
                extracted.map(|extracted| (n, extracted))
            });
        }
        let mut extracted: HashMap<usize, (Extraction, AppliedLayer)> = HashMap::new();
        while let Some(done) = jobs.next().await {
            let (n, layer) = done?;
            if let Some(layer) = layer {
                extracted.insert(n, layer);
            }
        }
        drop(jobs);
        if let Some(plan) = plan {
            self.commit(target, manifest, &parent, plan, extracted).await?;
        }
        Ok(())
    }

    /// Fetches a layer; extracts it meanwhile where the snapshotter can take a layer alone.
    async fn layer(
        &self,
        target: &Target,
        client: &Repository,
        layer: &Descriptor,
        parent: &str,
        unpack: bool,
        plan: Option<&Plan>,
    ) -> Result<Option<(Extraction, AppliedLayer)>> {
        let extraction = match plan {
            Some(plan) if unpack => {
                let (snapshots, snapshotter) = (self.snapshots.clone(), plan.snapshotter.clone());
                blocking(move || snapshots.extract(&snapshotter)).await?
            }
            _ => None,
        };
        let Some(extraction) = extraction else {
            fetch(target, client, layer, parent, None).await?;
            return Ok(None);
        };
        let (sender, reader) = tee();
        let unpacking = tokio::task::spawn_blocking(move || {
            let applied = apply_layer(reader, extraction.path(), WhiteoutForm::Overlay);
            (extraction, applied)
        });
        let streamed = fetch(target, client, layer, parent, Some(sender)).await?;
        target.progress.amount("extracting", layer, parent, 0);
        let (extraction, applied) =
            unpacking.await.map_err(|error| Error::caused(format!("unpack {}", layer.digest), error))?;
        let result = if streamed {
            (extraction, applied?)
        } else {
            // The blob was there, or came in pieces: a fresh directory from the file.
            drop(extraction);
            let (snapshots, store) = (self.snapshots.clone(), self.store.clone());
            let snapshotter = plan.map_or_else(String::new, |plan| plan.snapshotter.clone());
            let (namespace, digest) = (target.namespace.clone(), layer.digest.to_string());
            blocking(move || {
                let extraction = snapshots
                    .extract(&snapshotter)?
                    .ok_or_else(|| Error::invalid(format!("snapshotter {snapshotter} can't extract")))?;
                let (_, blob) = store.reader(&namespace, &digest)?;
                let applied = apply_layer(blob, extraction.path(), WhiteoutForm::Overlay)?;
                Ok((extraction, applied))
            })
            .await?
        };
        Ok(Some(result))
    }
}
