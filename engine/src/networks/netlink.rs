//! Links, addresses and routes by rtnetlink, in the namespace of the calling thread.
//!
//! Each call opens a socket of its own and drives it on the calling thread, so that it may be made from a
//! thread that has entered a container's namespace.

use std::{
    fs::{self, File},
    future::Future,
    io,
    net::Ipv4Addr,
    os::fd::AsRawFd,
    path::Path,
};

use futures::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::{
    Handle, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        link::{InfoData, InfoVeth, LinkMessage},
        route::{RouteAddress, RouteAttribute},
    },
};

use super::{Error, error::Step};

/// Six octets.
pub(super) type Mac = [u8; 6];

/// What one end inside a container gets.
#[derive(Debug, Clone)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) address: Ipv4Net,
    /// Set when this interface carries the default route.
    pub(super) gateway: Option<Ipv4Addr>,
}

/// Runs a conversation with the kernel's routing socket.
fn talk<T, F: Future<Output = Result<T, rtnetlink::Error>>>(
    step: &'static str,
    object: &str,
    conversation: impl FnOnce(Handle) -> F,
) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .step("start netlink for", object)?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().step("open netlink socket for", object)?;
        let driver = tokio::spawn(connection);
        let answer = conversation(handle).await;
        driver.abort();
        answer.map_err(readable).step(step, object)
    })
}

fn readable(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    }
}

async fn find(handle: &Handle, name: &str) -> Result<Option<LinkMessage>, rtnetlink::Error> {
    match handle.link().get().match_name(name.to_owned()).execute().try_next().await {
        Ok(link) => Ok(link),
        Err(rtnetlink::Error::NetlinkError(message))
            if message.raw_code() == -libc::ENODEV || message.raw_code() == -libc::EINVAL =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn index(handle: &Handle, name: &str) -> Result<u32, rtnetlink::Error> {
    find(handle, name).await?.map(|link| link.header.index).ok_or(rtnetlink::Error::RequestFailed)
}

/// Makes the bridge if it is not there, gives it the address and brings it up. Repeating it is harmless.
pub(super) fn ensure_bridge(name: &str, address: Ipv4Net, mtu: Option<u32>) -> Result<(), Error> {
    talk("set up bridge", name, async |handle| {
        let index = match find(&handle, name).await? {
            Some(link) => link.header.index,
            None => {
                let mac = super::random_mac().to_vec();
                handle.link().add(LinkBridge::new(name).address(mac).build()).execute().await?;
                index(&handle, name).await?
            }
        };
        let mut addresses = handle.address().get().set_link_index_filter(index).execute();
        let mut there = false;
        while let Some(found) = addresses.try_next().await? {
            let is_v4 = found.header.family == rtnetlink::packet_route::AddressFamily::Inet;
            let same = found.header.prefix_len == address.prefix_len()
                && found.attributes.iter().any(|attribute| {
                    matches!(attribute, rtnetlink::packet_route::address::AddressAttribute::Local(ip) if *ip == address.addr())
                });
            if is_v4 && same {
                there = true;
            } else if is_v4 {
                handle.address().del(found).execute().await?;
            }
        }
        if !there {
            handle.address().add(index, address.addr().into(), address.prefix_len()).execute().await?;
        }
        let mut up = LinkUnspec::new_with_index(index).up();
        if let Some(mtu) = mtu {
            up = up.mtu(mtu);
        }
        handle.link().set(up.build()).execute().await
    })?;
    set_sysctl(&format!("net/ipv4/conf/{name}/route_localnet"), "1")?;
    // IPv6 stays off on the bridge as long as the network has none, like in docker.
    if Path::new("/proc/sys/net/ipv6").exists() {
        set_sysctl(&format!("net/ipv6/conf/{name}/accept_ra"), "0")?;
        set_sysctl(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1")?;
    }
    Ok(())
}

/// Removes a link; one that is gone is fine.
pub(super) fn remove_link(name: &str) -> Result<(), Error> {
    talk("remove link", name, async |handle| match find(&handle, name).await? {
        Some(link) => handle.link().del(link.header.index).execute().await,
        None => Ok(()),
    })
}

/// The IPv4 destinations that the namespace routes, the default route left out.
pub(super) fn routed() -> Result<Vec<Ipv4Net>, Error> {
    talk("list", "routes", async |handle| {
        let request = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let routes: Vec<_> = handle.route().get(request).execute().try_collect().await?;
        Ok(routes
            .into_iter()
            .filter(|route| route.header.destination_prefix_length > 0)
            .filter_map(|route| {
                let prefix = route.header.destination_prefix_length;
                route.attributes.into_iter().find_map(|attribute| match attribute {
                    RouteAttribute::Destination(RouteAddress::Inet(ip)) => Ipv4Net::new(ip, prefix).ok(),
                    _ => None,
                })
            })
            .collect())
    })
}

/// Makes a veth pair: `host` in this namespace as a port of `bridge`, `peer` with `mac` in the other one.
pub(super) fn add_veth(
    host: &str,
    bridge: &str,
    peer: &str,
    mac: Mac,
    mtu: Option<u32>,
    netns: &Path,
    isolated: bool,
) -> Result<(), Error> {
    let file = File::open(netns).step("open network namespace", netns.display().to_string())?;
    talk("add veth", host, async |handle| {
        let bridge = index(&handle, bridge).await?;
        let mut end = LinkMessageBuilder::<LinkUnspec>::new()
            .name(peer)
            .address(mac.to_vec())
            .setns_by_fd(file.as_raw_fd());
        let mut pair = LinkMessageBuilder::<LinkVeth>::new(host, peer).controller(bridge).up();
        if let Some(mtu) = mtu {
            end = end.mtu(mtu);
            pair = pair.mtu(mtu);
        }
        let pair = pair.set_info_data(InfoData::Veth(InfoVeth::Peer(end.build()))).build();
        handle.link().add(pair).execute().await?;
        // Hairpin: with br_netfilter a container's packet to its own published port turns round in the bridge.
        let port = LinkBridgePort::new(index(&handle, host).await?).hairpin(true).isolated(isolated);
        handle.link().set_port(port.build()).execute().await
    })
}

/// Brings up `lo`.
pub(super) fn loopback_up() -> Result<(), Error> {
    talk("bring up", "lo", async |handle| {
        let index = index(&handle, "lo").await?;
        handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await
    })
}

/// Gives the interface its address, brings it up and sets the default route if it has one to carry.
pub(super) fn configure(interface: &Interface) -> Result<(), Error> {
    talk("configure", &interface.name, async |handle| {
        let index = index(&handle, &interface.name).await?;
        let (address, prefix) = (interface.address.addr(), interface.address.prefix_len());
        handle.address().add(index, address.into(), prefix).execute().await?;
        handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await?;
        match interface.gateway {
            Some(gateway) => default_route(&handle, gateway).await,
            None => Ok(()),
        }
    })
}

/// Sends everything that has no better route to `gateway`; `None` takes the default route away.
pub(super) fn set_default_route(gateway: Option<Ipv4Addr>) -> Result<(), Error> {
    talk("set", "default route", async |handle| match gateway {
        Some(gateway) => default_route(&handle, gateway).await,
        None => {
            let request = RouteMessageBuilder::<Ipv4Addr>::new().build();
            let routes: Vec<_> = handle.route().get(request).execute().try_collect().await?;
            for route in routes.into_iter().filter(|route| route.header.destination_prefix_length == 0) {
                let gateway = route.attributes.iter().any(|a| matches!(a, RouteAttribute::Gateway(_)));
                if gateway {
                    handle.route().del(route).execute().await?;
                }
            }
            Ok(())
        }
    })
}

async fn default_route(handle: &Handle, gateway: Ipv4Addr) -> Result<(), rtnetlink::Error> {
    let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).build();
    handle.route().add(route).replace().execute().await
}

/// Writes `/proc/sys/KEY` of the calling thread's namespace, if it differs.
pub(super) fn set_sysctl(key: &str, value: &str) -> Result<(), Error> {
    let path = Path::new("/proc/sys").join(key);
    if fs::read_to_string(&path).is_ok_and(|now| now.trim() == value) {
        return Ok(());
    }
    fs::write(&path, value).step("set sysctl", key)
}
