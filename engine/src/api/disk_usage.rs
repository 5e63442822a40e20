//! `/system/df` and `/build/prune`: what takes space.

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use serde_json::{Value, json};

use super::daemon::Daemon;
use super::error::json_body;
use crate::containers::list::ListRequest;
use crate::error::{Error, Result};

/// The routes.
pub(crate) fn router(daemon: Daemon) -> Router {
    Router::new()
        .route("/system/df", get(disk_usage))
        // There is no build cache yet, so there is nothing to free.
        .route(
            "/build/prune",
            post(async || json_body(StatusCode::OK, &json!({"CachesDeleted": null, "SpaceReclaimed": 0}))),
        )
        .with_state(daemon)
}

const TYPES: [&str; 4] = ["container", "image", "volume", "build-cache"];

async fn disk_usage(
    State(daemon): State<Daemon>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response> {
    let wanted: Vec<&str> =
        query.iter().filter(|(key, _)| key == "type").map(|(_, value)| value.as_str()).collect();
    if let Some(unknown) = wanted.iter().find(|kind| !TYPES.contains(kind)) {
        return Err(Error::invalid(format!("unknown object type: {unknown}")));
    }
    let wants = |kind: &str| wanted.is_empty() || wanted.contains(&kind);
    let mut answer = json!({
        "LayersSize": 0, "Images": null, "Containers": null, "Volumes": null, "BuildCache": null,
    });
    if wants("container") {
        let all = ListRequest { all: true, size: true, ..ListRequest::default() };
        answer["Containers"] = daemon.containers.list(&all).await?.into();
    }
    if wants("image") {
        let usage = daemon.images.usage().await?;
        answer["LayersSize"] = usage.layers.into();
        answer["Images"] = encode(&usage.images)?;
    }
    if wants("volume") {
        // A walk over all files.
        let volumes = daemon.volumes.clone();
        let usage = tokio::task::spawn_blocking(move || volumes.usage()).await;
        let usage = usage.map_err(|source| Error::caused("measure volumes", source))??;
        let row = |(volume, size, users)| -> Result<Value> {
            let mut row = encode(&volume)?;
            row["UsageData"] = json!({ "RefCount": users, "Size": size });
            Ok(row)
        };
        answer["Volumes"] = usage.into_iter().map(row).collect::<Result<Vec<_>>>()?.into();
    }
    if wants("build-cache") {
        answer["BuildCache"] = json!([]);
    }
    Ok(json_body(StatusCode::OK, &answer))
}

fn encode(value: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|source| Error::caused("encode an answer", source))
}
