//! `containerd.services.events.v1.Events`.

use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt};
use proto::containerd::events as tasks;
use proto::containerd::services::events::v1::{ForwardRequest, PublishRequest, SubscribeRequest};
use proto::containerd::types::Envelope;
use proto::typeurl;
use proto_services::containerd::services::events::v1::events_server::Events;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tonic::{Request, Response, Status};

use crate::error::{Error, Result};
use crate::events::{Exchange, check_topic};
use crate::metadata::filters::Filters;
use crate::request::{Scope, check_identifier};
use crate::runtime::Exits;

/// Publishes and hands out events.
#[derive(Clone, Debug)]
pub struct EventsService {
    exchange: Exchange,
    exits: Arc<Exits>,
}

impl EventsService {
    /// A service over `exchange`; exits of tasks pass `exits`, which knows those already told.
    pub fn new(exchange: Exchange, exits: Arc<Exits>) -> Self {
        Self { exchange, exits }
    }
}

/// The value of an envelope's field in a filter.
fn field(envelope: &Envelope, path: &[&str]) -> Option<String> {
    match path {
        ["namespace"] => Some(envelope.namespace.clone()),
        ["topic"] => Some(envelope.topic.clone()),
        ["event", rest @ ..] => payload_field(envelope.event.as_ref()?, rest),
        _ => None,
    }
}

/// Fields of payloads that clients filter by: the ids.
fn payload_field(event: &prost_types::Any, path: &[&str]) -> Option<String> {
    macro_rules! ids {
        ($($message:ident { $($name:ident),+ })+) => {
            $(if typeurl::is::<tasks::$message>(event) {
                let payload: tasks::$message = typeurl::unpack(event).ok()?;
                return match path {
                    $([name] if *name == stringify!($name) => Some(payload.$name.clone()),)+
                    _ => None,
                };
            })+
        };
    }
    ids! {
        TaskCreate { container_id }
        TaskStart { container_id }
        TaskExit { container_id, id }
        TaskDelete { container_id, id }
        TaskOom { container_id }
        TaskExecAdded { container_id, exec_id }
        TaskExecStarted { container_id, exec_id }
        TaskPaused { container_id }
        TaskResumed { container_id }
        TaskCheckpointed { container_id }
        ContainerCreate { id }
        ContainerUpdate { id }
        ContainerDelete { id }
    }
    None
}

/// Checks an envelope that somebody else made.
pub(super) fn checked(envelope: Option<Envelope>) -> Result<Envelope> {
    let mut envelope = envelope.ok_or_else(|| Error::invalid("envelope is missing"))?;
    if envelope.namespace.is_empty() {
        return Err(Error::invalid("namespace is required in envelope"));
    }
    check_identifier(&envelope.namespace)?;
    check_topic(&envelope.topic)?;
    if envelope.timestamp.is_none() {
        return Err(Error::invalid("timestamp is required in envelope"));
    }
    if let Some(event) = &mut envelope.event {
        // Go compares whole URLs.
        if let Some((_, name)) = event.type_url.rsplit_once("type.googleapis.com/") {
            event.type_url = name.to_owned();
        }
    }
    Ok(envelope)
}

#[tonic::async_trait]
impl Events for EventsService {
    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::of(request.metadata())?;
        let PublishRequest { topic, event } = request.into_inner();
        check_topic(&topic)?;
        let event = event.ok_or_else(|| Error::invalid("event is missing"))?;
        self.exits.forward(Envelope {
            timestamp: Some(std::time::SystemTime::now().into()),
            namespace: scope.namespace,
            topic,
            event: Some(event),
        });
        Ok(Response::new(()))
    }

    async fn forward(&self, request: Request<ForwardRequest>) -> Result<Response<()>, Status> {
        self.exits.forward(checked(request.into_inner().envelope)?);
        Ok(Response::new(()))
    }

    type SubscribeStream = BoxStream<'static, Result<Envelope, Status>>;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let filters = Filters::parse(&request.into_inner().filters)?;
        let events = self.exchange.stream().filter_map(move |item| {
            let answer = match item {
                Ok(envelope) => filters
                    .matches(&|path: &[&str]| field(&envelope, path))
                    .then(|| Ok(Envelope::clone(&envelope))),
                // What was missed can't be told: the subscriber must look for itself.
                Err(BroadcastStreamRecvError::Lagged(missed)) => Some(Err(Status::unavailable(format!(
                    "{missed} events were missed by a slow subscriber"
                )))),
            };
            async { answer }
        });
        // The stream ends with its first error.
        let events = events.scan(false, |failed, item| {
            let over = std::mem::replace(failed, item.is_err());
            async move { (!over).then_some(item) }
        });
        Ok(Response::new(events.boxed()))
    }
}
