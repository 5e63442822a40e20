//! Streams that clients open beforehand and transfers refer to by id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prost_types::Any;
use tokio::sync::mpsc;
use tonic::Status;

use crate::error::{Error, Result};

/// Messages that may wait for a slow client.
const BACKLOG: usize = 256;

/// Both ends of an open stream, as a transfer sees them.
#[derive(Debug)]
pub struct Open {
    /// What the client sends; ends when it closes its side.
    pub receive: mpsc::Receiver<Any>,
    /// What it is sent.
    pub send: mpsc::Sender<Result<Any, Status>>,
}

/// The client's ends of a stream: where its messages go, and what it is sent.
pub type ClientEnds = (mpsc::Sender<Any>, mpsc::Receiver<Result<Any, Status>>);

/// The open streams by namespace and id, until a transfer takes them.
#[derive(Clone, Debug, Default)]
pub struct Streams(Arc<Mutex<HashMap<(String, String), Open>>>);

impl Streams {
    /// Opens a stream. What the client sends goes into the first end, what it gets comes out of the
    /// second.
    ///
    /// # Errors
    /// A stream of that id waits already.
    pub fn open(&self, namespace: &str, id: &str) -> Result<ClientEnds> {
        let (from_client, receive) = mpsc::channel(BACKLOG);
        let (send, to_client) = mpsc::channel(BACKLOG);
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), id.to_owned());
        if streams.contains_key(&key) {
            return Err(Error::already_exists(format!("stream {id}")));
        }
        streams.insert(key, Open { receive, send });
        Ok((from_client, to_client))
    }

    /// Takes a stream that waits; empty ids are no stream.
    ///
    /// # Errors
    /// Not found.
    pub fn take(&self, namespace: &str, id: &str) -> Result<Option<Open>> {
        if id.is_empty() {
            return Ok(None);
        }
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = streams.remove(&(namespace.to_owned(), id.to_owned()));
        open.map(Some).ok_or_else(|| Error::not_found(format!("stream {id}")))
    }

    /// Forgets a stream whose client is gone.
    pub fn forget(&self, namespace: &str, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(namespace.to_owned(), id.to_owned()));
    }
}
