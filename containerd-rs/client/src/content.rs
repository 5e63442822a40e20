//! Blobs by digest.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use prost_types::FieldMask;
use proto::containerd::services::content::v1::{
    DeleteContentRequest, Info, InfoRequest, ListContentRequest, ReadContentRequest, UpdateRequest,
    WriteAction, WriteContentRequest, WriteContentResponse,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::connect::Client;
use crate::error::{Error, Result};

/// The largest document (manifest, index, config) that is read into memory, in bytes.
pub const MAX_DOCUMENT: u64 = 8 << 20;

impl Client {
    /// A blob's size and labels.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound) without it.
    pub async fn blob(&self, digest: &str) -> Result<Info> {
        let answer = self
            .repeat("info of blob", digest, || {
                let (mut service, request) =
                    (self.content_service(), self.request(InfoRequest { digest: digest.to_owned() }));
                async move { service.info(request).await }
            })
            .await?;
        Ok(answer.info.unwrap_or_default())
    }

    /// The blobs that match any of `filters` (all, without filters).
    ///
    /// # Errors
    /// A filter can't be parsed.
    pub async fn blobs(&self, filters: &[String]) -> Result<Vec<Info>> {
        let stream = self
            .repeat("list blobs", "", || {
                let (mut service, request) =
                    (self.content_service(), self.request(ListContentRequest { filters: filters.to_vec() }));
                async move { service.list(request).await }
            })
            .await?;
        let pages: Vec<_> =
            stream.try_collect().await.map_err(|status| Error::new("list blobs", "", status))?;
        Ok(pages.into_iter().flat_map(|page| page.info).collect())
    }

    /// A document, whole.
    ///
    /// # Errors
    /// It is missing, or larger than [`MAX_DOCUMENT`].
    pub async fn read_document(&self, digest: &str) -> Result<Vec<u8>> {
        let mut document = Vec::new();
        let mut stream = self.read_blob(digest, 0, 0).await?;
        while let Some(chunk) = stream.next().await {
            document.extend_from_slice(&chunk?);
            if document.len() as u64 > MAX_DOCUMENT {
                return Err(Error::new(
                    "read blob",
                    digest,
                    Status::resource_exhausted("the document is too large"),
                ));
            }
        }
        Ok(document)
    }

    /// A blob's bytes from `offset`, `size` of them (0: to the end).
    ///
    /// # Errors
    /// It is missing, or the offset lies behind its end.
    pub async fn read_blob(
        &self,
        digest: &str,
        offset: i64,
        size: i64,
    ) -> Result<impl Stream<Item = Result<Bytes>> + Send + Unpin + use<>> {
        let message = ReadContentRequest { digest: digest.to_owned(), offset, size };
        let stream = self
            .repeat("read blob", digest, || {
                let (mut service, request) = (self.content_service(), self.request(message.clone()));
                async move { service.read(request).await }
            })
            .await?;
        let digest = digest.to_owned();
        Ok(stream.map(move |message| {
            message
                .map(|m| Bytes::from(m.data))
                .map_err(|status| Error::new("read blob", digest.as_str(), status))
        }))
    }

    /// Changes labels; an empty value deletes one.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound) without the blob.
    pub async fn label_blob(&self, digest: &str, labels: BTreeMap<String, String>) -> Result<Info> {
        let mask = FieldMask { paths: labels.keys().map(|key| format!("labels.{key}")).collect() };
        let message = UpdateRequest {
            info: Some(Info { digest: digest.to_owned(), labels, ..Default::default() }),
            update_mask: Some(mask),
        };
        let answer = self
            .repeat("label blob", digest, || {
                let (mut service, request) = (self.content_service(), self.request(message.clone()));
                async move { service.update(request).await }
            })
            .await?;
        Ok(answer.info.unwrap_or_default())
    }

    /// Takes a blob out of the namespace.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound) without it.
    pub async fn delete_blob(&self, digest: &str) -> Result<()> {
        let mut service = self.content_service();
        self.once(
            "delete blob",
            digest,
            service.delete(self.request(DeleteContentRequest { digest: digest.to_owned() })),
        )
        .await
    }

    /// Opens the ingest `reference` for a blob of `total` bytes (0: unknown) with the digest
    /// `expected` ("": unknown), at the offset where an earlier try stopped.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`](crate::Kind::AlreadyExists) when the blob is there,
    /// [`Kind::Unavailable`](crate::Kind::Unavailable) while another writes it.
    pub async fn write_blob(&self, reference: &str, total: i64, expected: &str) -> Result<BlobWriter> {
        let (sender, receiver) = mpsc::channel(4);
        let open = WriteContentRequest {
            action: WriteAction::Stat as i32,
            r#ref: reference.to_owned(),
            total,
            expected: expected.to_owned(),
            ..Default::default()
        };
        let failed = |status| Error::new("write blob", reference, status);
        sender.send(open).await.map_err(|_| failed(Status::internal("the request stream is closed")))?;
        let mut service = self.content_service();
        let answers =
            service.write(self.request(ReceiverStream::new(receiver))).await.map_err(failed)?.into_inner();
        let mut writer = BlobWriter { reference: reference.to_owned(), sender, answers, offset: 0, total };
        let state = writer.answer().await?;
        writer.offset = state.offset;
        Ok(writer)
    }

    /// Writes a small blob in one go; one that is there is as good.
    ///
    /// # Errors
    /// The daemon refuses it.
    pub async fn put_blob(
        &self,
        reference: &str,
        expected: &str,
        data: Vec<u8>,
        labels: BTreeMap<String, String>,
    ) -> Result<()> {
        let size = i64::try_from(data.len()).unwrap_or(i64::MAX);
        let put = async {
            let mut writer = self.write_blob(reference, size, expected).await?;
            if writer.offset() < size {
                writer.write(data).await?;
            }
            writer.commit(expected, labels).await
        };
        match put.await {
            Err(error) if !error.is_already_exists() => Err(error),
            _ => Ok(()),
        }
    }
}

/// An open ingest; dropped without [`commit`](Self::commit) it can be resumed.
#[derive(Debug)]
pub struct BlobWriter {
    reference: String,
    sender: mpsc::Sender<WriteContentRequest>,
    answers: Streaming<WriteContentResponse>,
    offset: i64,
    total: i64,
}

impl BlobWriter {
    /// The bytes written so far.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Appends `data` (at most 8 MiB).
    ///
    /// # Errors
    /// The disk is full, the lease is gone, the connection broke.
    pub async fn write(&mut self, data: Vec<u8>) -> Result<()> {
        let end = self.offset + i64::try_from(data.len()).unwrap_or(i64::MAX);
        let message = WriteContentRequest {
            action: WriteAction::Write as i32,
            offset: self.offset,
            data,
            total: self.total,
            ..Default::default()
        };
        self.send(message).await?;
        self.answer().await?;
        self.offset = end;
        Ok(())
    }

    /// Makes the blob of what was written.
    ///
    /// # Errors
    /// Size or digest aren't the expected ones (the ingest stays),
    /// [`Kind::AlreadyExists`](crate::Kind::AlreadyExists) when another was faster.
    pub async fn commit(mut self, expected: &str, labels: BTreeMap<String, String>) -> Result<()> {
        let message = WriteContentRequest {
            action: WriteAction::Commit as i32,
            total: self.total,
            offset: self.offset,
            expected: expected.to_owned(),
            labels,
            ..Default::default()
        };
        self.send(message).await?;
        self.answer().await.map(drop)
    }

    async fn send(&mut self, message: WriteContentRequest) -> Result<()> {
        if self.sender.send(message).await.is_err() {
            // The daemon ended the stream: its reason is the next answer.
            self.answer().await?;
            return Err(Error::new(
                "write blob",
                self.reference.as_str(),
                Status::unavailable("the daemon closed the stream"),
            ));
        }
        Ok(())
    }

    async fn answer(&mut self) -> Result<WriteContentResponse> {
        let closed = || Status::unavailable("the daemon closed the stream");
        self.answers
            .message()
            .await
            .and_then(|answer| answer.ok_or_else(closed))
            .map_err(|status| Error::new("write blob", self.reference.as_str(), status))
    }
}
