//! Layers applied to mounts, and made from them.

use std::collections::BTreeMap;

use proto::containerd::services::diff::v1::{ApplyRequest, DiffRequest};
use proto::containerd::types::{Descriptor, Mount};

use crate::connect::Client;
use crate::error::Result;

impl Client {
    /// Extracts the layer `diff` into `mounts`; answers the uncompressed tar's descriptor, whose
    /// digest is the diff id.
    ///
    /// # Errors
    /// The blob is missing or damaged, or the disk is full.
    pub async fn apply_layer(&self, diff: Descriptor, mounts: Vec<Mount>) -> Result<Descriptor> {
        let digest = diff.digest.clone();
        let mut service = self.diff_service();
        let message = ApplyRequest { diff: Some(diff), mounts, ..Default::default() };
        Ok(self
            .once("apply layer", &digest, service.apply(self.request(message)))
            .await?
            .applied
            .unwrap_or_default())
    }

    /// Writes what `right` has over `left` as a layer into the content store.
    ///
    /// # Errors
    /// The mounts can't be read or the media type isn't known.
    pub async fn make_layer(
        &self,
        left: Vec<Mount>,
        right: Vec<Mount>,
        media_type: &str,
        reference: &str,
        labels: BTreeMap<String, String>,
    ) -> Result<Descriptor> {
        let message = DiffRequest {
            left,
            right,
            media_type: media_type.to_owned(),
            r#ref: reference.to_owned(),
            labels,
            ..Default::default()
        };
        let mut service = self.diff_service();
        Ok(self
            .once("make layer", reference, service.diff(self.request(message)))
            .await?
            .diff
            .unwrap_or_default())
    }
}
