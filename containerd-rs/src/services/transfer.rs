//! `containerd.services.transfer.v1.Transfer`.

use oci::Platform;
use proto::containerd::services::transfer::v1::TransferRequest;
use proto::containerd::types::transfer::{
    ImageExportStream, ImageImportStream, ImageStore, OciRegistry, UnpackConfiguration,
};
use proto::{containerd::types, typeurl};
use proto_services::containerd::services::transfer::v1::transfer_server::Transfer;
use tonic::{Request, Response, Status};

use crate::blocking::blocking;
use crate::error::{Error, Kind};
use crate::metadata::Db;
use crate::request::Scope;
use crate::transfer::{Copier, Export, Import, Open, Progress, Pull, Push, Streams, Unpack};

/// Copies images between places.
#[derive(Clone, Debug)]
pub struct TransferService {
    db: Db,
    copier: Copier,
    streams: Streams,
}

impl TransferService {
    /// A service that pulls by `copier` and finds streams in `streams`.
    pub fn new(db: Db, copier: Copier, streams: Streams) -> Self {
        Self { db, copier, streams }
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
            resolver,
            credentials,
            name: store.name,
            labels: store.labels,
            platforms: store.platforms.into_iter().map(platform).collect(),
            unpacks: unpacks(store.unpacks),
            progress,
        };
        self.copier.pull(pull).await
    }

    async fn push(
        &self,
        scope: Scope,
        store: ImageStore,
        target: OciRegistry,
        progress: Progress,
    ) -> Result<(), Error> {
        let resolver = target.resolver.unwrap_or_default();
        let credentials = self.streams.take(&scope.namespace, &resolver.auth_stream)?;
        let push = Push {
            namespace: scope.namespace,
            name: if store.name.is_empty() { target.reference.clone() } else { store.name },
            platforms: store.platforms.into_iter().map(platform).collect(),
            reference: target.reference,
            resolver,
            credentials,
            progress,
        };
        self.copier.push(push).await
    }

    fn bytes(&self, scope: &Scope, id: &str) -> Result<Open, Error> {
        self.streams
            .take(&scope.namespace, id)?
            .ok_or_else(|| Error::invalid("transfer: the archive's stream has no id"))
    }

    async fn import(
        &self,
        scope: Scope,
        source: ImageImportStream,
        store: ImageStore,
        progress: Progress,
    ) -> Result<(), Error> {
        let stream = self.bytes(&scope, &source.stream)?;
        let import = Import {
            namespace: scope.namespace,
            lease: scope.lease,
            stream,
            name: store.name,
            references: store.extra_references,
            labels: store.labels,
            platforms: store.platforms.into_iter().map(platform).collect(),
            unpacks: unpacks(store.unpacks),
            progress,
        };
        self.copier.import(import).await
    }

    async fn export(
        &self,
        scope: Scope,
        store: ImageStore,
        target: ImageExportStream,
        progress: Progress,
    ) -> Result<(), Error> {
        let stream = self.bytes(&scope, &target.stream)?;
        let (prefixes, named): (Vec<_>, Vec<_>) =
            store.extra_references.into_iter().partition(|reference| reference.is_prefix);
        let names = std::iter::once(store.name).chain(named.into_iter().map(|reference| reference.name));
        let export = Export {
            namespace: scope.namespace,
            names: names.filter(|name| !name.is_empty()).collect(),
            prefixes: prefixes.into_iter().map(|reference| reference.name).collect(),
            platforms: if target.all_platforms {
                Vec::new()
            } else {
                target.platforms.into_iter().map(platform).collect()
            },
            is_oci_only: target.skip_compatibility_manifest,
            skips_nondistributable: target.skip_non_distributable,
            stream,
            progress,
        };
        self.copier.export(export).await
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

fn unpacks(list: Vec<UnpackConfiguration>) -> Vec<Unpack> {
    list.into_iter()
        .map(|unpack| Unpack {
            platform: unpack.platform.map_or_else(Platform::host, platform),
            snapshotter: unpack.snapshotter,
        })
        .collect()
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
        } else if typeurl::is::<ImageStore>(&source) && typeurl::is::<OciRegistry>(&destination) {
            let source = typeurl::unpack(&source).map_err(bad)?;
            self.push(scope, source, typeurl::unpack(&destination).map_err(bad)?, progress).await?;
        } else if typeurl::is::<ImageImportStream>(&source) && typeurl::is::<ImageStore>(&destination) {
            let source = typeurl::unpack(&source).map_err(bad)?;
            self.import(scope, source, typeurl::unpack(&destination).map_err(bad)?, progress).await?;
        } else if typeurl::is::<ImageStore>(&source) && typeurl::is::<ImageExportStream>(&destination) {
            let source = typeurl::unpack(&source).map_err(bad)?;
            self.export(scope, source, typeurl::unpack(&destination).map_err(bad)?, progress).await?;
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
