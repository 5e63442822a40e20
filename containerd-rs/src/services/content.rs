//! `containerd.services.content.v1.Content`. Writing is in [`write`].

mod write;

use std::os::unix::fs::FileExt;
use std::pin::Pin;

use futures::Stream;
use proto::containerd::services::content::v1::{
    AbortRequest, DeleteContentRequest, InfoRequest, InfoResponse, ListContentRequest, ListContentResponse,
    ListStatusesRequest, ListStatusesResponse, ReadContentRequest, ReadContentResponse, Status as Progress,
    StatusRequest, StatusResponse, UpdateRequest, UpdateResponse, WriteContentRequest, WriteContentResponse,
};
use proto_services::containerd::services::content::v1::content_server::Content;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::blocking::blocking;
use crate::content::{Status as Ingested, Store};
use crate::error::{Error, Kind, Result};
use crate::metadata::field_mask;
use crate::metadata::filters::Filters;
use crate::request::Scope;

/// Infos in one message of a list.
const BATCH: usize = 100;
/// Bytes in one message of a read.
const READ_SIZE: usize = 1 << 20;

/// The content store.
#[derive(Clone, Debug)]
pub struct ContentService {
    store: Store,
}

impl ContentService {
    /// Serves `store`.
    pub fn new(store: Store) -> Self {
        Self { store }
    }
}

fn encode(status: Ingested) -> Progress {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    Progress {
        started_at: Some(status.started_at.into()),
        updated_at: Some(status.updated_at.into()),
        offset: number(status.offset),
        total: number(status.total),
        r#ref: status.reference,
        expected: status.expected,
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = std::result::Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Content for ContentService {
    async fn info(
        &self,
        request: Request<InfoRequest>,
    ) -> std::result::Result<Response<InfoResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (store, digest) = (self.store.clone(), request.into_inner().digest);
        let info = blocking(move || store.info(&scope.namespace, &digest)).await?;
        Ok(Response::new(InfoResponse { info: Some(info) }))
    }

    async fn update(
        &self,
        request: Request<UpdateRequest>,
    ) -> std::result::Result<Response<UpdateResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (store, request) = (self.store.clone(), request.into_inner());
        let info = blocking(move || {
            let paths = field_mask::paths(request.update_mask.as_ref());
            store.update(&scope.namespace, &request.info.clone().unwrap_or_default(), &paths)
        })
        .await?;
        Ok(Response::new(UpdateResponse { info: Some(info) }))
    }

    type ListStream = Answers<ListContentResponse>;

    async fn list(
        &self,
        request: Request<ListContentRequest>,
    ) -> std::result::Result<Response<Self::ListStream>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (store, filters) = (self.store.clone(), Filters::parse(&request.into_inner().filters)?);
        let all = blocking(move || store.list(&scope.namespace, &filters)).await?;
        let messages: Vec<_> =
            all.chunks(BATCH).map(|infos| Ok(ListContentResponse { info: infos.to_vec() })).collect();
        Ok(Response::new(Box::pin(futures::stream::iter(messages))))
    }

    async fn delete(
        &self,
        request: Request<DeleteContentRequest>,
    ) -> std::result::Result<Response<()>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (store, digest) = (self.store.clone(), request.into_inner().digest);
        blocking(move || store.delete(&scope.namespace, &digest)).await?;
        Ok(Response::new(()))
    }

    type ReadStream = Answers<ReadContentResponse>;

    async fn read(
        &self,
        request: Request<ReadContentRequest>,
    ) -> std::result::Result<Response<Self::ReadStream>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (store, request) = (self.store.clone(), request.into_inner());
        let (file, from, end) = blocking(move || {
            let (info, file) = store.reader(&scope.namespace, &request.digest)?;
            let (from, end) = range(&info, &request)?;
            Ok((file, from, end))
        })
        .await?;
        let (sender, receiver) = mpsc::channel(2);
        tokio::task::spawn_blocking(move || {
            let mut at = from;
            while at < end {
                let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(READ_SIZE);
                let mut data = vec![0; want];
                let message = match file.read_at(&mut data, at) {
                    Ok(0) => Err(Error::new(Kind::DataLoss, "the blob's file is shorter than the blob")),
                    Ok(n) => {
                        data.truncate(n);
                        // Counts from the start of this read, not of the blob.
                        let offset = (at - from).cast_signed();
                        at += n as u64;
                        Ok(ReadContentResponse { offset, data })
                    }
                    Err(e) => Err(Error::caused("read the blob's file", e)),
                };
                let is_last = message.is_err();
                if sender.blocking_send(message.map_err(Status::from)).is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> std::result::Result<Response<StatusResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (store, reference) = (self.store.clone(), request.into_inner().r#ref);
        let status = blocking(move || {
            let failed = |error: Error| {
                Error::new(error.kind(), format!("could not get status for ref {reference:?}")).because(error)
            };
            store.status(&scope.namespace, &reference).map_err(failed)
        })
        .await?;
        Ok(Response::new(StatusResponse { status: Some(encode(status)) }))
    }

    async fn list_statuses(
        &self,
        request: Request<ListStatusesRequest>,
    ) -> std::result::Result<Response<ListStatusesResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (store, filters) = (self.store.clone(), Filters::parse(&request.into_inner().filters)?);
        let all = blocking(move || store.statuses(&scope.namespace, &filters)).await?;
        Ok(Response::new(ListStatusesResponse { statuses: all.into_iter().map(encode).collect() }))
    }

    type WriteStream = Answers<WriteContentResponse>;

    async fn write(
        &self,
        request: Request<Streaming<WriteContentRequest>>,
    ) -> std::result::Result<Response<Self::WriteStream>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (sender, receiver) = mpsc::channel(2);
        let writing = write::Writing::new(self.store.clone(), scope);
        tokio::spawn(writing.serve(request.into_inner(), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn abort(&self, request: Request<AbortRequest>) -> std::result::Result<Response<()>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (store, reference) = (self.store.clone(), request.into_inner().r#ref);
        blocking(move || store.abort(&scope.namespace, &reference)).await?;
        Ok(Response::new(()))
    }
}

/// First byte and end of what a read asks for.
fn range(
    info: &proto::containerd::services::content::v1::Info,
    request: &ReadContentRequest,
) -> Result<(u64, u64)> {
    let size = info.size;
    if request.offset < 0 || request.size < 0 {
        return Err(Error::invalid(format!("negative offset {} or size {}", request.offset, request.size)));
    }
    if request.offset > size {
        let text = format!("read past object length {size} bytes");
        return Err(Error::new(Kind::OutOfRange, text));
    }
    let wanted = if request.size == 0 { size } else { request.size };
    let end = request.offset.saturating_add(wanted).min(size);
    Ok((request.offset.cast_unsigned(), end.cast_unsigned()))
}
