//! `/containers`: parse → call → render.

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use tokio_stream::wrappers::ReceiverStream;

use super::error::json_body;
use super::query::{cells, flag, number, text};
use super::version::Version;
use super::{attach, body};
use crate::containers::Containers;
use crate::containers::config::CreateRequest;
use crate::containers::list::ListRequest;
use crate::containers::logs::{LogRequest, frame};
use crate::containers::wait::Condition;
use crate::error::{Error, Result};
use crate::filters::Filters;
use crate::timestamp;

type Parameters = Query<HashMap<String, String>>;

/// The routes.
pub(crate) fn router(containers: Containers) -> Router {
    Router::new()
        .route("/containers/create", post(create))
        .route("/containers/json", get(list))
        .route("/containers/prune", post(prune))
        .route("/containers/{name}", delete(remove))
        .route("/containers/{name}/json", get(inspect))
        .route("/containers/{name}/start", post(start))
        .route("/containers/{name}/stop", post(stop))
        .route("/containers/{name}/restart", post(restart))
        .route("/containers/{name}/kill", post(kill))
        .route("/containers/{name}/pause", post(pause))
        .route("/containers/{name}/unpause", post(unpause))
        .route("/containers/{name}/rename", post(rename))
        .route("/containers/{name}/update", post(update))
        .route("/containers/{name}/wait", post(wait))
        .route("/containers/{name}/resize", post(resize))
        .route("/containers/{name}/top", get(top))
        .route("/containers/{name}/logs", get(logs))
        .route("/containers/{name}/stats", get(stats))
        .route("/containers/{name}/attach", post(attach::attach))
        .with_state(containers)
}

/// Goes on to the end even if the client hangs up.
async fn finish<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work).await.map_err(|source| Error::caused("work on a container", source))?
}

async fn create(
    State(containers): State<Containers>,
    Query(query): Parameters,
    request: Request,
) -> Result<Response> {
    let request = CreateRequest::parse(body::read(request, false).await?)?;
    let name = text(&query, "name").map(str::to_owned);
    let created = finish(async move { containers.create(request, name.as_deref()).await }).await?;
    Ok(json_body(StatusCode::CREATED, &json!({ "Id": created.container.id, "Warnings": created.warnings })))
}

async fn list(State(containers): State<Containers>, Query(query): Parameters) -> Result<Response> {
    let limit =
        number(&query, "limit")?.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
    let request = ListRequest {
        all: flag(&query, "all"),
        limit,
        size: flag(&query, "size"),
        filters: Filters::parse(text(&query, "filters"))?,
    };
    Ok(json_body(StatusCode::OK, &containers.list(&request).await?))
}

async fn prune(State(containers): State<Containers>, Query(query): Parameters) -> Result<Response> {
    let filters = Filters::parse(text(&query, "filters"))?;
    let (removed, freed) = finish(async move { containers.prune(&filters).await }).await?;
    let removed = if removed.is_empty() { serde_json::Value::Null } else { json!(removed) };
    Ok(json_body(StatusCode::OK, &json!({ "ContainersDeleted": removed, "SpaceReclaimed": freed })))
}

async fn remove(
    State(containers): State<Containers>,
    Path(name): Path<String>,
    Query(query): Parameters,
) -> Result<StatusCode> {
    if flag(&query, "link") {
        return Err(Error::invalid("Conflict, cannot remove the default link name of the container"));
    }
    let container = containers.registry.find(&name)?;
    let (force, volumes) = (flag(&query, "force"), flag(&query, "v"));
    finish(async move { containers.remove_as(&container, &name, force, volumes).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn inspect(
    State(containers): State<Containers>,
    Path(name): Path<String>,
    Query(query): Parameters,
    Extension(version): Extension<Version>,
) -> Result<Response> {
    let container = containers.registry.find(&name)?;
    Ok(json_body(StatusCode::OK, &containers.inspect(&container, version.0, flag(&query, "size")).await))
}

async fn start(
    State(containers): State<Containers>,
    Path(name): Path<String>,
    request: Request,
) -> Result<StatusCode> {
    let container = containers.registry.find(&name)?;
    let content = body::collect(request.into_body()).await?;
    // Some clients send an empty object all the same.
    if content.len() > 4 {
        return Err(Error::invalid(
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
        ));
    }
    finish(async move { containers.start(&container).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn stop(
    State(containers): State<Containers>,
    Path(name): Path<String>,
    Query(query): Parameters,
) -> Result<StatusCode> {
    let container = containers.registry.find(&name)?;
    let (timeout, signal) = (number(&query, "t")?, text(&query, "signal").map(str::to_owned));
    finish(async move { containers.stop(&container, timeout, signal.as_deref()).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn restart(
    State(containers): State<Containers>,
    Path(name): Path<String>,
    Query(query): Parameters,
) -> Result<StatusCode> {
    let container = containers.registry.find(&name)?;
    let (timeout, signal) = (number(&query, "t")?, text(&query, "signal").map(str::to_owned));
    finish(async move { containers.restart(&container, timeout, signal.as_deref()).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn kill(
    State(containers): State<Containers>,
    Path(name): Path<String>,
    Query(query): Parameters,
) -> Result<StatusCode> {
    let container = containers.registry.find(&name)?;
    let signal = text(&query, "signal").map(str::to_owned);
    finish(async move { containers.kill(&container, &name, signal.as_deref()).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn pause(State(containers): State<Containers>, Path(name): Path<String>) -> Result<StatusCode> {
    let container = containers.registry.find(&name)?;
    finish(async move { containers.pause(&container).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn unpause(State(containers): State<Containers>, Path(name): Path<String>) -> Result<StatusCode> {
    let container = containers.registry.find(&name)?;
    finish(async move { containers.unpause(&container).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn rename(
    State(containers): State<Containers>,
    Path(name): Path<String>,
    Query(query): Parameters,
) -> Result<StatusCode> {
    let container = containers.registry.find(&name)?;
    let new = text(&query, "name").unwrap_or_default().to_owned();
    finish(async move { containers.rename(&container, &new).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn update(
    State(containers): State<Containers>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response> {
    let container = containers.registry.find(&name)?;
    let body = body::read(request, false).await?;
    finish(async move { containers.update_limits(&container, body).await }).await?;
    Ok(json_body(StatusCode::OK, &json!({ "Warnings": null })))
}

async fn wait(
    State(containers): State<Containers>,
    Path(name): Path<String>,
    Query(query): Parameters,
) -> Result<Response> {
    let condition = Condition::parse(text(&query, "condition"))?;
    let container = containers.registry.find(&name)?;
    // Subscribed before the head goes out; the head goes out at once, or `docker run` waits for ever.
    let end = containers.wait(&container, condition);
    let answer = futures::stream::once(async move {
        let code = end.await;
        Ok::<_, std::io::Error>(Bytes::from(format!("{}\n", json!({ "StatusCode": code }))))
    });
    let mut response = Response::new(Body::from_stream(answer));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn resize(
    State(containers): State<Containers>,
    Path(name): Path<String>,
    Query(query): Parameters,
) -> Result<StatusCode> {
    let container = containers.registry.find(&name)?;
    let (height, width) = (cells(&query, "h")?, cells(&query, "w")?);
    containers.resize(&container, height, width).await?;
    Ok(StatusCode::OK)
}

async fn top(
    State(containers): State<Containers>,
    Path(name): Path<String>,
    Query(query): Parameters,
) -> Result<Response> {
    let container = containers.registry.find(&name)?;
    let table = containers.top(&container, text(&query, "ps_args").unwrap_or("-ef")).await?;
    Ok(json_body(StatusCode::OK, &json!({ "Processes": table.rows, "Titles": table.titles })))
}

async fn logs(
    State(containers): State<Containers>,
    Path(name): Path<String>,
    Query(query): Parameters,
    Extension(version): Extension<Version>,
) -> Result<Response> {
    let container = containers.registry.find(&name)?;
    // Rubbish is a 500 here, as it is in dockerd.
    let time = |key| {
        text(&query, key)
            .map(timestamp::parse)
            .transpose()
            .map(|time| time.filter(|time| *time != 0))
            .map_err(Error::system)
    };
    let request = LogRequest {
        stdout: flag(&query, "stdout"),
        stderr: flag(&query, "stderr"),
        since: time("since")?,
        until: time("until")?,
        tail: text(&query, "tail").and_then(|tail| tail.parse().ok()),
        follow: flag(&query, "follow"),
        timestamps: flag(&query, "timestamps"),
        details: flag(&query, "details"),
    };
    let tty = container.read(crate::containers::record::Record::tty);
    let entries = ReceiverStream::new(containers.logs(&container, request).await?);
    let pieces = entries
        .map(move |(output, bytes)| Ok::<_, std::io::Error>(if tty { bytes } else { frame(output, &bytes) }));
    let mut response = Response::new(Body::from_stream(pieces));
    if version >= Version(42) {
        let kind = if tty {
            "application/vnd.docker.raw-stream"
        } else {
            "application/vnd.docker.multiplexed-stream"
        };
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    Ok(response)
}

async fn stats(
    State(containers): State<Containers>,
    Path(name): Path<String>,
    Query(query): Parameters,
) -> Result<Response> {
    const PERIOD: std::time::Duration = std::time::Duration::from_secs(1);
    let container = containers.registry.find(&name)?;
    let stream = text(&query, "stream").is_none() || flag(&query, "stream");
    let first = containers.sample(&container).await?;
    if !stream {
        if flag(&query, "one-shot") || !container.state().status.has_process() {
            return Ok(json_body(StatusCode::OK, &first.document(&container, None)));
        }
        // Two samples, so that rates can be told.
        tokio::time::sleep(PERIOD).await;
        let second = containers.sample(&container).await?;
        return Ok(json_body(StatusCode::OK, &second.document(&container, Some(&first))));
    }
    let samples = futures::stream::unfold((None, Some(first)), move |(before, ready)| {
        let (containers, container) = (containers.clone(), container.clone());
        async move {
            let sample = match ready {
                Some(sample) => sample,
                None => {
                    tokio::time::sleep(PERIOD).await;
                    if container.watch().borrow().removed {
                        return None;
                    }
                    containers.sample(&container).await.ok()?
                }
            };
            let line = format!("{}\n", sample.document(&container, before.as_ref()));
            Some((Ok::<_, std::io::Error>(Bytes::from(line)), (Some(sample), None)))
        }
    });
    let mut response = Body::from_stream(samples).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
