//! A container's place in the networks: its namespace, its endpoints and what it published.
//!
//! Order of a start: record on disk → namespace → per endpoint veth, address, DNS, ports → done. The record
//! names everything that may exist, so whatever a killed daemon left behind can be taken away by it.

use std::{
    collections::{BTreeMap, HashSet},
    net::Ipv4Addr,
    path::PathBuf,
};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::{
    Error, Inner, dns,
    error::Step as _,
    files::{self, Files},
    ipam, netlink, netns, publish,
    record::{EndpointSettings, Network, PortBinding, PortMap, Published},
};

/// How a container is attached to networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// The host's own namespace.
    Host,
    /// A namespace with `lo` alone.
    None,
    /// A namespace with an endpoint in each network of the settings.
    Networks,
}

/// `--dns*`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsOptions {
    /// Servers to forward to.
    pub servers: Vec<String>,
    /// Search domains.
    pub search: Vec<String>,
    /// resolv.conf options.
    pub options: Vec<String>,
}

/// What the containers code says of a container that is about to start.
#[derive(Debug, Clone)]
pub struct Request {
    /// 64 hex.
    pub id: String,
    /// Without slash.
    pub name: String,
    /// Config.Hostname.
    pub hostname: String,
    /// Config.Domainname.
    pub domain: String,
    /// Host, none, or networks.
    pub mode: Mode,
    /// Network name or id → settings; used with [`Mode::Networks`].
    pub endpoints: BTreeMap<String, EndpointSettings>,
    /// `80/tcp`, of request and image.
    pub exposed: Vec<String>,
    /// HostConfig.PortBindings.
    pub bindings: BTreeMap<String, Option<Vec<PortBinding>>>,
    /// `-P`
    pub publish_all: bool,
    /// `--dns*`
    pub dns: DnsOptions,
    /// `name:ip`
    pub extra_hosts: Vec<String>,
}

/// A container's networks while it runs.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// Where its namespace is pinned; `None` for the host's.
    pub netns: Option<PathBuf>,
    /// Filled settings by network name.
    pub networks: BTreeMap<String, EndpointSettings>,
    /// NetworkSettings.Ports.
    pub ports: PortMap,
    /// /etc files.
    pub files: Files,
}

/// The record of a started container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) container: String,
    pub(super) name: String,
    pub(super) hostname: String,
    pub(super) domain: String,
    pub(super) host_mode: bool,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) exposed: Vec<String>,
    pub(super) bindings: BTreeMap<String, Vec<PortBinding>>,
    pub(super) dns: DnsOptions,
    pub(super) dns_port: Option<u16>,
    pub(super) extra_hosts: Vec<String>,
    pub(super) link_hosts: Vec<(Ipv4Addr, String)>,
}

/// One interface of a container in one network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Endpoint {
    pub(super) id: String,
    pub(super) network: String,
    pub(super) network_name: String,
    /// The veth's end on the host.
    pub(super) host_link: String,
    /// Its end in the container.
    pub(super) interface: String,
    pub(super) address: Ipv4Net,
    pub(super) gateway: Option<Ipv4Addr>,
    pub(super) mac: netlink::Mac,
    pub(super) settings: EndpointSettings,
    pub(super) published: Vec<Published>,
}

impl Endpoint {
    #[cfg(test)]
    pub(super) fn sample(address: Ipv4Net) -> Self {
        Endpoint {
            id: "e".repeat(64),
            network: "n".repeat(64),
            network_name: "n".into(),
            host_link: "veth0".into(),
            interface: "eth0".into(),
            address,
            gateway: None,
            mac: [2, 0, 0, 0, 0, 1],
            settings: EndpointSettings::default(),
            published: Vec::new(),
        }
    }

    /// The names that lead to this endpoint, as they are in `DNSNames`.
    pub(super) fn names(&self, record: &Record) -> Vec<String> {
        let mut names = vec![record.name.clone()];
        names.extend(self.settings.aliases.iter().flatten().cloned());
        names.push(record.container.chars().take(12).collect());
        if !record.hostname.is_empty() {
            names.push(record.hostname.clone());
        }
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }

    pub(super) fn shown(&self, record: &Record, named: bool) -> EndpointSettings {
        EndpointSettings {
            network_id: self.network.clone(),
            endpoint_id: self.id.clone(),
            gateway: self.gateway.map(|ip| ip.to_string()).unwrap_or_default(),
            ip_address: self.address.addr().to_string(),
            ip_prefix_len: self.address.prefix_len(),
            mac_address: super::mac_text(self.mac),
            dns_names: named.then(|| self.names(record)),
            ..self.settings.clone()
        }
    }
}

impl Inner {
    /// Builds a container's sandbox. On failure nothing of it is left.
    pub(super) fn prepare(&self, request: Request) -> Result<Sandbox, Error> {
        self.release(&request.id)?;
        let mut record = Record {
            container: request.id.clone(),
            name: request.name,
            hostname: request.hostname,
            domain: request.domain,
            host_mode: request.mode == Mode::Host,
            exposed: request.exposed,
            dns: request.dns,
            extra_hosts: request.extra_hosts,
            ..Record::default()
        };
        record.bindings = publish::wanted(&record.exposed, request.bindings, request.publish_all);
        let mut wanted = Vec::new();
        if request.mode == Mode::Networks {
            for (name, settings) in request.endpoints {
                let name = if name == "default" { "bridge" } else { &name };
                wanted.push((self.find(name)?, settings));
            }
            // Highest priority first, then by name: the first carries the default route and is eth0.
            wanted.sort_by(|(a, x), (b, y)| {
                y.gw_priority.cmp(&x.gw_priority).then_with(|| a.name.cmp(&b.name))
            });
        }
        let built = self.build(&mut record, wanted);
        if let Err(error) = built {
            if let Err(undo) = self.release(&request.id) {
                tracing::error!(container = %request.id, error = %undo, "could not undo a failed network set-up");
            }
            return Err(error);
        }
        Ok(self.shown(&record))
    }

    fn build(&self, record: &mut Record, wanted: Vec<(Network, EndpointSettings)>) -> Result<(), Error> {
        self.keep(record)?;
        if record.host_mode {
            return Ok(());
        }
        let path = self.store.netns(&record.container);
        netns::create(&path, netlink::loopback_up)?;
        for (network, settings) in wanted {
            self.join(record, &network, settings)?;
        }
        Ok(())
    }

    /// Adds one endpoint to a sandbox that has its namespace.
    pub(super) fn join(
        &self,
        record: &mut Record,
        network: &Network,
        settings: EndpointSettings,
    ) -> Result<(), Error> {
        let (Some(bridge), Some(subnet)) = (&network.bridge, &network.subnet) else {
            return Err(Error::Forbidden(format!(
                "container cannot be connected to network endpoints: {}",
                network.name
            )));
        };
        let asked = match settings.mac_address.as_str() {
            "" => None,
            text => Some(
                super::parse_mac(text)
                    .ok_or_else(|| Error::Invalid(format!("invalid MAC address {text}")))?,
            ),
        };
        let id = super::random_id();
        let address = self.take_address(network, &settings)?;
        let mac = asked.unwrap_or_else(|| super::mac_of(address));
        let used: HashSet<&str> =
            record.endpoints.iter().map(|endpoint| endpoint.interface.as_str()).collect();
        let interface =
            (0..).map(|n| format!("eth{n}")).find(|name| !used.contains(name.as_str())).unwrap_or_default();
        let mut endpoint = Endpoint {
            host_link: format!("veth{}", &id[..7]),
            id,
            network: network.id.clone(),
            network_name: network.name.clone(),
            interface,
            address: Ipv4Net::new(address, subnet.net.prefix_len()).unwrap_or(subnet.net),
            gateway: (!network.internal).then_some(subnet.gateway),
            mac,
            settings,
            published: Vec::new(),
        };
        record.endpoints.push(endpoint.clone());
        let kept = self.keep(record);
        self.give_back(network, address);
        kept?;

        let path = self.store.netns(&record.container);
        let mtu = network.options.get("com.docker.network.driver.mtu").and_then(|mtu| mtu.parse().ok());
        let isolated = !network.flag("com.docker.network.bridge.enable_icc", true);
        netlink::add_veth(&endpoint.host_link, bridge, &endpoint.interface, mac, mtu, &path, isolated)?;
        let first = !record.endpoints.iter().any(|other| other.id != endpoint.id && other.gateway.is_some());
        let configured = netlink::Interface {
            name: endpoint.interface.clone(),
            address: endpoint.address,
            gateway: endpoint.gateway.filter(|_| first),
        };
        netns::inside(&path, move || netlink::configure(&configured))?;
        if network.has_dns() && record.dns_port.is_none() {
            record.dns_port = Some(self.dns.listen(&record.container, &path, None, dns::servers(record))?);
        }
        if !network.internal {
            self.publish(record, network, &mut endpoint)?;
        }
        if let Some(slot) = record.endpoints.iter_mut().find(|slot| slot.id == endpoint.id) {
            *slot = endpoint;
        }
        self.keep(record)
    }

    /// Takes one endpoint away: ports, then the link.
    pub(super) fn leave(&self, endpoint: &Endpoint) -> Result<(), Error> {
        self.unpublish(endpoint).and(netlink::remove_link(&endpoint.host_link))
    }

    /// Takes a container's sandbox away. Goes on after a failure and reports the first one.
    pub(super) fn release(&self, container: &str) -> Result<(), Error> {
        let Some(record) = self.state().sandboxes.get(container).cloned() else { return Ok(()) };
        self.dns.stop(container);
        let mut result = Ok(());
        for endpoint in &record.endpoints {
            result = result.and(self.leave(endpoint));
        }
        if !record.host_mode {
            result = result.and(netns::remove(&self.store.netns(container)));
        }
        result?;
        self.store.delete_sandbox(container)?;
        self.state().sandboxes.remove(container);
        Ok(())
    }

    /// Record to disk, then to memory.
    pub(super) fn keep(&self, record: &Record) -> Result<(), Error> {
        self.store.put_sandbox(record)?;
        self.state().sandboxes.insert(record.container.clone(), record.clone());
        Ok(())
    }

    /// Reserves an address until the record that has it is kept.
    fn take_address(&self, network: &Network, settings: &EndpointSettings) -> Result<Ipv4Addr, Error> {
        let subnet = network.subnet.as_ref().ok_or_else(|| Error::NotFound(network.name.clone()))?;
        let asked = settings.ipam_config.as_ref().and_then(|ipam| ipam.ipv4_address.as_deref());
        let mut state = self.state();
        let mut taken: HashSet<Ipv4Addr> = state
            .sandboxes
            .values()
            .flat_map(|record| &record.endpoints)
            .filter(|endpoint| endpoint.network == network.id)
            .map(|endpoint| endpoint.address.addr())
            .collect();
        taken.extend(state.reserved.iter().filter(|(id, _)| *id == network.id).map(|(_, ip)| *ip));
        let address = match asked.filter(|text| !text.is_empty()) {
            Some(text) => {
                super::manage::check_static(network)?;
                let ip: Ipv4Addr =
                    text.parse().map_err(|_| Error::Invalid(format!("invalid IPv4 address: {text}")))?;
                if !ipam::usable(subnet, ip) {
                    return Err(Error::Invalid(format!("no configured subnet contains IP address {ip}")));
                }
                if taken.contains(&ip) {
                    return Err(Error::AddressInUse(ip.into()));
                }
                ip
            }
            None => ipam::free_address(subnet, &taken).ok_or_else(|| Error::AddressesExhausted {
                name: network.name.clone(),
                id: network.id.clone(),
            })?,
        };
        state.reserved.insert((network.id.clone(), address));
        Ok(address)
    }

    fn give_back(&self, network: &Network, address: Ipv4Addr) {
        self.state().reserved.remove(&(network.id.clone(), address));
    }

    /// What clients and the containers code see of a record.
    pub(super) fn shown(&self, record: &Record) -> Sandbox {
        let state = self.state();
        let named = |endpoint: &Endpoint| state.networks.get(&endpoint.network).is_some_and(Network::has_dns);
        let networks = record
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.network_name.clone(), endpoint.shown(record, named(endpoint))))
            .collect();
        let names = record.endpoints.iter().any(named);
        let gateway = state
            .networks
            .values()
            .find(|network| network.name == "bridge")
            .and_then(|network| network.subnet.as_ref().map(|subnet| subnet.gateway));
        drop(state);
        Sandbox {
            netns: (!record.host_mode).then(|| self.store.netns(&record.container)),
            networks,
            ports: if record.host_mode { PortMap::new() } else { publish::shown(record) },
            files: files::render(record, names, record.host_mode, gateway),
        }
    }

    /// Connects a running container to one more network.
    pub(super) fn connect(
        &self,
        container: &str,
        network: &str,
        settings: EndpointSettings,
    ) -> Result<Sandbox, Error> {
        let network = self.find(network)?;
        let mut record = self.sandbox(container)?;
        if record.host_mode {
            return Err(Error::Forbidden(
                "container sharing network namespace with another container or host cannot be connected to any other network"
                    .into(),
            ));
        }
        if record.endpoints.iter().any(|endpoint| endpoint.network == network.id) {
            return Err(Error::AlreadyConnected { container: record.name, network: network.name });
        }
        let before = record.clone();
        if let Err(error) = self.join(&mut record, &network, settings) {
            for endpoint in record.endpoints.iter().filter(|e| e.network == network.id) {
                self.leave(endpoint)?;
            }
            self.keep(&before)?;
            return Err(error);
        }
        Ok(self.shown(&record))
    }

    /// Takes a running container out of a network; the default route moves to one that is left.
    pub(super) fn disconnect(&self, container: &str, network: &str) -> Result<Sandbox, Error> {
        let network = self.find(network)?;
        let mut record = self.sandbox(container)?;
        let Some(at) = record.endpoints.iter().position(|endpoint| endpoint.network == network.id) else {
            return Err(Error::NotConnected { container: container.to_owned(), network: network.name });
        };
        self.leave(&record.endpoints[at])?;
        let gone = record.endpoints.remove(at);
        self.keep(&record)?;
        let path = self.store.netns(container);
        if gone.gateway.is_some() {
            let next = record.endpoints.iter().find_map(|endpoint| endpoint.gateway);
            if let Some(gateway) = next {
                netns::inside(&path, move || netlink::set_default_route(Some(gateway)))?;
            }
        }
        if !gone.published.is_empty() {
            let networks: Vec<Network> =
                record.endpoints.iter().filter_map(|endpoint| self.find(&endpoint.network).ok()).collect();
            if let Some(network) = networks.into_iter().find(|network| !network.internal)
                && let Some(mut endpoint) = record.endpoints.iter().find(|e| e.network == network.id).cloned()
            {
                self.publish(&mut record, &network, &mut endpoint)?;
            }
        }
        Ok(self.shown(&record))
    }

    fn sandbox(&self, container: &str) -> Result<Record, Error> {
        let found = self.state().sandboxes.get(container).cloned();
        found.ok_or_else(|| std::io::Error::other("it has none")).step("find network sandbox of", container)
    }
}
