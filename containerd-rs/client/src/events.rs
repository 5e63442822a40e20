//! The daemon's events.

use std::time::Duration;

use proto::containerd::services::events::v1::{PublishRequest, SubscribeRequest};
use proto::containerd::types::Envelope;
use tonic::Streaming;

use crate::connect::Client;
use crate::error::{Error, Result};

/// The event that opens a stream: see [`Client::subscribe`].
const SUBSCRIBED: &str = "/client/subscribed";
const PAUSE: Duration = Duration::from_millis(20);

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
    /// Subscribes to the events that match any of `filters`. The stream may begin with events of the topic
    /// `/client/subscribed`: Go's containerd sends the head of its answer with the first event only, so one is
    /// published until the head is here.
    ///
    /// # Errors
    /// The daemon is away.
    pub async fn subscribe(&self, filters: &[String]) -> Result<EventStream> {
        let mut filters = filters.to_vec();
        filters.push(format!("topic==\"{SUBSCRIBED}\""));
        let mut service = self.events_service();
        let request = self.request(SubscribeRequest { filters });
        let knock = async {
            loop {
                tokio::time::sleep(PAUSE).await;
                // Whether it works shows in the subscription.
                let _ = self.publish(SUBSCRIBED).await;
            }
        };
        tokio::select! {
            stream = self.once("subscribe to events", "", service.subscribe(request)) => Ok(EventStream(stream?)),
            () = knock => Err(Error::new("subscribe to events", "", tonic::Status::cancelled("no answer"))),
        }
    }

    /// Publishes an event that says nothing but its topic.
    async fn publish(&self, topic: &str) -> Result<()> {
        let mut service = self.events_service();
        let event = prost_types::Any { type_url: "google.protobuf.Empty".into(), value: Vec::new() };
        let request = self.request(PublishRequest { topic: topic.into(), event: Some(event) });
        self.once("publish an event", topic, service.publish(request)).await?;
        Ok(())
    }
}
