//! Snapshots: the file systems of images and containers.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use proto::containerd::services::snapshots::v1::{
    CommitSnapshotRequest, Info, ListSnapshotsRequest, MountsRequest, PrepareSnapshotRequest,
    RemoveSnapshotRequest, StatSnapshotRequest, UsageRequest, UsageResponse, ViewSnapshotRequest,
};
use proto::containerd::types::Mount;

use crate::connect::Client;
use crate::error::{Error, Result};

impl Client {
    /// Makes a writable snapshot `key` on top of the committed `parent` ("" for none).
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`](crate::Kind::AlreadyExists) for a taken key,
    /// [`Kind::NotFound`](crate::Kind::NotFound) for a missing parent.
    pub async fn prepare_snapshot(
        &self,
        snapshotter: &str,
        key: &str,
        parent: &str,
        labels: BTreeMap<String, String>,
    ) -> Result<Vec<Mount>> {
        let message = PrepareSnapshotRequest {
            snapshotter: snapshotter.to_owned(),
            key: key.to_owned(),
            parent: parent.to_owned(),
            labels,
        };
        let mut service = self.snapshots_service();
        Ok(self.once("prepare snapshot", key, service.prepare(self.request(message))).await?.mounts)
    }

    /// Makes a read-only snapshot `key` of the committed `parent`.
    ///
    /// # Errors
    /// As [`prepare_snapshot`](Self::prepare_snapshot).
    pub async fn view_snapshot(
        &self,
        snapshotter: &str,
        key: &str,
        parent: &str,
        labels: BTreeMap<String, String>,
    ) -> Result<Vec<Mount>> {
        let message = ViewSnapshotRequest {
            snapshotter: snapshotter.to_owned(),
            key: key.to_owned(),
            parent: parent.to_owned(),
            labels,
        };
        let mut service = self.snapshots_service();
        Ok(self.once("view snapshot", key, service.view(self.request(message))).await?.mounts)
    }

    /// How an active snapshot is mounted.
    ///
    /// # Errors
    /// There is no such active snapshot.
    pub async fn snapshot_mounts(&self, snapshotter: &str, key: &str) -> Result<Vec<Mount>> {
        let message = MountsRequest { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
        let answer = self
            .repeat("mounts of snapshot", key, || {
                let (mut service, request) = (self.snapshots_service(), self.request(message.clone()));
                async move { service.mounts(request).await }
            })
            .await?;
        Ok(answer.mounts)
    }

    /// Turns the active snapshot `key` into the committed `name`.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`](crate::Kind::AlreadyExists) for a taken name.
    pub async fn commit_snapshot(
        &self,
        snapshotter: &str,
        name: &str,
        key: &str,
        labels: BTreeMap<String, String>,
    ) -> Result<()> {
        let message = CommitSnapshotRequest {
            snapshotter: snapshotter.to_owned(),
            name: name.to_owned(),
            key: key.to_owned(),
            labels,
            ..Default::default()
        };
        let mut service = self.snapshots_service();
        self.once("commit snapshot", key, service.commit(self.request(message))).await
    }

    /// Removes a snapshot; one that isn't there is as good.
    ///
    /// # Errors
    /// The snapshot has children.
    pub async fn remove_snapshot(&self, snapshotter: &str, key: &str) -> Result<()> {
        let message = RemoveSnapshotRequest { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
        let answer = self
            .repeat("remove snapshot", key, || {
                let (mut service, request) = (self.snapshots_service(), self.request(message.clone()));
                async move { service.remove(request).await }
            })
            .await;
        match answer {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// A snapshot's record.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound) without one.
    pub async fn snapshot(&self, snapshotter: &str, key: &str) -> Result<Info> {
        let message = StatSnapshotRequest { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
        let answer = self
            .repeat("stat snapshot", key, || {
                let (mut service, request) = (self.snapshots_service(), self.request(message.clone()));
                async move { service.stat(request).await }
            })
            .await?;
        Ok(answer.info.unwrap_or_default())
    }

    /// What a snapshot itself takes: bytes and inodes, without its parents.
    ///
    /// # Errors
    /// There is no such snapshot.
    pub async fn snapshot_usage(&self, snapshotter: &str, key: &str) -> Result<UsageResponse> {
        let message = UsageRequest { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
        self.repeat("usage of snapshot", key, || {
            let (mut service, request) = (self.snapshots_service(), self.request(message.clone()));
            async move { service.usage(request).await }
        })
        .await
    }

    /// Bytes of the files of a layer's snapshot, which containerd-rs tells in a label; of another's snapshot what
    /// it takes on disk.
    ///
    /// # Errors
    /// There is no such snapshot.
    pub async fn layer_size(&self, snapshotter: &str, layer: &Info) -> Result<i64> {
        let told = layer.labels.get(proto::labels::LAYER_FILES_SIZE).and_then(|size| size.parse().ok());
        match told {
            Some(size) => Ok(size),
            None => Ok(self.snapshot_usage(snapshotter, &layer.name).await?.size),
        }
    }

    /// All snapshots of a snapshotter.
    ///
    /// # Errors
    /// The snapshotter isn't loaded.
    pub async fn snapshots(&self, snapshotter: &str) -> Result<Vec<Info>> {
        let message = ListSnapshotsRequest { snapshotter: snapshotter.to_owned(), filters: Vec::new() };
        let stream = self
            .repeat("list snapshots of", snapshotter, || {
                let (mut service, request) = (self.snapshots_service(), self.request(message.clone()));
                async move { service.list(request).await }
            })
            .await?;
        let pages: Vec<_> = stream
            .try_collect()
            .await
            .map_err(|status| Error::new("list snapshots of", snapshotter, status))?;
        Ok(pages.into_iter().flat_map(|page| page.info).collect())
    }
}
