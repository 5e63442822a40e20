//! The exchange: publishers on one side, subscribers on the other.

use std::sync::Arc;
use std::time::SystemTime;

use prost::{Message, Name};
use prost_types::Any;
use proto::containerd::types::Envelope;
use proto::typeurl;
use tokio::sync::broadcast;

/// Envelopes a slow subscriber may lag behind before it loses its stream.
const BACKLOG: usize = 8192;

/// Hands every envelope to every subscription; publishing never waits.
#[derive(Clone, Debug)]
pub struct Exchange {
    sender: broadcast::Sender<Arc<Envelope>>,
}

/// The envelopes published since the subscription began.
pub type Subscription = broadcast::Receiver<Arc<Envelope>>;

impl Default for Exchange {
    fn default() -> Self {
        Self { sender: broadcast::channel(BACKLOG).0 }
    }
}

impl Exchange {
    /// Publishes an event of the daemon's own, with the time of now.
    pub fn publish<M: Message + Name>(&self, namespace: &str, topic: &str, event: &M) {
        self.publish_any(namespace, topic, typeurl::pack(event));
    }

    /// Publishes a packed event with the time of now.
    pub fn publish_any(&self, namespace: &str, topic: &str, event: Any) {
        self.forward(Envelope {
            timestamp: Some(SystemTime::now().into()),
            namespace: namespace.to_owned(),
            topic: topic.to_owned(),
            event: Some(event),
        });
    }

    /// Passes on an envelope that somebody else made, with its own time.
    pub fn forward(&self, envelope: Envelope) {
        // Nobody listening is no failure.
        let _ = self.sender.send(Arc::new(envelope));
    }

    /// Begins to listen.
    pub fn subscribe(&self) -> Subscription {
        self.sender.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::containerd::events::TaskStart;
    use proto::topics;

    #[tokio::test]
    async fn every_subscriber_sees_an_event_once_and_nothing_older() {
        let exchange = Exchange::default();
        exchange.publish("ns", topics::TASK_START, &TaskStart { container_id: "old".into(), pid: 1 });
        let (mut one, mut two) = (exchange.subscribe(), exchange.subscribe());
        exchange.publish("ns", topics::TASK_START, &TaskStart { container_id: "c".into(), pid: 2 });
        for subscription in [&mut one, &mut two] {
            let envelope = subscription.recv().await.expect("one event");
            assert_eq!((envelope.namespace.as_str(), envelope.topic.as_str()), ("ns", "/tasks/start"));
            let event: TaskStart =
                typeurl::unpack(envelope.event.as_ref().expect("event")).expect("TaskStart");
            assert_eq!(event.container_id, "c");
            assert!(subscription.try_recv().is_err(), "a second copy");
        }
    }
}
