//! `/networks`.

use std::{
    collections::{BTreeMap, HashMap},
    net::Ipv4Addr,
    sync::Arc,
};

use async_trait::async_trait;
use axum::{
    Router,
    extract::{Path, Query, State},
    response::Response,
    routing::{get, post},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{body::Json, error::json_body, query::text};
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
    let shown: Vec<Shown> = context
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

/// A network as clients see it. Field order is docker's.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    name: String,
    id: String,
    created: String,
    scope: &'static str,
    driver: String,
    #[serde(rename = "EnableIPv4")]
    ipv4: bool,
    #[serde(rename = "EnableIPv6")]
    ipv6: bool,
    #[serde(rename = "IPAM")]
    ipam: ShownIpam,
    internal: bool,
    attachable: bool,
    ingress: bool,
    config_from: Value,
    config_only: bool,
    containers: BTreeMap<String, Member>,
    options: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownIpam {
    driver: &'static str,
    options: Option<BTreeMap<String, String>>,
    config: Vec<ShownSubnet>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownSubnet {
    subnet: String,
    #[serde(rename = "IPRange", skip_serializing_if = "Option::is_none")]
    ip_range: Option<String>,
    gateway: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    auxiliary_addresses: BTreeMap<String, Ipv4Addr>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Member {
    name: String,
    #[serde(rename = "EndpointID")]
    endpoint: String,
    mac_address: String,
    #[serde(rename = "IPv4Address")]
    ipv4: String,
    #[serde(rename = "IPv6Address")]
    ipv6: String,
}

fn render(context: &Context, network: &Network, full: bool) -> Shown {
    let config = network.subnet.iter().map(|subnet| ShownSubnet {
        subnet: subnet.net.to_string(),
        ip_range: subnet.range.map(|range| range.to_string()),
        gateway: subnet.gateway.to_string(),
        auxiliary_addresses: subnet.auxiliary.clone(),
    });
    let members = if full { context.networks.attached(&network.id) } else { Vec::new() };
    let containers = members.into_iter().map(|member| {
        let shown = Member {
            name: member.name,
            endpoint: member.endpoint,
            mac_address: member.mac,
            ipv4: member.address.to_string(),
            ipv6: String::new(),
        };
        (member.container, shown)
    });
    Shown {
        name: network.name.clone(),
        id: network.id.clone(),
        created: network.created.clone(),
        scope: "local",
        driver: network.driver.clone(),
        ipv4: true,
        ipv6: false,
        ipam: ShownIpam {
            driver: "default",
            options: (!network.ipam_options.is_empty()).then(|| network.ipam_options.clone()),
            config: config.collect(),
        },
        internal: network.internal,
        attachable: network.attachable,
        ingress: false,
        config_from: json!({"Network": ""}),
        config_only: false,
        containers: containers.collect(),
        options: network.options.clone(),
        labels: network.labels.clone(),
    }
}
