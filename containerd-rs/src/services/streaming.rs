//! `containerd.services.streaming.v1.Streaming`.

use futures::stream::{BoxStream, StreamExt};
use prost_types::Any;
use proto::containerd::services::streaming::v1::StreamInit;
use proto::typeurl;
use proto_services::containerd::services::streaming::v1::streaming_server::Streaming;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::error::{Error, Kind};
use crate::request::Scope;
use crate::transfer::Streams;

/// Opens streams for transfers.
#[derive(Clone, Debug)]
pub struct StreamingService {
    streams: Streams,
}

impl StreamingService {
    /// A service over `streams`.
    pub fn new(streams: Streams) -> Self {
        Self { streams }
    }
}

#[tonic::async_trait]
impl Streaming for StreamingService {
    type StreamStream = BoxStream<'static, Result<Any, Status>>;

    async fn stream(
        &self,
        request: Request<tonic::Streaming<Any>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let scope = Scope::of(request.metadata())?;
        let mut incoming = request.into_inner();
        let streams = self.streams.clone();
        // The head goes out at once; the first message decides what the stream is.
        let (answer, answers) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            let first = match incoming.message().await {
                Ok(Some(first)) => first,
                _ => return,
            };
            let init: Result<StreamInit, _> =
                if first.type_url == "containerd.services.streaming.v1.StreamInit" {
                    typeurl::unpack(&first)
                } else {
                    let error = Error::new(
                        Kind::Unknown,
                        format!("the first message of a stream is a {:?}", first.type_url),
                    );
                    let _ = answer.send(Err(error.into())).await;
                    return;
                };
            let id = match init {
                Ok(init) => init.id,
                Err(error) => {
                    let _ = answer.send(Err(Error::invalid(error.to_string()).into())).await;
                    return;
                }
            };
            let (to_transfer, mut to_client) = match streams.open(&scope.namespace, &id) {
                Ok(ends) => ends,
                Err(error) => {
                    let _ = answer.send(Err(error.into())).await;
                    return;
                }
            };
            let empty = Any { type_url: "google.protobuf.Empty".to_owned(), value: Vec::new() };
            let mut gone = answer.send(Ok(empty)).await.is_err();
            let mut to_transfer = Some(to_transfer);
            while !gone {
                tokio::select! {
                    message = to_client.recv() => match message {
                        Some(message) => gone = answer.send(message).await.is_err(),
                        // The transfer is done with the stream.
                        None => gone = true,
                    },
                    message = incoming.message(), if to_transfer.is_some() => match message {
                        Ok(Some(message)) => if let Some(sender) = &to_transfer {
                            let _ = sender.send(message).await;
                        },
                        Ok(None) => to_transfer = None,
                        // The client hung up; closing with an error is how Go ends a stream.
                        Err(_) => gone = true,
                    },
                    () = answer.closed() => gone = true,
                }
            }
            streams.forget(&scope.namespace, &id);
        });
        Ok(Response::new(ReceiverStream::new(answers).boxed()))
    }
}
