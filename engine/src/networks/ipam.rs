//! Subnets out of pools, addresses out of subnets.
//!
//! Nothing is stored here: what is taken follows from the networks' records and the live sandboxes.

use std::{collections::HashSet, net::Ipv4Addr};

use ipnet::Ipv4Net;

use super::record::Subnet;

/// A range that is cut into subnets of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// The whole range.
    pub base: Ipv4Net,
    /// Prefix length of each subnet.
    pub size: u8,
}

/// docker's pools, in docker's order.
#[must_use]
pub fn default_pools() -> Vec<Pool> {
    [
        ([172, 17, 0, 0], 16, 16),
        ([172, 18, 0, 0], 16, 16),
        ([172, 19, 0, 0], 16, 16),
        ([172, 20, 0, 0], 14, 16),
        ([172, 24, 0, 0], 14, 16),
        ([172, 28, 0, 0], 14, 16),
        ([192, 168, 0, 0], 16, 20),
    ]
    .into_iter()
    .map(|(base, prefix, size)| Pool { base: Ipv4Net::new_assert(base.into(), prefix), size })
    .collect()
}

/// True when the two ranges share an address.
#[must_use]
pub(super) fn overlaps(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// The first subnet of the pools that touches none of `taken`.
#[must_use]
pub(super) fn free_subnet(pools: &[Pool], taken: &[Ipv4Net]) -> Option<Ipv4Net> {
    pools
        .iter()
        .filter_map(|pool| pool.base.subnets(pool.size).ok())
        .flatten()
        .find(|candidate| !taken.iter().any(|other| overlaps(candidate, other)))
}

/// The lowest address of the subnet that is neither its network, broadcast, gateway nor in `taken`.
#[must_use]
pub(super) fn free_address(subnet: &Subnet, taken: &HashSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    let range = subnet.range.unwrap_or(subnet.net);
    range.hosts().find(|address| usable(subnet, *address) && !taken.contains(address))
}

/// True when a container may have the address.
#[must_use]
pub(super) fn usable(subnet: &Subnet, address: Ipv4Addr) -> bool {
    let wide = subnet.net.prefix_len() < 31;
    subnet.net.contains(&address)
        && address != subnet.gateway
        && !(wide && (address == subnet.net.network() || address == subnet.net.broadcast()))
        && !subnet.auxiliary.values().any(|aux| *aux == address)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn pools_come_in_dockers_order_and_skip_what_is_taken() {
        let pools = default_pools();
        assert_eq!(free_subnet(&pools, &[]), Some(net("172.17.0.0/16")));
        assert_eq!(free_subnet(&pools, &[net("172.16.0.0/14")]), Some(net("172.20.0.0/16")));
        assert_eq!(free_subnet(&pools, &[net("172.16.0.0/12")]), Some(net("192.168.0.0/20")));
        assert_eq!(
            free_subnet(&pools, &[net("172.16.0.0/12"), net("192.168.1.0/24")]),
            Some(net("192.168.16.0/20"))
        );
        assert_eq!(free_subnet(&pools, &[net("0.0.0.0/0")]), None);
    }

    #[test]
    fn the_lowest_free_address_is_given_and_reserved_ones_are_not() {
        let subnet = Subnet {
            net: net("10.1.0.0/29"),
            gateway: Ipv4Addr::new(10, 1, 0, 1),
            range: None,
            auxiliary: BTreeMap::from([("printer".into(), Ipv4Addr::new(10, 1, 0, 2))]),
            chosen: true,
        };
        let mut taken = HashSet::new();
        let mut given = Vec::new();
        while let Some(address) = free_address(&subnet, &taken) {
            taken.insert(address);
            given.push(address.octets()[3]);
        }
        assert_eq!(given, [3, 4, 5, 6]);
        assert!(!usable(&subnet, Ipv4Addr::new(10, 1, 0, 7)));
        assert!(!usable(&subnet, Ipv4Addr::new(10, 1, 0, 8)));
    }
}
