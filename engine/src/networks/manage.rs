//! Creating, finding and removing networks.

use std::{collections::BTreeMap, net::Ipv4Addr};

use ipnet::Ipv4Net;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Error, Inner, ipam, netlink,
    record::{Network, Subnet},
};

/// `POST /networks/create`, as far as it counts here.
#[derive(Debug, Clone, Default)]
pub struct Create {
    /// The name.
    pub name: String,
    /// Empty: bridge.
    pub driver: String,
    /// `--internal`
    pub internal: bool,
    /// `--attachable`
    pub attachable: bool,
    /// `--ipv6`
    pub ipv6: bool,
    /// Empty or `default`.
    pub ipam_driver: String,
    /// IPAM.Options
    pub ipam_options: BTreeMap<String, String>,
    /// IPAM.Config
    pub ipam: Vec<IpamConfig>,
    /// Driver options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// One entry of IPAM.Config, as given.
#[derive(Debug, Clone, Default)]
pub struct IpamConfig {
    /// CIDR.
    pub subnet: String,
    /// CIDR within the subnet.
    pub ip_range: String,
    /// An address of the subnet.
    pub gateway: String,
    /// Addresses that others have.
    pub auxiliary: BTreeMap<String, String>,
}

/// A running container in a network, as inspect shows it.
#[derive(Debug, Clone)]
pub struct Attached {
    /// 64 hex.
    pub container: String,
    /// Its name.
    pub name: String,
    /// 64 hex.
    pub endpoint: String,
    /// `02:42:…`
    pub mac: String,
    /// With prefix length.
    pub address: Ipv4Net,
}

/// Static addresses are for user-defined networks with a chosen subnet.
pub(super) fn check_static(network: &Network) -> Result<(), Error> {
    if network.predefined() {
        return Err(Error::Invalid(
            "user specified IP address is supported on user defined networks only".into(),
        ));
    }
    if !network.subnet.as_ref().is_some_and(|subnet| subnet.chosen) {
        return Err(Error::Invalid(
            "user specified IP address is supported only when connecting to networks with user configured subnets"
                .into(),
        ));
    }
    Ok(())
}

impl Inner {
    /// By full id, name, then id prefix.
    pub(super) fn find(&self, text: &str) -> Result<Network, Error> {
        let state = self.state();
        if let Some(network) = state.networks.get(text) {
            return Ok(network.clone());
        }
        if let Some(network) = state.networks.values().find(|network| network.name == text) {
            return Ok(network.clone());
        }
        let fits: Vec<_> =
            state.networks.values().filter(|n| !text.is_empty() && n.id.starts_with(text)).collect();
        match fits.as_slice() {
            [] => Err(Error::NotFound(text.to_owned())),
            [network] => Ok((*network).clone()),
            several => Err(Error::Ambiguous {
                name: text.to_owned(),
                matches: several.len(),
                by: "based on ID prefix",
            }),
        }
    }

    pub(super) fn create(&self, request: Create) -> Result<Network, Error> {
        let driver = if request.driver.is_empty() || request.driver == "default" {
            "bridge".to_owned()
        } else {
            request.driver
        };
        if request.name.trim().is_empty() || request.name.contains('/') {
            return Err(Error::Invalid(format!("invalid network name \"{}\"", request.name)));
        }
        if matches!(request.name.as_str(), "bridge" | "host" | "none" | "default" | "container") {
            return Err(Error::PredefinedCreate(request.name));
        }
        match driver.as_str() {
            "bridge" => {}
            "host" | "null" => {
                return Err(Error::Forbidden(format!(
                    "only one instance of \"{driver}\" network is allowed"
                )));
            }
            other => return Err(Error::UnknownDriver(other.to_owned())),
        }
        if !matches!(request.ipam_driver.as_str(), "" | "default") {
            return Err(Error::UnknownDriver(request.ipam_driver));
        }
        if request.ipv6 {
            return Err(Error::Invalid("IPv6 networks are not supported by this daemon yet".into()));
        }
        let id = super::random_id();
        let device = match request.options.get("com.docker.network.bridge.name") {
            Some(name) => valid_device(name)?.to_owned(),
            None => format!("br-{}", &id[..12]),
        };
        let asked = parse_ipam(&request.ipam)?;
        let routed = netlink::routed()?;
        let network = {
            let mut state = self.state();
            if state.networks.values().any(|network| network.name == request.name) {
                return Err(Error::NameTaken(request.name));
            }
            if state.networks.values().any(|network| network.bridge.as_ref() == Some(&device)) {
                return Err(Error::Forbidden(format!("bridge name {device} is used by another network")));
            }
            let mut taken: Vec<Ipv4Net> =
                state.networks.values().filter_map(|n| n.subnet.as_ref().map(|s| s.net)).collect();
            let subnet = match asked {
                Some(subnet) if taken.iter().any(|other| ipam::overlaps(other, &subnet.net)) => {
                    return Err(Error::PoolOverlaps);
                }
                Some(subnet) => subnet,
                None => {
                    taken.extend(routed);
                    let net = ipam::free_subnet(&self.config.pools, &taken).ok_or(Error::PoolsExhausted)?;
                    plain(net, false)
                }
            };
            let network = Network {
                id,
                name: request.name,
                created: now(),
                driver,
                internal: request.internal,
                attachable: request.attachable,
                options: request.options,
                labels: request.labels,
                bridge: Some(device),
                subnet: Some(subnet),
                ipam_options: request.ipam_options,
            };
            state.networks.insert(network.id.clone(), network.clone());
            network
        };
        let made = self
            .store
            .put(&network)
            .and_then(|()| self.ensure_device(&network))
            .and_then(|()| self.refresh_firewall());
        if let Err(error) = made {
            if let Err(undo) = self.forget(&network) {
                tracing::error!(network = %network.name, error = %undo, "could not undo a failed network create");
            }
            return Err(error);
        }
        Ok(network)
    }

    pub(super) fn remove(&self, text: &str) -> Result<Network, Error> {
        let network = self.find(text)?;
        if network.predefined() {
            return Err(Error::Predefined(network.name));
        }
        let attached = self.attached(&network.id);
        if !attached.is_empty() {
            let list: Vec<_> = attached
                .iter()
                .map(|one| format!("name:\"{}\" id:\"{}\"", one.name, &one.endpoint[..12]))
                .collect();
            return Err(Error::InUse {
                name: network.name,
                id: network.id,
                endpoints: format!(" ({})", list.join(", ")),
            });
        }
        self.forget(&network)?;
        Ok(network)
    }

    /// Out of memory and kernel first, off the disk last: a crash in between leaves the record, and the next
    /// start makes the network whole again.
    fn forget(&self, network: &Network) -> Result<(), Error> {
        self.state().networks.remove(&network.id);
        let mut result = self.refresh_firewall();
        if let Some(device) = &network.bridge {
            result = result.and(netlink::remove_link(device));
        }
        result.and(self.store.delete(&network.id))
    }

    pub(super) fn attached(&self, network: &str) -> Vec<Attached> {
        let state = self.state();
        let mut attached: Vec<Attached> = state
            .sandboxes
            .values()
            .flat_map(|record| record.endpoints.iter().map(move |endpoint| (record, endpoint)))
            .filter(|(_, endpoint)| endpoint.network == network)
            .map(|(record, endpoint)| Attached {
                container: record.container.clone(),
                name: record.name.clone(),
                endpoint: endpoint.id.clone(),
                mac: super::mac_text(endpoint.mac),
                address: endpoint.address,
            })
            .collect();
        attached.sort_by(|a, b| a.container.cmp(&b.container));
        attached
    }
}

/// Now, as RFC 3339 with nanoseconds.
pub(super) fn now() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default()
}

/// A subnet whose gateway is its first address.
pub(super) fn plain(net: Ipv4Net, chosen: bool) -> Subnet {
    let gateway = net.hosts().next().unwrap_or(net.network());
    Subnet { net: net.trunc(), gateway, range: None, auxiliary: BTreeMap::new(), chosen }
}

/// An interface name that the kernel takes and nft needs no care with.
fn valid_device(name: &str) -> Result<&str, Error> {
    let fits = (1..=15).contains(&name.len())
        && name != "."
        && name != ".."
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if fits { Ok(name) } else { Err(Error::Invalid(format!("invalid bridge name \"{name}\""))) }
}

fn parse_ipam(configs: &[IpamConfig]) -> Result<Option<Subnet>, Error> {
    let invalid = |text: String| Error::Invalid(format!("invalid network config:\n{text}"));
    let mut subnets = Vec::new();
    for config in configs {
        if config.subnet.is_empty() {
            if !config.gateway.is_empty() || !config.ip_range.is_empty() {
                return Err(invalid("no subnet specified for gateway or range".into()));
            }
            continue;
        }
        let cidr = |what: &str, text: &str| {
            text.parse::<Ipv4Net>()
                .map_err(|_| invalid(format!("invalid {what} {text}: invalid CIDR block notation")))
        };
        let net = cidr("subnet", &config.subnet)?;
        if net != net.trunc() {
            return Err(invalid(format!("invalid subnet {net}: it should be {}", net.trunc())));
        }
        let mut subnet = plain(net, true);
        if !config.ip_range.is_empty() {
            let range = cidr("ip-range", &config.ip_range)?;
            if !net.contains(&range) {
                return Err(invalid(format!(
                    "invalid ip-range {range}: parent subnet {net} doesn't contain ip-range"
                )));
            }
            subnet.range = Some(range.trunc());
        }
        let within = |what: &str, text: &str| {
            let ip: Ipv4Addr =
                text.parse().map_err(|_| invalid(format!("invalid {what} {text}: invalid address")))?;
            if net.contains(&ip) {
                Ok(ip)
            } else {
                Err(invalid(format!("invalid {what} {ip}: parent subnet {net} doesn't contain this address")))
            }
        };
        if !config.gateway.is_empty() {
            subnet.gateway = within("gateway", &config.gateway)?;
        }
        for (name, ip) in &config.auxiliary {
            subnet.auxiliary.insert(name.clone(), within("auxiliary address", ip)?);
        }
        subnets.push(subnet);
    }
    match subnets.len() {
        0 | 1 => Ok(subnets.pop()),
        _ => Err(Error::Invalid("bridge networks with several subnets are not supported".into())),
    }
}
