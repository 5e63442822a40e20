//! The ports of a container on the host: which are asked for, which are taken, who leads to them.

use std::{
    collections::{BTreeMap, HashSet},
    net::Ipv4Addr,
};

use super::{
    Error, Inner,
    error::Step as _,
    firewall::{self, Forward},
    ports,
    record::{Network, PortBinding, PortMap, parse_port},
    sandbox::{Endpoint, Record},
};

impl Endpoint {
    pub(super) fn forwards(&self) -> Vec<Forward> {
        let to = self.address.addr();
        // Ports of IPv6 addresses are the proxy's.
        let by_rule = self.published.iter().filter(|port| port.host_ip.is_ipv4());
        by_rule.map(|port| Forward { port: port.clone(), to }).collect()
    }
}

impl Inner {
    /// Publishes what the record asks for through this endpoint, if no other does already.
    pub(super) fn publish(
        &self,
        record: &mut Record,
        network: &Network,
        endpoint: &mut Endpoint,
    ) -> Result<(), Error> {
        if record.endpoints.iter().any(|other| !other.published.is_empty()) {
            return Ok(());
        }
        let default_ip = network
            .options
            .get("com.docker.network.bridge.host_binding_ipv4")
            .and_then(|ip| ip.parse().ok())
            .unwrap_or(Ipv4Addr::UNSPECIFIED);
        let bindings = record.bindings.clone();
        let result = self.allocate(&bindings, default_ip, endpoint).map_err(|reason| Error::Port {
            endpoint: record.name.clone(),
            id: endpoint.id.clone(),
            reason,
        });
        let result = result.and_then(|()| {
            // On disk before it is in the kernel.
            if let Some(slot) = record.endpoints.iter_mut().find(|slot| slot.id == endpoint.id) {
                slot.published.clone_from(&endpoint.published);
            }
            self.keep(record)?;
            let _change = self.firewall.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            firewall::publish(&endpoint.forwards())?;
            self.carry(endpoint)
        });
        if result.is_err() {
            for port in endpoint.published.drain(..) {
                self.proxy.stop(&port);
                self.ports.release(&port);
            }
            if let Some(slot) = record.endpoints.iter_mut().find(|slot| slot.id == endpoint.id) {
                slot.published.clear();
            }
            self.keep(record)?;
        }
        result
    }

    /// Takes host ports; what was taken is in the endpoint, also after a failure. The error is docker's reason.
    fn allocate(
        &self,
        wanted: &BTreeMap<String, Vec<PortBinding>>,
        default_ip: Ipv4Addr,
        endpoint: &mut Endpoint,
    ) -> Result<(), String> {
        for (port, bindings) in wanted {
            let Some((container_port, protocol)) = parse_port(port) else { continue };
            for binding in bindings {
                let published = self.ports.allocate(protocol, container_port, binding, default_ip)?;
                let host_port = published.host_port.to_string();
                endpoint.published.push(published);
                // Every address means those of IPv6 too.
                if binding.host_ip.is_empty() && default_ip.is_unspecified() && ports::has_ipv6() {
                    let twin = PortBinding { host_ip: "::".into(), host_port };
                    endpoint.published.push(self.ports.allocate(
                        protocol,
                        container_port,
                        &twin,
                        default_ip,
                    )?);
                }
            }
        }
        Ok(())
    }

    /// Serves the endpoint's ports on IPv6 addresses; not those that a foreign process holds.
    pub(super) fn carry(&self, endpoint: &Endpoint) -> Result<(), Error> {
        for port in endpoint.published.iter().filter(|port| port.host_ip.is_ipv6()) {
            let Some(socket) = self.ports.socket(port) else { continue };
            let served = self.proxy.serve(port, socket, endpoint.address.addr());
            served.step("serve port", format!("[{}]:{}", port.host_ip, port.host_port))?;
        }
        Ok(())
    }

    /// Takes an endpoint's ports back.
    pub(super) fn unpublish(&self, endpoint: &Endpoint) -> Result<(), Error> {
        if endpoint.published.is_empty() {
            return Ok(());
        }
        let _change = self.firewall.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let unpublished = firewall::unpublish(&endpoint.forwards());
        for port in &endpoint.published {
            self.proxy.stop(port);
            self.ports.release(port);
        }
        unpublished
    }
}

/// The bindings that count: of ports that are also exposed, and all exposed ones with `-P`.
pub(super) fn wanted(
    exposed: &[String],
    bindings: BTreeMap<String, Option<Vec<PortBinding>>>,
    publish_all: bool,
) -> BTreeMap<String, Vec<PortBinding>> {
    let mut wanted = BTreeMap::new();
    let normal =
        |text: &str| parse_port(text).map(|(port, protocol)| format!("{port}/{}", protocol.as_str()));
    let exposed: HashSet<String> = exposed.iter().filter_map(|port| normal(port)).collect();
    for (port, list) in bindings {
        let Some(port) = normal(&port).filter(|port| exposed.contains(port)) else { continue };
        let list = list.filter(|list| !list.is_empty()).unwrap_or_else(|| vec![PortBinding::default()]);
        wanted.insert(port, list);
    }
    if publish_all {
        for port in exposed {
            wanted.entry(port).or_insert_with(|| vec![PortBinding::default()]);
        }
    }
    wanted
}

/// `NetworkSettings.Ports` of a running container.
pub(super) fn shown(record: &Record) -> PortMap {
    let mut ports = PortMap::new();
    for port in &record.exposed {
        if let Some((port, protocol)) = parse_port(port) {
            ports.insert(format!("{port}/{}", protocol.as_str()), None);
        }
    }
    for published in record.endpoints.iter().flat_map(|endpoint| &endpoint.published) {
        let key = format!("{}/{}", published.container_port, published.protocol.as_str());
        ports.entry(key).or_default().get_or_insert_default().push(PortBinding {
            host_ip: published.host_ip.to_string(),
            host_port: published.host_port.to_string(),
        });
    }
    ports
}
