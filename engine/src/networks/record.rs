//! The shapes of networks and endpoints: what is stored, what requests carry and what inspect shows.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// One network as it is kept in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// 64 random hex digits.
    pub id: String,
    /// As given; unique.
    pub name: String,
    /// RFC 3339.
    pub created: String,
    /// `bridge`, `host` or `null`.
    pub driver: String,
    /// No way out, no way in.
    pub internal: bool,
    /// Kept for clients; has no effect without swarm.
    pub attachable: bool,
    /// The driver's options, as given.
    pub options: BTreeMap<String, String>,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
    /// The device, for bridges.
    pub bridge: Option<String>,
    /// The IPv4 subnet, for bridges.
    pub subnet: Option<Subnet>,
    /// The IPAM options, as given.
    #[serde(default)]
    pub ipam_options: BTreeMap<String, String>,
}

/// A subnet with its gateway, and where addresses are taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// The subnet.
    pub net: Ipv4Net,
    /// The bridge's own address.
    pub gateway: Ipv4Addr,
    /// Containers' addresses come from here, when given.
    pub range: Option<Ipv4Net>,
    /// Addresses never given out, by name.
    pub auxiliary: BTreeMap<String, Ipv4Addr>,
    /// The user chose the subnet (static addresses are allowed then).
    pub chosen: bool,
}

impl Network {
    /// bridge, host or none: made by the daemon itself.
    #[must_use]
    pub fn predefined(&self) -> bool {
        matches!(self.name.as_str(), "bridge" | "host" | "none")
    }

    /// The default bridge has no names, user-defined ones do.
    #[must_use]
    pub fn has_dns(&self) -> bool {
        self.driver == "bridge" && !self.predefined()
    }

    /// A boolean driver option.
    #[must_use]
    pub fn flag(&self, option: &str, default: bool) -> bool {
        self.options.get(option).map_or(default, |value| matches!(value.as_str(), "true" | "1" | "t" | "T"))
    }
}

/// What a container says about one network, and what inspect shows of it. Field order is docker's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointSettings {
    /// Static addresses.
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<EndpointIpam>,
    /// `container:alias`.
    pub links: Option<Vec<String>>,
    /// Other names in this network.
    pub aliases: Option<Vec<String>>,
    /// Asked for, or what it has.
    pub mac_address: String,
    /// Kept for clients.
    pub driver_opts: Option<BTreeMap<String, String>>,
    /// Highest wins the default route.
    pub gw_priority: i64,
    /// The network's id, never its name.
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    /// Empty unless running.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// Empty unless running.
    pub gateway: String,
    /// Empty unless running.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// 0 unless running.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: u8,
    /// Always empty for now: IPv6 in networks comes later.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// As above.
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    /// As above.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: u8,
    /// Every name it answers to.
    #[serde(rename = "DNSNames")]
    pub dns_names: Option<Vec<String>>,
}

/// Static addresses of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointIpam {
    /// `--ip`.
    #[serde(rename = "IPv4Address", skip_serializing_if = "Option::is_none")]
    pub ipv4_address: Option<String>,
    /// `--ip6`.
    #[serde(rename = "IPv6Address", skip_serializing_if = "Option::is_none")]
    pub ipv6_address: Option<String>,
    /// Kept for clients.
    #[serde(rename = "LinkLocalIPs", skip_serializing_if = "Option::is_none")]
    pub link_local_ips: Option<Vec<String>>,
}

/// One published address of a container's port, as in requests and inspect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortBinding {
    /// Empty: all addresses.
    pub host_ip: String,
    /// A port, a range `8000-8010`, or empty for any.
    pub host_port: String,
}

/// `80/tcp` → where it is published; `None` for exposed only.
pub type PortMap = BTreeMap<String, Option<Vec<PortBinding>>>;

/// A port that is published and allocated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// `tcp`, `udp` or `sctp`.
    pub protocol: Protocol,
    /// The port inside.
    pub container_port: u16,
    /// 0.0.0.0 for all.
    pub host_ip: IpAddr,
    /// The port outside.
    pub host_port: u16,
}

/// A transport with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// `tcp`, `udp`, `sctp`: the word of docker and of nft.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

/// Splits `80/tcp` (or `80`). `None` when it is neither.
#[must_use]
pub(super) fn parse_port(text: &str) -> Option<(u16, Protocol)> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return None,
    };
    port.parse().ok().filter(|port| *port != 0).map(|port| (port, protocol))
}

impl EndpointSettings {
    /// From a client's JSON, where null means absent.
    ///
    /// # Errors
    /// A field has another type.
    pub fn from_json(mut value: serde_json::Value) -> serde_json::Result<Self> {
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|_, field| !field.is_null());
        }
        serde_json::from_value(value)
    }
}

impl TryFrom<&bollard_stubs::models::EndpointSettings> for EndpointSettings {
    type Error = serde_json::Error;

    fn try_from(model: &bollard_stubs::models::EndpointSettings) -> Result<Self, Self::Error> {
        Self::from_json(serde_json::to_value(model)?)
    }
}

impl TryFrom<&EndpointSettings> for bollard_stubs::models::EndpointSettings {
    type Error = serde_json::Error;

    fn try_from(settings: &EndpointSettings) -> Result<Self, Self::Error> {
        serde_json::from_value(serde_json::to_value(settings)?)
    }
}
