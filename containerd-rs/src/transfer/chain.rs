//! A manifest's layers as snapshots: which are missing, and their names in the chain's order.

use std::collections::HashMap;

use archive::WhiteoutForm;
use oci::image::MAX_DOCUMENT;
use oci::{Descriptor, Digest, ImageConfig, Manifest, media_type};
use proto::containerd::types::Mount;

use super::fetch::Target;
use super::pull::{Copier, Unpack};
use crate::blocking::blocking;
use crate::content::Store;
use crate::error::{Error, Kind, Result};
use crate::metadata::labels::Labels;
use crate::snapshots::{Extraction, Snapshots};
use crate::unpack::{AppliedLayer, apply_layer, inherit_implied, target_of};

/// What unpacking a manifest means.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) snapshotter: String,
    diff_ids: Vec<Digest>,
    chain: Vec<Digest>,
    /// Whether the snapshot of each layer has still to be made.
    pub(super) missing: Vec<bool>,
}

impl Copier {
    /// Unpacks a manifest whose blobs are in the store already.
    pub(super) async fn unpack_stored(
        &self,
        target: &Target,
        descriptor: &Descriptor,
        manifest: &Manifest,
        unpacks: &[Unpack],
    ) -> Result<()> {
        let suits = |unpack: &&Unpack| {
            descriptor.platform.as_ref().is_none_or(|platform| unpack.platform.rank(platform).is_some())
        };
        for unpack in unpacks.iter().filter(suits) {
            let plan = self.plan(target, manifest, &unpack.snapshotter).await?;
            let parent = super::progress::name_of(descriptor);
            self.commit(target, manifest, &parent, plan, HashMap::new()).await?;
        }
        Ok(())
    }

    pub(super) async fn plan(&self, target: &Target, manifest: &Manifest, snapshotter: &str) -> Result<Plan> {
        // In the words of containerd's differ, which is asked for each layer there.
        if let Some(odd) = manifest.layers.iter().find(|l| media_type::compression(&l.media_type).is_none()) {
            let text =
                format!("failed to get stream processor for {}: no processor for media-type", odd.media_type);
            return Err(Error::new(Kind::Unknown, text));
        }
        let (store, snapshots) = (self.store.clone(), self.snapshots.clone());
        let (namespace, config) = (target.namespace.clone(), manifest.config.clone());
        let (count, snapshotter) = (manifest.layers.len(), snapshotter.to_owned());
        blocking(move || {
            let snapshotter = if snapshotter.is_empty() { "overlayfs".to_owned() } else { snapshotter };
            let digest = config.digest.to_string();
            let bytes = store.read_all(&namespace, &digest, MAX_DOCUMENT as u64)?;
            let config = ImageConfig::parse(&bytes).map_err(|error| {
                Error::invalid(format!("read image configuration {digest}")).because(error)
            })?;
            let diff_ids = config.rootfs.diff_ids;
            if diff_ids.len() != count {
                let text = format!("image has {count} layers but {} diff ids", diff_ids.len());
                return Err(Error::invalid(text));
            }
            let chain = oci::chain_ids(&diff_ids);
            let mut missing = Vec::new();
            for id in &chain {
                match snapshots.stat(&namespace, &snapshotter, id.as_str()) {
                    Ok(_) => missing.push(false),
                    Err(error) if error.kind() == Kind::NotFound => missing.push(true),
                    Err(error) => return Err(error),
                }
            }
            Ok(Plan { snapshotter, diff_ids, chain, missing })
        })
        .await
    }

    /// Gives the layers' directories their names in the chain's order.
    pub(super) async fn commit(
        &self,
        target: &Target,
        manifest: &Manifest,
        parent: &str,
        plan: Plan,
        mut extracted: HashMap<usize, (Extraction, AppliedLayer)>,
    ) -> Result<()> {
        let (ns, lease) = (target.namespace.clone(), target.lease.clone());
        for (n, layer) in manifest.layers.iter().enumerate() {
            let below = n.checked_sub(1).map_or_else(String::new, |n| plan.chain[n].to_string());
            let (name, wanted) = (plan.chain[n].to_string(), plan.diff_ids[n].to_string());
            let this = extracted.remove(&n);
            if plan.missing[n] {
                let (snapshots, store, snapshotter) =
                    (self.snapshots.clone(), self.store.clone(), plan.snapshotter.clone());
                let (ns, lease, digest) = (ns.clone(), lease.clone(), layer.digest.to_string());
                blocking(move || {
                    let step = Step {
                        snapshots: &snapshots,
                        store: &store,
                        ns: &ns,
                        lease: &lease,
                        snapshotter: &snapshotter,
                    };
                    step.commit(this, &digest, &wanted, &name, &below)
                })
                .await?;
            }
            let (store, ns, digest) = (self.store.clone(), ns.clone(), layer.digest.to_string());
            let labels =
                Labels::from([("containerd.io/uncompressed".to_owned(), plan.diff_ids[n].to_string())]);
            blocking(move || store.set_labels(&ns, &digest, labels)).await?;
            target.progress.state("extracted", layer, parent, layer.size).await;
        }
        if let Some(top) = plan.chain.last() {
            let key = format!("containerd.io/gc.ref.snapshot.{}", plan.snapshotter);
            let labels = Labels::from([(key, top.to_string())]);
            let (store, digest) = (self.store.clone(), manifest.config.digest.to_string());
            blocking(move || store.set_labels(&ns, &digest, labels)).await?;
        }
        Ok(())
    }
}

/// Where one layer is committed.
struct Step<'a> {
    snapshots: &'a Snapshots,
    store: &'a Store,
    ns: &'a str,
    lease: &'a str,
    snapshotter: &'a str,
}

impl Step<'_> {
    /// Commits an extracted layer; one that isn't extracted (the snapshotter can't, or it occurs
    /// twice in the image) is applied onto its parent first.
    fn commit(
        &self,
        extracted: Option<(Extraction, AppliedLayer)>,
        digest: &str,
        wanted: &str,
        name: &str,
        below: &str,
    ) -> Result<()> {
        let check = |applied: &AppliedLayer| {
            if applied.diff_id == wanted {
                return Ok(());
            }
            let text = format!(
                "wrong diff id calculated on extraction: {} of layer {digest}, wanted {wanted}",
                applied.diff_id
            );
            Err(Error::new(Kind::Unknown, text))
        };
        let labels = |applied: &AppliedLayer| {
            Labels::from([(proto::labels::LAYER_FILES_SIZE.to_owned(), applied.files.to_string())])
        };
        let made = match extracted {
            Some((extraction, applied)) => {
                check(&applied)?;
                if !applied.implied.is_empty() && !below.is_empty() {
                    self.look_at(below, |mounts| inherit_implied(extraction.path(), mounts, &applied))?;
                }
                let labels = labels(&applied);
                self.snapshots.commit_extraction(self.ns, extraction, name, below, labels, Some(self.lease))
            }
            None => {
                let key = format!("extract-{:016x} {name}", rand::random::<u64>());
                let mounts = self.snapshots.prepare(
                    self.ns,
                    self.snapshotter,
                    &key,
                    below,
                    Labels::new(),
                    Some(self.lease),
                )?;
                let applied = (|| {
                    let (target, form) = target_of(&mounts)?;
                    let (_, blob) = self.store.reader(self.ns, digest)?;
                    let applied = apply_layer(blob, &target, form)?;
                    check(&applied)?;
                    if form == WhiteoutForm::Overlay {
                        inherit_implied(&target, &mounts, &applied)?;
                    }
                    let (ns, snapshotter, lease) = (self.ns, self.snapshotter, Some(self.lease));
                    self.snapshots.commit(ns, snapshotter, name, &key, "", labels(&applied), lease)
                })();
                if applied.is_err() {
                    let _ = self.snapshots.remove(self.ns, self.snapshotter, &key);
                }
                applied
            }
        };
        match made {
            // Another pull was faster; its snapshot is whole.
            Err(error) if error.kind() == Kind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Shows the snapshot `name` by the mounts of a view that is gone afterwards.
    fn look_at(&self, name: &str, look: impl FnOnce(&[Mount]) -> Result<()>) -> Result<()> {
        let key = format!("look-{:016x} {name}", rand::random::<u64>());
        let (ns, snapshotter) = (self.ns, self.snapshotter);
        let mounts = self.snapshots.view(ns, snapshotter, &key, name, Labels::new(), Some(self.lease))?;
        let looked = look(&mounts);
        self.snapshots.remove(ns, snapshotter, &key)?;
        looked
    }
}
