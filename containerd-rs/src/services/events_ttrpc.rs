//! `containerd.services.events.ttrpc.v1.Events` on its own socket: shims' events come in here.
//!
//! A connection's requests are handled one after the other, so that a shim's events keep their
//! order.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use proto::containerd::services::events::ttrpc::v1::ForwardRequest;
use proto::status::Code;
use proto::ttrpc::{Decoded, Decoder, Frame, KIND_DATA, KIND_REQUEST, Response, encode_response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::events::checked;
use crate::runtime::Exits;

const SERVICE: &str = "containerd.services.events.ttrpc.v1.Events";
/// Bytes read at once.
const CHUNK: usize = 8 << 10;

/// Takes connections until the future is dropped; they end with it.
pub async fn serve(listener: UnixListener, exits: Arc<Exits>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                let exits = exits.clone();
                connections.spawn(async move {
                    if let Err(error) = connection(stream, &exits).await {
                        tracing::debug!(%error, "a shim's event connection failed");
                    }
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: others may give some back.
                tracing::warn!(%error, "accept a shim's event connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(mut stream: UnixStream, exits: &Exits) -> std::io::Result<()> {
    let mut decoder = Decoder::default();
    let mut last = 0;
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = stream.read(&mut chunk).await?;
        if count == 0 {
            return Ok(());
        }
        decoder.feed(&chunk[..count]);
        while let Some(decoded) = decoder.next_frame() {
            let (id, response) = match decoded {
                Decoded::TooLarge { stream, size } => {
                    (stream, Response::error(Code::ResourceExhausted, format!("message of {size} bytes")))
                }
                Decoded::Frame(frame) if frame.kind == KIND_REQUEST => {
                    let fresh = frame.stream % 2 == 1 && frame.stream > last;
                    last = last.max(frame.stream);
                    let response = if fresh {
                        answer(&frame, exits)
                    } else {
                        Response::error(Code::InvalidArgument, "StreamID must be odd and rising")
                    };
                    (frame.stream, response)
                }
                Decoded::Frame(frame) if frame.kind == KIND_DATA => {
                    (frame.stream, Response::error(Code::InvalidArgument, "StreamID is no longer active"))
                }
                Decoded::Frame(_) => continue,
            };
            stream.write_all(&encode_response(id, &response)).await?;
        }
    }
}

fn answer(frame: &Frame, exits: &Exits) -> Response {
    let request = match frame.request() {
        Ok(request) => request,
        Err(error) => return Response::error(Code::InvalidArgument, error.to_string()),
    };
    if request.service != SERVICE {
        return Response::error(Code::Unimplemented, format!("service {}", request.service));
    }
    if request.method != "Forward" {
        return Response::error(Code::Unimplemented, format!("method {}", request.method));
    }
    let envelope = match ForwardRequest::decode(request.payload.as_slice()) {
        Ok(request) => checked(request.envelope),
        Err(error) => return Response::error(Code::InvalidArgument, error.to_string()),
    };
    match envelope {
        Ok(envelope) => {
            exits.forward(envelope);
            Response::ok(&())
        }
        Err(error) => Response::error(Code::InvalidArgument, error.to_string()),
    }
}
