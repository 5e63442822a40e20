//! `containerd.services.diff.v1.Diff`.

use archive::WhiteoutForm;
use proto::containerd::services::diff::v1::{ApplyRequest, ApplyResponse, DiffRequest, DiffResponse};
use proto::containerd::types::Descriptor;
use proto_services::containerd::services::diff::v1::diff_server::Diff;
use tonic::{Request, Response, Status};

use crate::blocking::blocking;
use crate::content::Store;
use crate::error::{Error, Kind};
use crate::request::Scope;
use crate::unpack::{MakeLayer, apply_layer, inherit_implied, make_layer, target_of};

/// Media type of an applied layer.
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Applies layers to snapshots.
#[derive(Clone, Debug)]
pub struct DiffService {
    store: Store,
}

impl DiffService {
    /// A service over the blobs of `store`.
    pub fn new(store: Store) -> Self {
        Self { store }
    }
}

/// Whether a media type names a layer's archive, compressed or not.
fn is_layer(media_type: &str) -> bool {
    let base = media_type.split(';').next().unwrap_or_default();
    base.ends_with(".tar")
        || base.ends_with(".tar.gzip")
        || base.ends_with(".tar+gzip")
        || base.ends_with(".tar+zstd")
}

#[tonic::async_trait]
impl Diff for DiffService {
    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let ApplyRequest { diff, mounts, .. } = request.into_inner();
        let diff = diff.ok_or_else(|| Error::invalid("apply: no descriptor"))?;
        if !is_layer(&diff.media_type) {
            let text = format!(
                "failed to get stream processor for {}: no processor for media-type",
                diff.media_type
            );
            return Err(Error::new(Kind::Unknown, text).into());
        }
        let store = self.store.clone();
        let applied = blocking(move || {
            let (target, form) = target_of(&mounts)?;
            let (_, blob) = store.reader(&scope.namespace, &diff.digest)?;
            let applied = apply_layer(blob, &target, form)?;
            if form == WhiteoutForm::Overlay {
                inherit_implied(&target, &mounts, &applied)?;
            }
            Ok(applied)
        })
        .await?;
        Ok(Response::new(ApplyResponse {
            applied: Some(Descriptor {
                media_type: LAYER.to_owned(),
                digest: applied.diff_id,
                size: applied.size.try_into().unwrap_or(i64::MAX),
                annotations: Default::default(),
            }),
        }))
    }

    async fn diff(&self, request: Request<DiffRequest>) -> Result<Response<DiffResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let DiffRequest { left, right, media_type, r#ref, labels, source_date_epoch } = request.into_inner();
        let make = MakeLayer {
            left,
            right,
            media_type,
            reference: r#ref,
            labels,
            source_date_epoch: source_date_epoch.map(|time| time.seconds),
        };
        let store = self.store.clone();
        let made =
            blocking(move || make_layer(&store, &scope.namespace, scope.lease.as_deref(), make)).await?;
        let diff = Descriptor {
            media_type: made.media_type,
            digest: made.digest.to_string(),
            size: made.size.try_into().unwrap_or(i64::MAX),
            annotations: Default::default(),
        };
        Ok(Response::new(DiffResponse { diff: Some(diff) }))
    }
}
