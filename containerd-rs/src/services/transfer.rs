//! `containerd.services.transfer.v1.Transfer`.

use oci::Platform;
use proto::containerd::services::transfer::v1::TransferRequest;
use proto::containerd::types::transfer::{ImageStore, OciRegistry};
use proto::{containerd::types, typeurl};
use proto_services::containerd::services::transfer::v1::transfer_server::Transfer;
use tonic::{Request, Response, Status};

use crate::blocking::blocking;
use crate::error::{Error, Kind};
use crate::metadata::Db;
use crate::request::Scope;
use crate::transfer::{Progress, Pull, Puller, Streams, Unpack};

/// Copies images between places.
#[derive(Clone, Debug)]
pub struct TransferService {
    db: Db,
    puller: Puller,
    streams: Streams,
}

impl TransferService {
    /// A service that pulls by `puller` and finds streams in `streams`.
    pub fn new(db: Db, puller: Puller, streams: Streams) -> Self {
        Self { db, puller, streams }
    }

    async fn pull(
        &self,
        scope: Scope,
        source: OciRegistry,
        store: ImageStore,
        progress: Progress,
    ) -> Result<(), Error> {
        let resolver = source.resolver.unwrap_or_default();
        let credentials = self.streams.take(&scope.namespace, &resolver.auth_stream)?;
        let pull = Pull {
            namespace: scope.namespace,
            lease: scope.lease,
            reference: source.reference,
            scheme: resolver.default_scheme,
            headers: resolver.headers.into_iter().collect(),
            credentials,
            name: store.name,
            labels: store.labels,
            platforms: store.platforms.into_iter().map(platform).collect(),
            unpacks: store
                .unpacks
                .into_iter()
                .map(|unpack| Unpack {
                    platform: unpack.platform.map_or_else(Platform::host, platform),
                    snapshotter: unpack.snapshotter,
                })
                .collect(),
            progress,
        };
        self.puller.pull(pull).await
    }

    async fn tag(&self, scope: Scope, source: ImageStore, target: ImageStore) -> Result<(), Error> {
        let db = self.db.clone();
        blocking(move || {
            let mut image = db.images().get(&scope.namespace, &source.name)?;
            image.name = target.name;
            image.labels.extend(target.labels);
            db.images().create_or_update(&scope.namespace, image, scope.lease.as_deref()).map(|_| ())
        })
        .await
    }
}

fn platform(platform: types::Platform) -> Platform {
    Platform::new(&platform.os, &platform.architecture, &platform.variant)
}

#[tonic::async_trait]
impl Transfer for TransferService {
    async fn transfer(&self, request: Request<TransferRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::of(request.metadata())?;
        let TransferRequest { source, destination, options } = request.into_inner();
        let source = source.ok_or_else(|| Error::invalid("transfer: no source"))?;
        let destination = destination.ok_or_else(|| Error::invalid("transfer: no destination"))?;
        let stream = options.map(|options| options.progress_stream).unwrap_or_default();
        let progress = self.streams.take(&scope.namespace, &stream)?.map(|stream| stream.send);
        let progress = Progress::on(progress);
        let bad = |error: typeurl::UnpackError| Error::invalid(error.to_string());
        if typeurl::is::<OciRegistry>(&source) && typeurl::is::<ImageStore>(&destination) {
            let source = typeurl::unpack(&source).map_err(bad)?;
            self.pull(scope, source, typeurl::unpack(&destination).map_err(bad)?, progress).await?;
        } else if typeurl::is::<ImageStore>(&source) && typeurl::is::<ImageStore>(&destination) {
            let source = typeurl::unpack(&source).map_err(bad)?;
            self.tag(scope, source, typeurl::unpack(&destination).map_err(bad)?).await?;
        } else {
            let text = format!(
                "method Transfer not implemented for {} to {}",
                source.type_url, destination.type_url
            );
            return Err(Error::new(Kind::Unimplemented, text).into());
        }
        Ok(Response::new(()))
    }
}
