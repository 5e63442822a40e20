//! The bridge driver: a device with the gateway's address, and what the firewall knows of it.

use super::{Error, Inner, firewall, netlink, record::Network};

const MTU: &str = "com.docker.network.driver.mtu";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";

impl Inner {
    /// Makes the network's device. Repeating it is harmless.
    pub(super) fn ensure_device(&self, network: &Network) -> Result<(), Error> {
        let (Some(device), Some(subnet)) = (&network.bridge, &network.subnet) else { return Ok(()) };
        let address = ipnet::Ipv4Net::new(subnet.gateway, subnet.net.prefix_len()).unwrap_or(subnet.net);
        netlink::ensure_bridge(device, address, network.options.get(MTU).and_then(|mtu| mtu.parse().ok()))
    }

    /// Replaces the nftables table by what the records say.
    pub(super) fn refresh_firewall(&self) -> Result<(), Error> {
        let _change = self.firewall.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let state = self.state();
        let bridges: Vec<firewall::Bridge> = state
            .networks
            .values()
            .filter_map(|network| {
                Some(firewall::Bridge {
                    device: network.bridge.clone()?,
                    subnet: network.subnet.as_ref()?.net,
                    internal: network.internal,
                    masquerade: network.flag(MASQUERADE, true),
                })
            })
            .collect();
        let forwards: Vec<firewall::Forward> = state
            .sandboxes
            .values()
            .flat_map(|record| &record.endpoints)
            .flat_map(super::sandbox::Endpoint::forwards)
            .collect();
        drop(state);
        firewall::replace(&bridges, &forwards)
    }
}
