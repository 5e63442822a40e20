//! Our one nftables table, `inet engine`. It is replaced as a whole in single transactions, so that what the
//! kernel has is always one consistent picture; a published port comes and goes as one map element.
//! Nothing outside the table is read or changed.
//!
//! Rules are written in nft's own language and handed to `nft -f -`: one read of the script shows the table.

use std::{
    fmt::Write as _,
    io::Write as _,
    net::IpAddr,
    process::{Command, Stdio},
};

use ipnet::Ipv4Net;

use super::{Error, error::Step, record::Published};

/// What the rules need to know of one bridge.
#[derive(Debug, Clone)]
pub(super) struct Bridge {
    pub(super) device: String,
    pub(super) subnet: Ipv4Net,
    pub(super) internal: bool,
    pub(super) masquerade: bool,
}

/// One published port and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Forward {
    pub(super) port: Published,
    pub(super) to: std::net::Ipv4Addr,
}

/// Replaces the table.
pub(super) fn replace(bridges: &[Bridge], forwards: &[Forward]) -> Result<(), Error> {
    apply(&table(bridges, forwards))
}

/// Removes the table, if there is one.
pub(super) fn teardown() -> Result<(), Error> {
    apply("add table inet engine\ndelete table inet engine\n")
}

/// Publishes ports, all or none.
pub(super) fn publish(forwards: &[Forward]) -> Result<(), Error> {
    elements("add", forwards)
}

/// Takes published ports away.
pub(super) fn unpublish(forwards: &[Forward]) -> Result<(), Error> {
    // An element that is not there would fail the whole transaction: add first, then delete.
    let mut script = String::new();
    for forward in forwards {
        let (map, element) = element(forward);
        let _ = writeln!(script, "add element inet engine {map} {{ {element} }}");
        let _ = writeln!(script, "delete element inet engine {map} {{ {element} }}");
    }
    if script.is_empty() { Ok(()) } else { apply(&script) }
}

fn elements(verb: &str, forwards: &[Forward]) -> Result<(), Error> {
    let mut script = String::new();
    for forward in forwards {
        let (map, element) = element(forward);
        let _ = writeln!(script, "{verb} element inet engine {map} {{ {element} }}");
    }
    if script.is_empty() { Ok(()) } else { apply(&script) }
}

/// The map that the port belongs in, and its element.
fn element(forward: &Forward) -> (&'static str, String) {
    let Published { protocol, container_port, host_ip, host_port } = &forward.port;
    let protocol = protocol.as_str();
    let to = forward.to;
    match host_ip {
        IpAddr::V4(ip) if !ip.is_unspecified() => {
            ("published_at", format!("{protocol} . {ip} . {host_port} : {to} . {container_port}"))
        }
        _ => ("published", format!("{protocol} . {host_port} : {to} . {container_port}")),
    }
}

fn table(bridges: &[Bridge], forwards: &[Forward]) -> String {
    let mut forward = String::new();
    let mut masquerade = String::new();
    for Bridge { device, subnet, internal, masquerade: masked } in bridges {
        // Within a bridge: only seen here when br_netfilter is on.
        let _ = writeln!(forward, "    iifname \"{device}\" oifname \"{device}\" accept");
        if *internal {
            let _ = writeln!(forward, "    iifname \"{device}\" drop");
            let _ = writeln!(forward, "    oifname \"{device}\" drop");
        } else if *masked {
            let _ = writeln!(masquerade, "    ip saddr {subnet} oifname != \"{device}\" masquerade");
        }
        // A container that reaches its own network through a published port: answers must come back here.
        let _ = writeln!(masquerade, "    ip saddr {subnet} oifname \"{device}\" ct status dnat masquerade");
    }
    let names = bridges.iter().map(|bridge| format!("\"{}\"", bridge.device)).collect::<Vec<_>>().join(", ");
    let names = if names.is_empty() { String::new() } else { format!("elements = {{ {names} }}") };
    let list = |which: &str| {
        let of_map: Vec<_> = forwards
            .iter()
            .map(element)
            .filter(|(map, _)| *map == which)
            .map(|(_, element)| element)
            .collect();
        if of_map.is_empty() { String::new() } else { format!("elements = {{ {} }}", of_map.join(", ")) }
    };
    let (published, published_at) = (list("published"), list("published_at"));
    format!(
        r#"add table inet engine
delete table inet engine
table inet engine {{
  set bridges {{
    type ifname
    {names}
  }}
  map published {{
    type inet_proto . inet_service : ipv4_addr . inet_service
    {published}
  }}
  map published_at {{
    type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service
    {published_at}
  }}
  chain guard {{
    type filter hook prerouting priority raw; policy accept;
    iifname @bridges ip daddr 127.0.0.0/8 drop
  }}
  chain incoming {{
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump publish
  }}
  chain local {{
    type nat hook output priority -100; policy accept;
    fib daddr type local jump publish
  }}
  chain publish {{
    dnat ip to meta l4proto . ip daddr . th dport map @published_at
    dnat ip to meta l4proto . th dport map @published
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname != @bridges oifname != @bridges accept
    ct state established,related accept
    ct status dnat accept
{forward}    iifname @bridges oifname @bridges drop
    oifname @bridges drop
  }}
  chain outgoing {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname @bridges ip saddr 127.0.0.0/8 masquerade
{masquerade}  }}
}}
"#
    )
}

/// Runs a script as one transaction in the namespace of the calling thread.
pub(super) fn apply(script: &str) -> Result<(), Error> {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .step("run", "nft (is the package nftables installed?)")?;
    if let Some(mut input) = nft.stdin.take() {
        input.write_all(script.as_bytes()).step("write to", "nft")?;
    }
    let output = nft.wait_with_output().step("wait for", "nft")?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let first = text.lines().next().unwrap_or("no message").to_owned();
    Err(std::io::Error::other(first)).step("change", "nftables table inet engine")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::networks::record::Protocol;

    #[test]
    fn an_address_of_its_own_goes_into_the_map_that_asks_for_it() {
        let mut forward = Forward {
            port: Published {
                protocol: Protocol::Udp,
                container_port: 53,
                host_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                host_port: 5353,
            },
            to: Ipv4Addr::new(172, 17, 0, 2),
        };
        assert_eq!(element(&forward), ("published", "udp . 5353 : 172.17.0.2 . 53".into()));
        forward.port.host_ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(element(&forward), ("published_at", "udp . 127.0.0.1 . 5353 : 172.17.0.2 . 53".into()));
    }

    #[test]
    fn an_internal_bridge_is_never_masqueraded() {
        let bridge = Bridge {
            device: "br-x".into(),
            subnet: "10.0.0.0/24".parse().unwrap(),
            internal: true,
            masquerade: true,
        };
        let script = table(&[bridge], &[]);
        assert!(!script.contains("oifname != \"br-x\" masquerade"));
        assert!(script.contains("iifname \"br-x\" drop"));
    }
}
