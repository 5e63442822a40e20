//! Host ports: who has which, and that nobody else takes them.
//!
//! Rules lead the packets, no socket does. A port is bound all the same (never listened on) as long as the
//! daemon lives, so that a foreign listener is refused when it comes, or found when it was there first.

use std::{
    collections::HashMap,
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Mutex,
};

use socket2::{Domain, Socket, Type};

use super::record::{PortBinding, Protocol, Published};

/// The ports that are given out, each with the socket that holds it.
#[derive(Debug, Default)]
pub(super) struct Ports {
    held: Mutex<Held>,
}

/// An address and the socket that holds the port there; none where another process was first.
type Holder = (IpAddr, Option<Socket>);

#[derive(Debug, Default)]
struct Held {
    taken: HashMap<(Protocol, u16), Vec<Holder>>,
    next_random: Option<u16>,
}

impl Ports {
    /// Allocates one binding. The error is docker's reason text.
    pub(super) fn allocate(
        &self,
        protocol: Protocol,
        container_port: u16,
        binding: &PortBinding,
        default_ip: Ipv4Addr,
    ) -> Result<Published, String> {
        let host_ip = if binding.host_ip.is_empty() {
            IpAddr::V4(default_ip)
        } else {
            binding.host_ip.parse().map_err(|_| format!("invalid host IP address: {}", binding.host_ip))?
        };
        let published = |host_port| Published { protocol, container_port, host_ip, host_port };
        let mut held = self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match parse_range(&binding.host_port)? {
            Some((first, last)) => {
                let mut reason = String::new();
                for port in first..=last {
                    match held.take(protocol, host_ip, port) {
                        Ok(()) => return Ok(published(port)),
                        Err(error) => reason = error,
                    }
                }
                Err(reason)
            }
            None => {
                let (low, high) = local_range();
                let start = held.next_random.filter(|port| (low..=high).contains(port)).unwrap_or(low);
                for port in (start..=high).chain(low..start) {
                    if held.take(protocol, host_ip, port).is_ok() {
                        held.next_random = Some(port.checked_add(1).unwrap_or(low));
                        return Ok(published(port));
                    }
                }
                Err("all ports are allocated".into())
            }
        }
    }

    /// Takes back what an earlier life of the daemon had allocated. False when a foreign process holds it now.
    pub(super) fn restore(&self, port: &Published) -> bool {
        let mut held = self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if held.take(port.protocol, port.host_ip, port.host_port).is_ok() {
            return true;
        }
        let slot = held.taken.entry((port.protocol, port.host_port)).or_default();
        slot.push((port.host_ip, None));
        false
    }

    /// The socket that holds a port: bound, and told to nobody yet.
    pub(super) fn socket(&self, port: &Published) -> Option<Socket> {
        let held = self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let slot = held.taken.get(&(port.protocol, port.host_port))?;
        let (_, socket) = slot.iter().find(|(ip, _)| *ip == port.host_ip)?;
        socket.as_ref()?.try_clone().ok()
    }

    /// Gives a port back.
    pub(super) fn release(&self, port: &Published) {
        let mut held = self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(slot) = held.taken.get_mut(&(port.protocol, port.host_port)) {
            slot.retain(|(ip, _)| *ip != port.host_ip);
            if slot.is_empty() {
                held.taken.remove(&(port.protocol, port.host_port));
            }
        }
    }
}

impl Held {
    fn take(&mut self, protocol: Protocol, ip: IpAddr, port: u16) -> Result<(), String> {
        let at = SocketAddr::new(ip, port);
        let slot = self.taken.entry((protocol, port)).or_default();
        let clash = slot.iter().any(|(other, _)| {
            let same_family = other.is_ipv4() == ip.is_ipv4();
            same_family && (*other == ip || other.is_unspecified() || ip.is_unspecified())
        });
        if clash {
            return Err(format!("Bind for {at} failed: port is already allocated"));
        }
        match bind(protocol, at) {
            Ok(socket) => {
                slot.push((ip, socket));
                Ok(())
            }
            Err(error) => {
                if slot.is_empty() {
                    self.taken.remove(&(protocol, port));
                }
                let reason = match error.kind() {
                    io::ErrorKind::AddrInUse => "address already in use".to_owned(),
                    io::ErrorKind::AddrNotAvailable => "cannot assign requested address".to_owned(),
                    _ => error.to_string(),
                };
                Err(format!("failed to bind host port {at}/{}: {reason}", protocol.as_str()))
            }
        }
    }
}

/// Binds without listening. SCTP has no socket to hold where the kernel lacks it.
fn bind(protocol: Protocol, at: SocketAddr) -> io::Result<Option<Socket>> {
    let kind = match protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
        Protocol::Sctp => return Ok(None),
    };
    let open = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(at), kind, None)?;
        if at.is_ipv6() {
            // The same port of IPv4 is another's.
            socket.set_only_v6(true)?;
        }
        Ok(socket)
    };
    let socket = open()?;
    if protocol == Protocol::Tcp {
        // Connections of an earlier user of the port in TIME_WAIT are no reason to refuse it. Two sockets
        // that both only bind could share it then, so listeners are looked for by listening once.
        socket.set_reuse_address(true)?;
        socket.bind(&at.into())?;
        socket.listen(1)?;
        drop(socket);
        let holder = open()?;
        // Not where bytes are carried by it: it has to be there.
        holder.set_reuse_address(at.is_ipv6())?;
        return Ok(holder.bind(&at.into()).is_ok().then_some(holder));
    }
    socket.bind(&at.into())?;
    Ok(Some(socket))
}

/// `""` or `0` → any; `80` → 80 to 80; `8000-8010`.
fn parse_range(text: &str) -> Result<Option<(u16, u16)>, String> {
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    let invalid = || format!("invalid port specification: \"{text}\"");
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let first: u16 = first.parse().map_err(|_| invalid())?;
    let last: u16 = last.parse().map_err(|_| invalid())?;
    if first == 0 || first > last { Err(invalid()) } else { Ok(Some((first, last))) }
}

/// Whether the host has IPv6 addresses to publish on.
pub(super) fn has_ipv6() -> bool {
    std::net::UdpSocket::bind((std::net::Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// The kernel's range for ports nobody chose.
fn local_range() -> (u16, u16) {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| {
            let mut numbers = text.split_whitespace().map(str::parse);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        })
        .unwrap_or((32768, 60999))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_docker_reads_them() {
        assert_eq!(parse_range(""), Ok(None));
        assert_eq!(parse_range("80"), Ok(Some((80, 80))));
        assert_eq!(parse_range("8000-8010"), Ok(Some((8000, 8010))));
        assert!(parse_range("99999").is_err());
        assert!(parse_range("90-80").is_err());
    }

    #[test]
    fn a_port_is_given_once_and_again_after_its_release() {
        let ports = Ports::default();
        let any = PortBinding { host_ip: "127.0.0.1".into(), host_port: String::new() };
        let first = ports.allocate(Protocol::Tcp, 80, &any, Ipv4Addr::UNSPECIFIED).unwrap();
        let again = PortBinding { host_ip: "127.0.0.1".into(), host_port: first.host_port.to_string() };
        let refused = ports.allocate(Protocol::Tcp, 80, &again, Ipv4Addr::UNSPECIFIED).unwrap_err();
        assert_eq!(
            refused,
            format!("Bind for 127.0.0.1:{} failed: port is already allocated", first.host_port)
        );
        ports.release(&first);
        assert!(ports.allocate(Protocol::Tcp, 80, &again, Ipv4Addr::UNSPECIFIED).is_ok());
    }

    #[test]
    fn a_foreign_listener_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let binding = PortBinding { host_ip: "127.0.0.1".into(), host_port: port.to_string() };
        let refused =
            Ports::default().allocate(Protocol::Tcp, 80, &binding, Ipv4Addr::UNSPECIFIED).unwrap_err();
        assert!(refused.ends_with("address already in use"), "{refused}");
    }
}
