//! The daemon's events.

use proto::containerd::services::events::v1::SubscribeRequest;
use proto::containerd::types::Envelope;
use tonic::Streaming;

use crate::connect::Client;
use crate::error::{Error, Result};

/// Events from the moment of subscribing on; nothing is replayed.
#[derive(Debug)]
pub struct EventStream(Streaming<Envelope>);

impl EventStream {
    /// The next event.
    ///
    /// # Errors
    /// The stream broke: subscribe again and compare what may have been missed.
    pub async fn next(&mut self) -> Result<Envelope> {
        let ended = || tonic::Status::unavailable("the daemon closed the stream");
        self.0
            .message()
            .await
            .and_then(|event| event.ok_or_else(ended))
            .map_err(|status| Error::new("next event", "", status))
    }
}

impl Client {
    /// Subscribes to the events that match any of `filters`.
    ///
    /// # Errors
    /// The daemon is away.
    pub async fn subscribe(&self, filters: &[String]) -> Result<EventStream> {
        let mut service = self.events_service();
        let request = self.request(SubscribeRequest { filters: filters.to_vec() });
        Ok(EventStream(self.once("subscribe to events", "", service.subscribe(request)).await?))
    }
}
