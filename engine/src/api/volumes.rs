//! `/volumes`.

use std::collections::{BTreeMap, HashMap};

use axum::{
    Extension, Router,
    extract::{Path, Query, State},
    response::Response,
    routing::{get, post},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::{
    body::Json,
    error::json_body,
    query::{flag, text},
    version::Version,
};
use crate::{
    error::Result,
    filters::Filters,
    volumes::{Create, Volumes},
};

type Parameters = Query<HashMap<String, String>>;

/// The routes.
pub fn router(volumes: Volumes) -> Router {
    Router::new()
        .route("/volumes", get(list))
        .route("/volumes/create", post(create))
        .route("/volumes/prune", post(prune))
        .route("/volumes/{name}", get(inspect).delete(remove))
        .with_state(volumes)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Body {
    name: Option<String>,
    driver: Option<String>,
    driver_opts: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
}

async fn list(State(volumes): State<Volumes>, Query(query): Parameters) -> Result<Response> {
    let filters = Filters::parse(text(&query, "filters"))?;
    let volumes = volumes.list(&filters)?;
    Ok(json_body(StatusCode::OK, &json!({"Volumes": volumes, "Warnings": null})))
}

async fn create(State(volumes): State<Volumes>, Json(body): Json<Body>) -> Result<Response> {
    let volume = volumes.create(Create {
        name: body.name.unwrap_or_default(),
        driver: body.driver.unwrap_or_default(),
        options: body.driver_opts.unwrap_or_default(),
        labels: body.labels.unwrap_or_default(),
    })?;
    Ok(json_body(StatusCode::CREATED, &volume))
}

async fn inspect(State(volumes): State<Volumes>, Path(name): Path<String>) -> Result<Response> {
    Ok(json_body(StatusCode::OK, &volumes.get(&name)?))
}

async fn remove(
    State(volumes): State<Volumes>,
    Path(name): Path<String>,
    Query(query): Parameters,
) -> Result<StatusCode> {
    volumes.remove(&name, flag(&query, "force"))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn prune(
    State(volumes): State<Volumes>,
    version: Option<Extension<Version>>,
    Query(query): Parameters,
) -> Result<Response> {
    let filters = Filters::parse(text(&query, "filters"))?;
    // Up to 1.41 every unused volume goes, later only anonymous ones.
    let all = version.is_some_and(|Extension(version)| version < Version(42));
    let (removed, freed) = volumes.prune(&filters, all)?;
    Ok(json_body(StatusCode::OK, &json!({"VolumesDeleted": removed, "SpaceReclaimed": freed})))
}
