//! A ttrpc client over tokio: any number of calls at once on one connection.

use std::collections::HashMap;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream as StdStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::status::Code;
use proto::ttrpc::{
    Decoded, Decoder, KIND_RESPONSE, KeyValue, NAMESPACE_KEY, Request, Response, encode_request,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::{Error, Kind};

/// Bytes read at once.
const CHUNK: usize = 4 << 10;

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// The connection is gone, and with it the shim.
    #[error("ttrpc: closed")]
    Closed,
    /// The time given was up; the answer will be ignored.
    #[error("{method}: no answer within {limit:?}")]
    TimedOut {
        /// Method that was called.
        method: &'static str,
        /// Time given.
        limit: Duration,
    },
    /// The shim's own error.
    #[error("{message}")]
    Status {
        /// Its code.
        code: Code,
        /// Its text.
        message: String,
    },
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        let kind = match &error {
            CallError::Closed => Kind::Unavailable,
            CallError::TimedOut { .. } => Kind::DeadlineExceeded,
            CallError::Status { code, .. } => match code {
                Code::NotFound => Kind::NotFound,
                Code::AlreadyExists => Kind::AlreadyExists,
                Code::InvalidArgument => Kind::InvalidArgument,
                Code::FailedPrecondition => Kind::FailedPrecondition,
                Code::Unavailable => Kind::Unavailable,
                Code::Unimplemented => Kind::Unimplemented,
                Code::OutOfRange => Kind::OutOfRange,
                Code::PermissionDenied => Kind::PermissionDenied,
                Code::Aborted => Kind::Aborted,
                Code::DeadlineExceeded => Kind::DeadlineExceeded,
                Code::Canceled => Kind::Canceled,
                Code::DataLoss => Kind::DataLoss,
                _ => Kind::Unknown,
            },
        };
        Self::new(kind, error.to_string())
    }
}

/// A connection to a ttrpc server.
#[derive(Debug)]
pub(super) struct Client {
    writer: Mutex<Writer>,
    calls: Arc<Calls>,
    closed: watch::Receiver<bool>,
    reader: tokio::task::AbortHandle,
    namespace: String,
}

#[derive(Debug)]
struct Writer {
    /// Frames on their way: a task of their own writes them, so that a caller who gives up leaves
    /// no half of one behind.
    frames: mpsc::UnboundedSender<Vec<u8>>,
    /// Id of the last stream opened.
    last: u32,
}

/// Calls that wait for their answer, by stream; `None` once the connection is gone.
#[derive(Debug)]
struct Calls(Mutex<Option<HashMap<u32, oneshot::Sender<Response>>>>);

impl Calls {
    fn lock(&self) -> MutexGuard<'_, Option<HashMap<u32, oneshot::Sender<Response>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a call out of the table however it ends.
struct Pending<'a> {
    calls: &'a Calls,
    stream: u32,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(calls) = self.calls.lock().as_mut() {
            calls.remove(&self.stream);
        }
    }
}

impl Client {
    /// Connects to `address` (`unix://` and a path; without the scheme, an abstract name) of a
    /// server run by us or by root. Calls carry `namespace`.
    pub(super) async fn connect(address: &str, namespace: &str, limit: Duration) -> std::io::Result<Self> {
        let stream = match address.strip_prefix("unix://") {
            Some(path) => tokio::time::timeout(limit, UnixStream::connect(path))
                .await
                .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))?,
            None => {
                let name = SocketAddr::from_abstract_name(address)?;
                let stream = StdStream::connect_addr(&name)?;
                stream.set_nonblocking(true)?;
                UnixStream::from_std(stream)?
            }
        };
        let peer = stream.peer_cred()?.uid();
        if peer != 0 && peer != nix::unistd::geteuid().as_raw() {
            return Err(std::io::Error::other(format!("the socket belongs to user {peer}")));
        }
        let (read, write) = stream.into_split();
        let (frames, outgoing) = mpsc::unbounded_channel();
        tokio::spawn(write_frames(write, outgoing));
        let calls = Arc::new(Calls(Mutex::new(Some(HashMap::new()))));
        let (closing, closed) = watch::channel(false);
        let answered = calls.clone();
        let reader = tokio::spawn(async move {
            if let Err(error) = read_answers(read, &answered).await {
                tracing::debug!(%error, "read from a shim");
            }
            // Dropping the senders fails the calls.
            *answered.lock() = None;
            closing.send_replace(true);
        });
        Ok(Self {
            writer: Mutex::new(Writer { frames, last: 0 }),
            calls,
            closed,
            reader: reader.abort_handle(),
            namespace: namespace.to_owned(),
        })
    }

    /// Calls `method` of `service` and waits for the answer, for `limit` at most.
    pub(super) async fn call(
        &self,
        service: &str,
        method: &'static str,
        payload: Vec<u8>,
        limit: Option<Duration>,
    ) -> Result<Vec<u8>, CallError> {
        let request = Request {
            service: service.to_owned(),
            method: method.to_owned(),
            payload,
            timeout_nano: limit.map_or(0, |limit| limit.as_nanos().try_into().unwrap_or(i64::MAX)),
            metadata: vec![KeyValue { key: NAMESPACE_KEY.to_owned(), value: self.namespace.clone() }],
        };
        let call = self.exchange(&request);
        let response = match limit {
            Some(limit) => tokio::time::timeout(limit, call)
                .await
                .unwrap_or(Err(CallError::TimedOut { method, limit }))?,
            None => call.await?,
        };
        response
            .into_result()
            .map_err(|status| CallError::Status { code: status.code.into(), message: status.message })
    }

    async fn exchange(&self, request: &Request) -> Result<Response, CallError> {
        let (answer, answered) = oneshot::channel();
        let stream = self.send(request, answer)?;
        let _pending = Pending { calls: &self.calls, stream };
        answered.await.map_err(|_| CallError::Closed)
    }

    fn send(&self, request: &Request, answer: oneshot::Sender<Response>) -> Result<u32, CallError> {
        // Frames leave in the order of their ids.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = if writer.last == 0 { 1 } else { writer.last + 2 };
        let frame = encode_request(stream, request).map_err(|size| CallError::Status {
            code: Code::ResourceExhausted,
            message: format!("message length {size} exceed maximum message size"),
        })?;
        self.calls.lock().as_mut().ok_or(CallError::Closed)?.insert(stream, answer);
        writer.last = stream;
        writer.frames.send(frame).map_err(|_| CallError::Closed)?;
        Ok(stream)
    }

    /// Returns when the connection is gone.
    pub(super) async fn closed(&self) {
        let _ = self.closed.clone().wait_for(|closed| *closed).await;
    }

    /// Ends the connection; calls that wait fail.
    pub(super) fn close(&self) {
        self.reader.abort();
        *self.calls.lock() = None;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn write_frames(mut stream: OwnedWriteHalf, mut frames: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        if stream.write_all(&frame).await.is_err() {
            // The reader finds the connection closed.
            return;
        }
    }
}

async fn read_answers(mut stream: OwnedReadHalf, calls: &Calls) -> std::io::Result<()> {
    let mut decoder = Decoder::default();
    let mut chunk = [0; CHUNK];
    loop {
        let count = stream.read(&mut chunk).await?;
        if count == 0 {
            return Ok(());
        }
        decoder.feed(&chunk[..count]);
        while let Some(decoded) = decoder.next_frame() {
            let (stream, response) = match decoded {
                Decoded::Frame(frame) if frame.kind == KIND_RESPONSE => {
                    let response = frame.response().unwrap_or_else(|error| {
                        Response::error(Code::Internal, format!("the shim's answer is damaged: {error}"))
                    });
                    (frame.stream, response)
                }
                Decoded::Frame(_) => continue,
                Decoded::TooLarge { stream, size } => {
                    (stream, Response::error(Code::ResourceExhausted, format!("an answer of {size} bytes")))
                }
            };
            let waiting = calls.lock().as_mut().and_then(|calls| calls.remove(&stream));
            if let Some(waiting) = waiting {
                let _ = waiting.send(response);
            }
        }
    }
}

#[cfg(test)]
#[path = "ttrpc/tests.rs"]
mod tests;
