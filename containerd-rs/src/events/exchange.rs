//! The exchange: publishers on one side, subscribers on the other.
//!
//! There is no replay, but for one thing: what happened while the daemon was away is found when it
//! starts, before the clients that lost it have come back. Such late news is kept for a while and
//! opens every stream that begins meanwhile, so that each hears it once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures::stream::{self, Stream, StreamExt};
use prost::{Message, Name};
use prost_types::Any;
use proto::containerd::types::Envelope;
use proto::typeurl;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

/// Envelopes a slow subscriber may lag behind before it loses its stream.
const BACKLOG: usize = 8192;
/// How long late news is kept for clients that come back.
const LATE: Duration = Duration::from_secs(30);

/// Late news, each with the time it was told.
type Late = Vec<(Instant, Arc<Envelope>)>;

/// Hands every envelope to every subscription; publishing never waits.
#[derive(Clone, Debug)]
pub struct Exchange {
    sender: broadcast::Sender<Arc<Envelope>>,
    late: Arc<Mutex<Late>>,
}

/// The envelopes published since the subscription began.
pub type Subscription = broadcast::Receiver<Arc<Envelope>>;

impl Default for Exchange {
    fn default() -> Self {
        Self { sender: broadcast::channel(BACKLOG).0, late: Arc::default() }
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

    /// Passes on news from before the daemon's start: those who come back soon hear it too.
    pub fn forward_late(&self, envelope: Envelope) {
        let envelope = Arc::new(envelope);
        // Under the lock, so that a stream that begins now hears it once.
        let mut late = self.late();
        if late.len() < BACKLOG {
            late.push((Instant::now(), envelope.clone()));
        }
        let _ = self.sender.send(envelope);
    }

    /// Begins to listen to what is published from now on.
    pub fn subscribe(&self) -> Subscription {
        self.sender.subscribe()
    }

    /// The late news that is still kept, then everything from now on.
    pub fn stream(&self) -> impl Stream<Item = Result<Arc<Envelope>, BroadcastStreamRecvError>> + use<> {
        let mut late = self.late();
        late.retain(|(since, _)| since.elapsed() < LATE);
        let kept: Vec<_> = late.iter().map(|(_, envelope)| Ok(envelope.clone())).collect();
        stream::iter(kept).chain(BroadcastStream::new(self.sender.subscribe()))
    }

    fn late(&self) -> MutexGuard<'_, Late> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[tokio::test]
    async fn late_news_reaches_those_there_and_those_who_come_back_once_each() {
        let exchange = Exchange::default();
        let mut there = Box::pin(exchange.stream());
        exchange.publish("ns", "/x/ordinary", &TaskStart::default());
        exchange.forward_late(Envelope { topic: "/x/late".into(), ..Envelope::default() });
        let mut back = Box::pin(exchange.stream());
        exchange.publish("ns", "/x/end", &TaskStart::default());
        for (stream, wanted) in
            [(&mut there, &["/x/ordinary", "/x/late", "/x/end"][..]), (&mut back, &["/x/late", "/x/end"])]
        {
            for topic in wanted {
                assert_eq!(stream.next().await.expect("open").expect("no lag").topic, *topic);
            }
        }
    }
}
