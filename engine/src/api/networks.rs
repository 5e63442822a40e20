//! `/networks`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use axum::{
    Json, Router,
    extract::{Path, Query, State},
    response::Response,
    routing::{get, post},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    error::json_body,
    query::{flag, text},
};
use crate::{
    error::{Error, Result},
    events::Events,
    filters::Filters,
    networks::{Create, EndpointSettings, IpamConfig, Network, Networks},
    timestamp,
};

/// What connecting needs of the containers: their records change, and running ones their sandbox.
#[async_trait]
pub trait Members: Send + Sync {
    /// Puts the network into the container's record and, if it runs, an endpoint into its sandbox. The
    /// answer is the container's id.
    async fn connect(&self, container: &str, network: &Network, settings: EndpointSettings)
    -> Result<String>;
    /// The reverse; `force` also for a container that is gone.
    async fn disconnect(&self, container: &str, network: &Network, force: bool) -> Result<String>;
}

/// What the handlers need.
#[derive(Clone)]
pub struct Context {
    /// The networks.
    pub networks: Networks,
    /// Where to tell.
    pub events: Events,
    /// The containers.
    pub members: Arc<dyn Members>,
}

type Parameters = Query<HashMap<String, String>>;

/// The routes.
pub fn router(context: Context) -> Router {
    Router::new()
        .route("/networks", get(list))
        .route("/networks/create", post(create))
        .route("/networks/prune", post(prune))
        .route("/networks/{id}", get(inspect).delete(remove))
        .route("/networks/{id}/connect", post(connect))
        .route("/networks/{id}/disconnect", post(disconnect))
        .with_state(context)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CreateBody {
    name: String,
    driver: Option<String>,
    internal: Option<bool>,
    attachable: Option<bool>,
    #[serde(rename = "EnableIPv6")]
    ipv6: Option<bool>,
    #[serde(rename = "IPAM")]
    ipam: Option<Ipam>,
    options: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Ipam {
    driver: Option<String>,
    options: Option<BTreeMap<String, String>>,
    config: Option<Vec<IpamEntry>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct IpamEntry {
    subnet: Option<String>,
    #[serde(rename = "IPRange")]
    ip_range: Option<String>,
    gateway: Option<String>,
    auxiliary_addresses: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct MemberBody {
    container: String,
    force: bool,
    endpoint_config: Option<Value>,
}

async fn create(State(context): State<Context>, Json(body): Json<CreateBody>) -> Result<Response> {
    let ipam = body.ipam.unwrap_or_default();
    let entry = |entry: IpamEntry| IpamConfig {
        subnet: entry.subnet.unwrap_or_default(),
        ip_range: entry.ip_range.unwrap_or_default(),
        gateway: entry.gateway.unwrap_or_default(),
        auxiliary: entry.auxiliary_addresses.unwrap_or_default(),
    };
    let request = Create {
        name: body.name,
        driver: body.driver.unwrap_or_default(),
        internal: body.internal.unwrap_or_default(),
        attachable: body.attachable.unwrap_or_default(),
        ipv6: body.ipv6.unwrap_or_default(),
        ipam_driver: ipam.driver.unwrap_or_default(),
        ipam_options: ipam.options.unwrap_or_default(),
        ipam: ipam.config.unwrap_or_default().into_iter().map(entry).collect(),
        options: body.options.unwrap_or_default(),
        labels: body.labels.unwrap_or_default(),
    };
    let network = context.networks.create(request).await?;
    tell(&context, "create", &network, None);
    Ok(json_body(StatusCode::CREATED, &json!({"Id": network.id, "Warning": ""})))
}

async fn list(State(context): State<Context>, Query(query): Parameters) -> Result<Response> {
    let filters = Filters::parse(text(&query, "filters"))?;
    filters.only(&["driver", "id", "idOrName", "label", "label!", "name", "scope", "type", "dangling"])?;
    let dangling = filters.flag("dangling")?;
    let shown: Vec<Value> = context
        .networks
        .list()
        .iter()
        .filter(|network| {
            filters.any("name", |part| network.name.contains(part.as_str()))
                && filters.any("id", |part| network.id.starts_with(part.as_str()))
                && filters.any("idOrName", |text| network.id == *text || network.name == *text)
                && filters.any("driver", |driver| network.driver == *driver)
                && filters.any("scope", |scope| scope == "local")
                && filters.any("type", |kind| (kind == "builtin") == network.predefined())
                && filters.labels(&network.labels.clone().into_iter().collect())
                && dangling.is_none_or(|wanted| {
                    let unused = !network.predefined() && context.networks.attached(&network.id).is_empty();
                    unused == wanted
                })
        })
        .map(|network| render(&context, network, false))
        .collect();
    Ok(json_body(StatusCode::OK, &shown))
}

async fn inspect(State(context): State<Context>, Path(id): Path<String>) -> Result<Response> {
    let network = context.networks.get(&id)?;
    Ok(json_body(StatusCode::OK, &render(&context, &network, true)))
}

async fn remove(State(context): State<Context>, Path(id): Path<String>) -> Result<StatusCode> {
    let network = context.networks.remove(&id).await?;
    tell(&context, "destroy", &network, None);
    Ok(StatusCode::NO_CONTENT)
}

async fn connect(
    State(context): State<Context>,
    Path(id): Path<String>,
    Json(body): Json<MemberBody>,
) -> Result<StatusCode> {
    let network = context.networks.get(&id)?;
    let settings = match body.endpoint_config {
        None | Some(Value::Null) => EndpointSettings::default(),
        Some(value) => {
            EndpointSettings::from_json(value).map_err(|error| Error::invalid(error.to_string()))?
        }
    };
    context.networks.check(&network.id, &settings)?;
    let container = context.members.connect(&body.container, &network, settings).await?;
    tell(&context, "connect", &network, Some(&container));
    Ok(StatusCode::OK)
}

async fn disconnect(
    State(context): State<Context>,
    Path(id): Path<String>,
    Json(body): Json<MemberBody>,
) -> Result<StatusCode> {
    let network = context.networks.get(&id)?;
    let container = context.members.disconnect(&body.container, &network, body.force).await?;
    tell(&context, "disconnect", &network, Some(&container));
    Ok(StatusCode::OK)
}

async fn prune(State(context): State<Context>, Query(query): Parameters) -> Result<Response> {
    let filters = Filters::parse(text(&query, "filters"))?;
    filters.only(&["label", "label!", "until"])?;
    let until = filters
        .get("until")
        .first()
        .map(|text| timestamp::parse(text))
        .transpose()
        .map_err(Error::invalid)?;
    let mut removed = Vec::new();
    for network in context.networks.list() {
        let old =
            until.is_none_or(|until| timestamp::parse(&network.created).is_ok_and(|created| created < until));
        let unused = !network.predefined() && context.networks.attached(&network.id).is_empty();
        if unused && old && filters.labels(&network.labels.clone().into_iter().collect()) {
            match context.networks.remove(&network.id).await {
                Ok(network) => {
                    tell(&context, "destroy", &network, None);
                    removed.push(network.name);
                }
                Err(error) => tracing::warn!(network = network.name, %error, "not pruned"),
            }
        }
    }
    let _ = flag(&query, "force");
    Ok(json_body(StatusCode::OK, &json!({ "NetworksDeleted": removed })))
}

fn tell(context: &Context, action: &str, network: &Network, container: Option<&str>) {
    let mut attributes = HashMap::from([
        ("name".to_owned(), network.name.clone()),
        ("type".to_owned(), network.driver.clone()),
    ]);
    if let Some(container) = container {
        attributes.insert("container".into(), container.to_owned());
    }
    context.events.publish("network", action, &network.id, attributes);
}

/// A network in docker's field order.
fn render(context: &Context, network: &Network, full: bool) -> Value {
    let config: Vec<Value> = network
        .subnet
        .iter()
        .map(|subnet| {
            let mut entry = Map::new();
            entry.insert("Subnet".into(), subnet.net.to_string().into());
            if let Some(range) = subnet.range {
                entry.insert("IPRange".into(), range.to_string().into());
            }
            entry.insert("Gateway".into(), subnet.gateway.to_string().into());
            if !subnet.auxiliary.is_empty() {
                entry.insert("AuxiliaryAddresses".into(), json!(subnet.auxiliary));
            }
            entry.into()
        })
        .collect();
    let mut containers = Map::new();
    if full {
        for member in context.networks.attached(&network.id) {
            let shown = json!({
                "Name": member.name,
                "EndpointID": member.endpoint,
                "MacAddress": member.mac,
                "IPv4Address": member.address.to_string(),
                "IPv6Address": "",
            });
            containers.insert(member.container, shown);
        }
    }
    let options = (!network.ipam_options.is_empty()).then_some(&network.ipam_options);
    json!({
        "Name": network.name,
        "Id": network.id,
        "Created": network.created,
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": true,
        "EnableIPv6": false,
        "IPAM": {"Driver": "default", "Options": options, "Config": config},
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": false,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": false,
        "Containers": containers,
        "Options": network.options,
        "Labels": network.labels,
    })
}
