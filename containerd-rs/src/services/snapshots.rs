//! `containerd.services.snapshots.v1.Snapshots`.

use std::pin::Pin;

use futures::Stream;
use proto::containerd::services::snapshots::v1::{
    CleanupRequest, CommitSnapshotRequest, Info, Kind, ListSnapshotsRequest, ListSnapshotsResponse,
    MountsRequest, MountsResponse, PrepareSnapshotRequest, PrepareSnapshotResponse, RemoveSnapshotRequest,
    StatSnapshotRequest, StatSnapshotResponse, UpdateSnapshotRequest, UpdateSnapshotResponse, UsageRequest,
    UsageResponse, ViewSnapshotRequest, ViewSnapshotResponse,
};
use proto_services::containerd::services::snapshots::v1::snapshots_server;
use tonic::{Request, Response, Status};

use crate::blocking::blocking;
use crate::error::{Error, Kind as ErrorKind};
use crate::metadata::field_mask;
use crate::metadata::filters::Filters;
use crate::metadata::tables::{SnapshotKind, SnapshotRecord};
use crate::request::Scope;
use crate::snapshots::Snapshots;

/// Infos in one message of a list.
const BATCH: usize = 100;

/// Snapshots of all snapshotters.
#[derive(Clone, Debug)]
pub struct SnapshotsService {
    snapshots: Snapshots,
}

impl SnapshotsService {
    /// Serves `snapshots`.
    pub fn new(snapshots: Snapshots) -> Self {
        Self { snapshots }
    }
}

fn encode(record: SnapshotRecord) -> Info {
    let kind = match record.kind() {
        SnapshotKind::View => Kind::View,
        SnapshotKind::Active => Kind::Active,
        SnapshotKind::Committed => Kind::Committed,
    };
    Info {
        name: record.key,
        parent: record.parent,
        kind: kind.into(),
        created_at: record.created_at,
        updated_at: record.updated_at,
        labels: record.labels,
    }
}

#[tonic::async_trait]
impl snapshots_server::Snapshots for SnapshotsService {
    async fn prepare(
        &self,
        request: Request<PrepareSnapshotRequest>,
    ) -> Result<Response<PrepareSnapshotResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (snapshots, r) = (self.snapshots.clone(), request.into_inner());
        let mounts = blocking(move || {
            let lease = scope.lease.as_deref();
            snapshots.prepare(&scope.namespace, &r.snapshotter, &r.key, &r.parent, r.labels, lease)
        })
        .await?;
        Ok(Response::new(PrepareSnapshotResponse { mounts }))
    }

    async fn view(
        &self,
        request: Request<ViewSnapshotRequest>,
    ) -> Result<Response<ViewSnapshotResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (snapshots, r) = (self.snapshots.clone(), request.into_inner());
        let mounts = blocking(move || {
            let lease = scope.lease.as_deref();
            snapshots.view(&scope.namespace, &r.snapshotter, &r.key, &r.parent, r.labels, lease)
        })
        .await?;
        Ok(Response::new(ViewSnapshotResponse { mounts }))
    }

    async fn mounts(&self, request: Request<MountsRequest>) -> Result<Response<MountsResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (snapshots, r) = (self.snapshots.clone(), request.into_inner());
        let mounts = blocking(move || snapshots.mounts(&scope.namespace, &r.snapshotter, &r.key)).await?;
        Ok(Response::new(MountsResponse { mounts }))
    }

    async fn commit(&self, request: Request<CommitSnapshotRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (snapshots, r) = (self.snapshots.clone(), request.into_inner());
        blocking(move || {
            let lease = scope.lease.as_deref();
            snapshots.commit(&scope.namespace, &r.snapshotter, &r.name, &r.key, &r.parent, r.labels, lease)
        })
        .await?;
        Ok(Response::new(()))
    }

    async fn remove(&self, request: Request<RemoveSnapshotRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (snapshots, r) = (self.snapshots.clone(), request.into_inner());
        blocking(move || snapshots.remove(&scope.namespace, &r.snapshotter, &r.key)).await?;
        Ok(Response::new(()))
    }

    async fn stat(
        &self,
        request: Request<StatSnapshotRequest>,
    ) -> Result<Response<StatSnapshotResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (snapshots, r) = (self.snapshots.clone(), request.into_inner());
        let info = blocking(move || snapshots.stat(&scope.namespace, &r.snapshotter, &r.key)).await?;
        Ok(Response::new(StatSnapshotResponse { info: Some(encode(info)) }))
    }

    async fn update(
        &self,
        request: Request<UpdateSnapshotRequest>,
    ) -> Result<Response<UpdateSnapshotResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (snapshots, r) = (self.snapshots.clone(), request.into_inner());
        let info = blocking(move || {
            let new = r.info.unwrap_or_default();
            let paths = field_mask::paths(r.update_mask.as_ref());
            snapshots.update(&scope.namespace, &r.snapshotter, &new.name, &new.labels, &paths)
        })
        .await?;
        Ok(Response::new(UpdateSnapshotResponse { info: Some(encode(info)) }))
    }

    type ListStream = Pin<Box<dyn Stream<Item = Result<ListSnapshotsResponse, Status>> + Send>>;

    async fn list(
        &self,
        request: Request<ListSnapshotsRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (snapshots, r) = (self.snapshots.clone(), request.into_inner());
        let filters = Filters::parse(&r.filters)?;
        let all = blocking(move || snapshots.list(&scope.namespace, &r.snapshotter, &filters)).await?;
        let infos: Vec<Info> = all.into_iter().map(encode).collect();
        let messages: Vec<_> =
            infos.chunks(BATCH).map(|infos| Ok(ListSnapshotsResponse { info: infos.to_vec() })).collect();
        Ok(Response::new(Box::pin(futures::stream::iter(messages))))
    }

    async fn usage(&self, request: Request<UsageRequest>) -> Result<Response<UsageResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (snapshots, r) = (self.snapshots.clone(), request.into_inner());
        let usage = blocking(move || snapshots.usage(&scope.namespace, &r.snapshotter, &r.key)).await?;
        Ok(Response::new(UsageResponse { size: usage.size, inodes: usage.inodes }))
    }

    async fn cleanup(&self, request: Request<CleanupRequest>) -> Result<Response<()>, Status> {
        Scope::of(request.metadata())?;
        // The built-in snapshotters clean up by themselves; containerd refuses this for them, too.
        Err(Error::new(ErrorKind::Unimplemented, "snapshotter does not implement Cleanup method").into())
    }
}
