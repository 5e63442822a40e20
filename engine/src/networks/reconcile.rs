//! What happens at a start of the daemon: records against the kernel, and the way out.

use std::collections::{BTreeMap, HashSet};

use super::{Error, Inner, dns, firewall, ipam, manage, netlink, netns, record::Network};

impl Inner {
    /// Reads the records and makes the predefined networks where they are missing.
    pub(super) fn load(&self) -> Result<(), Error> {
        let mut networks = self.store.networks()?;
        for (name, driver) in [("bridge", "bridge"), ("host", "host"), ("none", "null")] {
            let known = networks.iter().position(|network| network.name == name);
            let wanted = (name == "bridge").then_some(self.config.bip).flatten();
            match known {
                Some(at) => {
                    let changed = wanted.is_some_and(|bip| {
                        networks[at]
                            .subnet
                            .as_ref()
                            .is_none_or(|s| s.net != bip.trunc() || s.gateway != bip.addr())
                    });
                    if changed && let Some(bip) = wanted {
                        let subnet = manage::plain(bip, false);
                        networks[at].subnet = Some(super::Subnet { gateway: bip.addr(), ..subnet });
                        self.store.put(&networks[at])?;
                    }
                }
                None => {
                    let network = self.predefined(name, driver, &networks)?;
                    self.store.put(&network)?;
                    networks.push(network);
                }
            }
        }
        let records = self.store.sandboxes()?;
        let mut state = self.state();
        state.networks = networks.into_iter().map(|network| (network.id.clone(), network)).collect();
        state.sandboxes = records.into_iter().map(|record| (record.container.clone(), record)).collect();
        Ok(())
    }

    fn predefined(&self, name: &str, driver: &str, others: &[Network]) -> Result<Network, Error> {
        let mut network = Network {
            id: super::random_id(),
            name: name.to_owned(),
            created: manage::now(),
            driver: driver.to_owned(),
            internal: false,
            attachable: false,
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
            bridge: None,
            subnet: None,
            ipam_options: BTreeMap::new(),
        };
        if driver != "bridge" {
            return Ok(network);
        }
        let subnet = match self.config.bip {
            Some(bip) => super::Subnet { gateway: bip.addr(), ..manage::plain(bip, false) },
            None => {
                let mut taken = netlink::routed()?;
                taken.extend(others.iter().filter_map(|network| network.subnet.as_ref().map(|s| s.net)));
                let net = ipam::free_subnet(&self.config.pools, &taken).ok_or(Error::PoolsExhausted)?;
                manage::plain(net, false)
            }
        };
        network.subnet = Some(subnet);
        network.bridge = Some(self.config.device.clone());
        let option = |key: &str, value: &str| (format!("com.docker.network.{key}"), value.to_owned());
        network.options = BTreeMap::from([
            option("bridge.default_bridge", "true"),
            option("bridge.enable_icc", "true"),
            option("bridge.enable_ip_masquerade", "true"),
            option("bridge.host_binding_ipv4", "0.0.0.0"),
            option("bridge.name", &self.config.device),
            option("driver.mtu", "1500"),
        ]);
        Ok(network)
    }

    /// Mends the kernel by the records, and the records by what runs.
    pub(super) fn reconcile(&self, live: &[String]) -> Result<(), Error> {
        let networks: Vec<Network> = self.state().networks.values().cloned().collect();
        for network in &networks {
            self.ensure_device(network)?;
        }
        netlink::set_sysctl("net/ipv4/ip_forward", "1")?;
        // Before anything is taken away: what goes, goes out of a table that is whole.
        self.refresh_firewall()?;
        let live: HashSet<&str> = live.iter().map(String::as_str).collect();
        let records: Vec<_> = self.state().sandboxes.values().cloned().collect();
        for record in &records {
            let path = self.store.netns(&record.container);
            let whole = record.host_mode || netns::pinned(&path);
            if !live.contains(record.container.as_str()) || !whole {
                self.release(&record.container)?;
                continue;
            }
            for published in record.endpoints.iter().flat_map(|endpoint| &endpoint.published) {
                if !self.ports.restore(published) {
                    tracing::warn!(
                        container = %record.container,
                        port = published.host_port,
                        "a foreign process listens on a published port: its packets go to the container"
                    );
                }
            }
            for endpoint in &record.endpoints {
                if let Err(error) = self.carry(endpoint) {
                    tracing::error!(container = %record.container, %error, "a port isn't served");
                }
            }
            if let Some(port) = record.dns_port {
                let listening = self.dns.listen(&record.container, &path, Some(port), dns::servers(record));
                if let Err(error) = listening {
                    tracing::error!(container = %record.container, %error, "no names for the container");
                }
            }
        }
        for container in self.store.pinned() {
            if !self.state().sandboxes.contains_key(&container) {
                netns::remove(&self.store.netns(&container))?;
            }
        }
        Ok(())
    }

    pub(super) fn teardown(&self) -> Result<(), Error> {
        let containers: Vec<String> = self.state().sandboxes.keys().cloned().collect();
        let mut result = Ok(());
        for container in containers {
            result = result.and(self.release(&container));
        }
        let devices: Vec<String> = self.state().networks.values().filter_map(|n| n.bridge.clone()).collect();
        for device in devices {
            result = result.and(netlink::remove_link(&device));
        }
        result.and(firewall::teardown())
    }
}
