//! Progress of a transfer, told while the client listens and for nobody else.

use oci::Descriptor;
use prost_types::Any;
use proto::containerd::types;
use proto::typeurl;
use tokio::sync::mpsc;
use tonic::Status;

/// Where progress goes; nowhere for a client that doesn't ask.
#[derive(Clone, Debug, Default)]
pub struct Progress(Option<mpsc::Sender<Result<Any, Status>>>);

impl Progress {
    /// Progress told on a stream.
    pub fn on(stream: Option<mpsc::Sender<Result<Any, Status>>>) -> Self {
        Self(stream)
    }

    /// Tells a step of the whole.
    pub async fn step(&self, event: impl Into<String>) {
        self.tell(types::transfer::Progress { event: event.into(), ..Default::default() }).await;
    }

    /// Tells a state of one blob, below `parent`; must arrive.
    pub async fn state(&self, event: &str, blob: &Descriptor, parent: &str, done: u64) {
        self.tell(message(event, blob, parent, done)).await;
    }

    /// Tells how far a blob is; left out where the client is slow.
    pub fn amount(&self, event: &str, blob: &Descriptor, parent: &str, done: u64) {
        if let Some(stream) = &self.0 {
            let _ = stream.try_send(Ok(typeurl::pack(&message(event, blob, parent, done))));
        }
    }

    async fn tell(&self, message: types::transfer::Progress) {
        if let Some(stream) = &self.0 {
            let _ = stream.send(Ok(typeurl::pack(&message))).await;
        }
    }
}

/// The name of a blob's ingest and of its line in the progress: what it is, and its digest.
pub(super) fn name_of(blob: &Descriptor) -> String {
    use oci::media_type as kind;
    let media_type = blob.media_type.as_str();
    let what = if kind::is_index(media_type) {
        "index"
    } else if kind::is_manifest(media_type) {
        "manifest"
    } else if kind::is_config(media_type) {
        "config"
    } else {
        "layer"
    };
    format!("{what}-{}", blob.digest)
}

fn message(event: &str, blob: &Descriptor, parent: &str, done: u64) -> types::transfer::Progress {
    types::transfer::Progress {
        event: event.to_owned(),
        name: name_of(blob),
        parents: if parent.is_empty() { Vec::new() } else { vec![parent.to_owned()] },
        progress: done.try_into().unwrap_or(i64::MAX),
        total: blob.size.try_into().unwrap_or(i64::MAX),
        desc: Some(to_proto(blob)),
    }
}

/// A descriptor as the API has it.
pub(super) fn to_proto(blob: &Descriptor) -> types::Descriptor {
    types::Descriptor {
        media_type: blob.media_type.clone(),
        digest: blob.digest.to_string(),
        size: blob.size.try_into().unwrap_or(i64::MAX),
        annotations: blob.annotations.clone(),
    }
}
