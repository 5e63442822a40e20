//! Named streams that accompany a transfer: progress, credentials, bytes.

use prost_types::Any;
use proto::containerd::services::streaming::v1::StreamInit;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::connect::Client;
use crate::error::{Error, Result};

/// One named stream of values in both directions.
#[derive(Debug)]
pub struct ByteStream {
    id: String,
    sender: mpsc::Sender<Any>,
    receiver: Streaming<Any>,
}

impl ByteStream {
    /// The name the transfer refers to it by.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The daemon's next value; none when it closed the stream.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn receive(&mut self) -> Result<Option<Any>> {
        self.receiver
            .message()
            .await
            .map_err(|status| Error::new("receive from stream", self.id.as_str(), status))
    }

    /// Sends a value.
    ///
    /// # Errors
    /// The daemon closed the stream.
    pub async fn send(&self, value: Any) -> Result<()> {
        self.sender.send(value).await.map_err(|_| {
            Error::new("send to stream", self.id.as_str(), Status::unavailable("the stream is closed"))
        })
    }
}

impl Client {
    /// Opens a stream under a name of the caller's choice.
    ///
    /// # Errors
    /// [`Kind::Unimplemented`](crate::Kind::Unimplemented) on daemons without the service.
    pub async fn open_stream(&self, id: &str) -> Result<ByteStream> {
        let failed = |status| Error::new("open stream", id, status);
        let (sender, receiver) = mpsc::channel(16);
        sender
            .send(proto::typeurl::pack(&StreamInit { id: id.to_owned() }))
            .await
            .map_err(|_| failed(Status::internal("the request stream is closed")))?;
        let mut service = self.streaming_service();
        let mut receiver =
            service.stream(self.request(ReceiverStream::new(receiver))).await.map_err(failed)?.into_inner();
        // The daemon says once that it has the stream; a transfer may refer to it only then.
        receiver.message().await.map_err(failed)?;
        Ok(ByteStream { id: id.to_owned(), sender, receiver })
    }
}
