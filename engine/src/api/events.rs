//! `GET /events`.

use std::collections::HashMap;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderValue, header};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::query::text;
use crate::error::{Error, Result};
use crate::events::{Event, Events};
use crate::filters::Filters;
use crate::timestamp;

/// The route.
pub(crate) fn router(events: Events) -> Router {
    Router::new().route("/events", get(stream)).with_state(events)
}

async fn stream(
    State(events): State<Events>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response> {
    let time = |key| {
        text(&query, key)
            .filter(|text| *text != "0")
            .map(timestamp::parse)
            .transpose()
            .map_err(|why| Error::invalid(format!("invalid value for {key}: {why}")))
    };
    let (since, until) = (time("since")?, time("until")?);
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        let given = |key| text(&query, key).unwrap_or_default();
        return Err(Error::invalid(format!(
            "`since` time ({}) cannot be after `until` time ({})",
            given("since"),
            given("until")
        )));
    }
    let filters = Filters::parse(text(&query, "filters"))?;
    let (past, mut coming) =
        events.subscribe(since.or_else(|| until.filter(|until| *until < timestamp::now()).map(|_| 0)));
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(64);
    tokio::spawn(async move {
        let takes = |event: &Event| event.matches(&filters) && until.is_none_or(|until| event.time <= until);
        for event in past.iter().filter(|event| takes(event)) {
            if sender.send(Ok(line(event))).await.is_err() {
                return;
            }
        }
        let left =
            until.map(|until| Duration::from_nanos(u64::try_from(until - timestamp::now()).unwrap_or(0)));
        let deadline = async {
            match left {
                Some(left) => tokio::time::sleep(left).await,
                None => std::future::pending().await,
            }
        };
        let mut deadline = std::pin::pin!(deadline);
        loop {
            tokio::select! {
                event = coming.recv() => match event {
                    Ok(event) if takes(&event) => if sender.send(Ok(line(&event))).await.is_err() { return },
                    Ok(_) => {}
                    Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "a slow listener misses events"),
                    Err(RecvError::Closed) => return,
                },
                () = &mut deadline => return,
                () = sender.closed() => return,
            }
        }
    });
    let mut response =
        Response::new(Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(receiver)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Streams escape what HTML would take for markup.
fn line(event: &Event) -> Bytes {
    let text =
        event.to_json().to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    Bytes::from(text + "\n")
}
