//! A containerd, asked by messages that need make no sense.

use std::path::Path;

use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use prost::Message;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

/// What a call ended in.
pub(crate) type Said = (String, Code, String);

/// A daemon, asked by bytes.
pub(crate) struct Rpc {
    channel: Channel,
    pub(crate) said: Vec<Said>,
}

impl Rpc {
    pub(crate) fn on(socket: &Path) -> Self {
        let socket = socket.to_owned();
        let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(
            tower::service_fn(move |_| {
                let socket = socket.clone();
                async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
            }),
        );
        Self { channel, said: Vec::new() }
    }

    /// Sends messages and notes how the call ended.
    pub(crate) async fn say<M>(&mut self, namespace: &str, method: &str, messages: Vec<M>)
    where
        M: Message + Default + std::fmt::Debug + 'static,
    {
        let name = format!("{namespace:.20} {method} {:.240}", format!("{messages:?}"));
        let mut grpc = tonic::client::Grpc::new(self.channel.clone()).max_encoding_message_size(1 << 30);
        grpc.ready().await.expect("connect");
        let mut request = Request::new(tokio_stream::iter(messages));
        if !namespace.is_empty() {
            request.metadata_mut().insert("containerd-namespace", namespace.parse().expect("a header"));
        }
        let path: PathAndQuery = format!("/containerd.services.{method}").parse().expect("a path");
        // What comes back, if anything does, is no message of ours.
        let answer = grpc.streaming(request, path, ProstCodec::<M, ()>::default()).await;
        let end = match answer {
            Err(status) => Err(status),
            Ok(answer) => {
                let mut stream = answer.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(())) => {}
                        Ok(None) => break Ok(()),
                        Err(status) => break Err(status),
                    }
                }
            }
        };
        let (code, text) =
            end.map_or_else(|s| (s.code(), s.message().to_owned()), |()| (Code::Ok, String::new()));
        self.said.push((name, code, text));
    }
}
