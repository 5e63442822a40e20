//! `/images`.

use std::collections::HashMap;

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    response::Response,
    routing::{get, post},
};
use futures::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use super::{
    error::{json_body, message},
    query::{flag, text},
    version::{self, Version},
};
use crate::{
    error::{Error, Kind, Result},
    filters::Filters,
    images::{Images, Line, Pull, Pulled, RegistryAuth},
};

type Parameters = Query<HashMap<String, String>>;

/// The routes. Names hold slashes, so everything behind `/images/` is split by hand.
pub fn router(images: Images) -> Router {
    Router::new()
        .route("/images/json", get(list))
        .route("/images/create", post(create))
        .route("/images/prune", post(prune))
        .route("/images/{*rest}", get(read).post(write).delete(remove))
        .with_state(images)
}

async fn list(
    State(images): State<Images>,
    version: Option<Extension<Version>>,
    Query(query): Parameters,
) -> Result<Response> {
    let version = version.map_or(version::MAXIMUM, |Extension(version)| version);
    let rows = images.list(&Filters::parse(text(&query, "filters"))?).await?;
    let mut shown = serde_json::to_value(rows).map_err(|source| Error::caused("encode images", source))?;
    for row in shown.as_array_mut().into_iter().flatten().filter_map(|row| row.as_object_mut()) {
        if version < Version(51) {
            row.insert("Containers".into(), (-1).into());
        }
        if version < Version(44) {
            row.insert("VirtualSize".into(), row.get("Size").cloned().unwrap_or_default());
        }
        if version < Version(43) {
            for (key, none) in [("RepoTags", "<none>:<none>"), ("RepoDigests", "<none>@<none>")] {
                if row.get(key).is_some_and(|list| list == &json!([])) {
                    row.insert(key.into(), json!([none]));
                }
            }
        }
    }
    Ok(json_body(StatusCode::OK, &shown))
}

async fn create(
    State(images): State<Images>,
    headers: HeaderMap,
    Query(query): Parameters,
) -> Result<Response> {
    let Some(name) = text(&query, "fromImage") else {
        return Err(Error::new(Kind::NotImplemented, "import is not supported by this daemon yet"));
    };
    let auth = headers.get("x-registry-auth").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let pull = Pull {
        name: name.to_owned(),
        tag: text(&query, "tag").unwrap_or_default().to_owned(),
        platform: text(&query, "platform").unwrap_or_default().to_owned(),
        auth: RegistryAuth::parse(auth),
    };
    let pulled = images.pull(pull).await?;
    let lines = stream::unfold(pulled, |mut pulled: Pulled| async move {
        let line = pulled.line().await?;
        Some((Ok::<_, std::convert::Infallible>(encode(&line)), pulled))
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// One line of a stream: HTML characters escaped, CR LF at its end.
fn encode(line: &Line) -> Bytes {
    let text = serde_json::to_string(line).unwrap_or_default();
    let mut escaped = String::with_capacity(text.len() + 2);
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            other => escaped.push(other),
        }
    }
    escaped.push_str("\r\n");
    escaped.into()
}

async fn prune(State(images): State<Images>, Query(query): Parameters) -> Result<Response> {
    let (removed, freed) = images.prune(&Filters::parse(text(&query, "filters"))?).await?;
    let removed = (!removed.is_empty()).then_some(removed);
    Ok(json_body(StatusCode::OK, &json!({"ImagesDeleted": removed, "SpaceReclaimed": freed})))
}

async fn read(
    State(images): State<Images>,
    version: Option<Extension<Version>>,
    Path(rest): Path<String>,
) -> Result<Response> {
    let version = version.map_or(version::MAXIMUM, |Extension(version)| version);
    if let Some(name) = rest.strip_suffix("/json") {
        return Ok(json_body(StatusCode::OK, &images.inspect(name, version.0).await?));
    }
    if let Some(name) = rest.strip_suffix("/history") {
        return Ok(json_body(StatusCode::OK, &images.history(name).await?));
    }
    Ok(message(StatusCode::NOT_FOUND, "page not found"))
}

async fn write(
    State(images): State<Images>,
    Path(rest): Path<String>,
    Query(query): Parameters,
) -> Result<Response> {
    let Some(name) = rest.strip_suffix("/tag") else {
        return Ok(message(StatusCode::NOT_FOUND, "page not found"));
    };
    let (repository, tag) =
        (text(&query, "repo").unwrap_or_default(), text(&query, "tag").unwrap_or_default());
    images.tag(name, repository, tag).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

async fn remove(
    State(images): State<Images>,
    Path(name): Path<String>,
    Query(query): Parameters,
) -> Result<Response> {
    let removed = images.remove(&name, flag(&query, "force")).await?;
    Ok(json_body(StatusCode::OK, &removed))
}
