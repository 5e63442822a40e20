//! A container's networks: the request to `networks`, and other containers' namespaces joined.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::config::CreateRequest;
use super::record::Record;
use super::{Container, Containers};
use crate::error::{Error, Kind, Result};
use crate::networks::{self, DnsOptions, EndpointSettings, Mode, PortBinding, Request};

/// A container's namespaces that come from somewhere else.
#[derive(Debug, Default)]
pub(super) struct Joined {
    pub(super) netns: Option<PathBuf>,
    pub(super) others: Vec<(&'static str, PathBuf)>,
    /// /etc files are those of this container.
    pub(super) etc_of: Option<String>,
}

impl Containers {
    /// Containers named by the request must exist: 400, since a 404 would make clients pull.
    pub(super) fn check_joins(&self, request: &CreateRequest) -> Result<()> {
        let host = &request.host_config;
        for mode in [&host.pid_mode, &host.ipc_mode] {
            if let Some(name) = mode.as_deref().and_then(|mode| mode.strip_prefix("container:")) {
                self.registry.find(name).map_err(|error| error.with_kind(Kind::InvalidParameter))?;
            }
        }
        Ok(())
    }

    /// Addresses asked for must be possible; a network that doesn't exist is found at start.
    pub(super) fn check_networks(&self, record: &Record) -> Result<()> {
        for (name, settings) in endpoints(record)? {
            self.networks.check(&name, &settings)?;
        }
        Ok(())
    }

    /// What `networks` has to build; none if the container lives in another's namespace.
    pub(super) fn network_request(&self, record: &Record) -> Result<Option<Request>> {
        let mode = match record.network_mode() {
            "host" => Mode::Host,
            "none" => Mode::None,
            mode if mode.starts_with("container:") => return Ok(None),
            _ if record.config.network_disabled == Some(true) => Mode::None,
            _ => Mode::Networks,
        };
        let host = &record.host_config;
        let bindings = host.port_bindings.iter().flatten().map(|(port, list)| {
            let binding = |binding: &bollard_stubs::models::PortBinding| PortBinding {
                host_ip: binding.host_ip.clone().unwrap_or_default(),
                host_port: binding.host_port.clone().unwrap_or_default(),
            };
            (port.clone(), list.as_ref().map(|list| list.iter().map(binding).collect()))
        });
        Ok(Some(Request {
            id: record.id.clone(),
            name: record.name.clone(),
            hostname: record.config.hostname.clone().unwrap_or_default(),
            domain: record.config.domainname.clone().unwrap_or_default(),
            mode,
            endpoints: endpoints(record)?,
            exposed: record.config.exposed_ports.clone().unwrap_or_default(),
            bindings: bindings.collect(),
            publish_all: host.publish_all_ports == Some(true),
            dns: DnsOptions {
                servers: host.dns.clone().unwrap_or_default(),
                search: host.dns_search.clone().unwrap_or_default(),
                options: host.dns_options.clone().unwrap_or_default(),
            },
            extra_hosts: host.extra_hosts.clone().unwrap_or_default(),
        }))
    }

    /// The namespaces of other containers that this one joins.
    pub(super) fn joined(&self, record: &Record) -> Result<Joined> {
        let mut joined = Joined::default();
        let host = &record.host_config;
        for (kind, mode) in [("pid", &host.pid_mode), ("ipc", &host.ipc_mode)] {
            if let Some(name) = mode.as_deref().and_then(|mode| mode.strip_prefix("container:")) {
                let other = self.running(name, kind)?;
                joined.others.push((kind, format!("/proc/{}/ns/{kind}", other.state().pid).into()));
            }
        }
        if let Some(name) = record.network_mode().strip_prefix("container:") {
            let other = self.running(name, "network")?;
            joined.netns = Some(format!("/proc/{}/ns/net", other.state().pid).into());
            joined.etc_of = Some(other.id.clone());
        }
        Ok(joined)
    }

    fn running(&self, name: &str, kind: &str) -> Result<std::sync::Arc<Container>> {
        let other = self.registry.find(name)?;
        let status = other.state().status;
        if !status.has_process() {
            let text = format!(
                "cannot join {kind} namespace of a non running container: container {} is {}",
                other.read(|record| record.name.clone()),
                status.as_str()
            );
            return Err(Error::conflict(text));
        }
        Ok(other)
    }
}

/// The endpoints by network: the mode's network always, others as given.
pub(super) fn endpoints(record: &Record) -> Result<BTreeMap<String, EndpointSettings>> {
    let mut all = BTreeMap::new();
    for (name, settings) in &record.endpoints {
        let settings = serde_json::to_value(settings).and_then(serde_json::from_value);
        let settings: EndpointSettings = settings.map_err(|source| {
            Error::invalid(format!("invalid endpoint settings for network {name}: {source}"))
        })?;
        all.insert(name.clone(), settings);
    }
    let mode = record.network_mode();
    if !matches!(mode, "host" | "none") && !mode.starts_with("container:") {
        all.entry(mode.to_owned()).or_default();
    }
    Ok(all)
}

#[async_trait::async_trait]
impl crate::api::networks::Members for Containers {
    async fn connect(
        &self,
        name: &str,
        network: &networks::Network,
        settings: EndpointSettings,
    ) -> Result<String> {
        let container = self.registry.find(name)?;
        let _operation = container.operation.lock().await;
        let already = container.record();
        if already.network_mode() == "host" {
            return Err(Error::new(
                Kind::Forbidden,
                "container sharing network namespace with another container or host cannot be connected to any other network",
            ));
        }
        let known = |key: &String| {
            *key == network.name
                || *key == network.id
                || (key.len() >= 12 && network.id.starts_with(key.as_str()))
        };
        if endpoints(&already)?.keys().any(known) {
            return Err(Error::new(
                Kind::Forbidden,
                format!("endpoint with name {} already exists in network {}", already.name, network.name),
            ));
        }
        let stored = serde_json::to_value(&settings).and_then(serde_json::from_value);
        let stored =
            stored.map_err(|source| Error::invalid(format!("invalid endpoint settings: {source}")))?;
        if container.state().status.has_process() {
            let sandbox = self.networks.connect(&container.id, &network.id, settings).await?;
            self.write_hosts(&container.id, &sandbox.files.hosts)?;
        }
        container.update(|record| {
            if record.network_mode() == "none" {
                record.host_config.network_mode = Some(network.name.clone());
            }
            record.endpoints.insert(network.name.clone(), stored);
            Ok(())
        })?;
        Ok(container.id.clone())
    }

    async fn disconnect(&self, name: &str, network: &networks::Network, force: bool) -> Result<String> {
        let container = match self.registry.find(name) {
            Ok(container) => container,
            Err(_) if force => {
                self.networks.disconnect(name, &network.id).await?;
                return Ok(name.to_owned());
            }
            Err(error) => return Err(error),
        };
        let _operation = container.operation.lock().await;
        let keys: Vec<String> = endpoints(&container.record())?.into_keys().collect();
        let known = |key: &&String| [&network.name, &network.id].contains(key);
        let Some(key) = keys.iter().find(known).cloned() else {
            return Err(Error::system(format!(
                "container {} is not connected to the network {}",
                container.id, network.name
            )));
        };
        if container.state().status.has_process() {
            let sandbox = self.networks.disconnect(&container.id, &network.id).await?;
            self.write_hosts(&container.id, &sandbox.files.hosts)?;
        }
        container.update(|record| {
            record.endpoints.remove(&key);
            if record.network_mode() == key {
                // The mode's network comes back with each start unless the mode goes elsewhere.
                let next = record.endpoints.keys().min().cloned().unwrap_or_else(|| "none".into());
                record.host_config.network_mode = Some(next);
            }
            Ok(())
        })?;
        Ok(container.id.clone())
    }
}

impl Containers {
    /// Into the same file: it is bound into the container.
    fn write_hosts(&self, id: &str, text: &str) -> Result<()> {
        let path = self.data_dir(id).join("hosts");
        std::fs::write(&path, text)
            .map_err(|source| Error::caused(format!("write {}", path.display()), source))
    }
}
