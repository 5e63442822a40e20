//! Names inside user-defined networks.
//!
//! Each sandbox that has names gets sockets of its own on 127.0.0.11, opened inside its namespace on a port
//! that nobody chose; a rule in there leads port 53 to it, so that a container may serve DNS itself. The
//! port is on record and comes back after a restart.

mod answer;
mod forward;

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Handle,
    sync::Semaphore,
    task::JoinHandle,
};

use super::{Error, State, error::Step, files::HostResolver, firewall, netns, sandbox::Record};

/// Where containers ask.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// Queries of one container that may be under way at once.
const AT_ONCE: usize = 64;

/// Whom to ask about names that are not ours.
#[derive(Debug, Clone)]
pub(super) struct Servers {
    pub(super) addresses: Vec<SocketAddr>,
    /// `--dns` servers are asked from the container's own address, the host's from the host.
    pub(super) from_container: bool,
}

/// The servers that a container's queries are forwarded to.
pub(super) fn servers(record: &Record) -> Servers {
    let from_container = !record.dns.servers.is_empty();
    let list = if from_container { record.dns.servers.clone() } else { HostResolver::read().servers };
    let addresses = list
        .iter()
        .filter_map(|text| text.parse::<IpAddr>().ok())
        .map(|ip| SocketAddr::new(ip, 53))
        .take(3)
        .collect();
    Servers { addresses, from_container }
}

pub(super) struct Dns {
    runtime: Handle,
    state: Arc<Mutex<State>>,
    tasks: Mutex<HashMap<String, [JoinHandle<()>; 2]>>,
}

/// What one resolver knows.
struct Resolver {
    container: String,
    netns: PathBuf,
    servers: Servers,
    state: Arc<Mutex<State>>,
    slots: Semaphore,
}

impl Dns {
    pub(super) fn new(runtime: Handle, state: Arc<Mutex<State>>) -> Self {
        Dns { runtime, state, tasks: Mutex::default() }
    }

    /// Listens inside `netns` on `port` (or one the kernel picks) and tells which.
    pub(super) fn listen(
        &self,
        container: &str,
        netns: &Path,
        port: Option<u16>,
        servers: Servers,
    ) -> Result<u16, Error> {
        self.stop(container);
        let object = container.to_owned();
        let (udp, tcp, port) = netns::inside(netns, move || {
            let (udp, tcp) = port
                .and_then(|port| bind(port).ok())
                .map_or_else(|| bind(0), Ok)
                .step("listen for DNS of", &object)?;
            let bound = udp.local_addr().step("listen for DNS of", &object)?.port();
            if port != Some(bound) {
                redirect(bound)?;
            }
            Ok((udp, tcp, bound))
        })?;
        let _runtime = self.runtime.enter();
        let udp = tokio::net::UdpSocket::from_std(udp).step("listen for DNS of", container)?;
        let tcp = tokio::net::TcpListener::from_std(tcp).step("listen for DNS of", container)?;
        let resolver = Arc::new(Resolver {
            container: container.to_owned(),
            netns: netns.to_owned(),
            servers,
            state: Arc::clone(&self.state),
            slots: Semaphore::new(AT_ONCE),
        });
        let tasks = [
            self.runtime.spawn(serve_udp(Arc::new(udp), Arc::clone(&resolver))),
            self.runtime.spawn(serve_tcp(tcp, resolver)),
        ];
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).insert(container.to_owned(), tasks);
        Ok(port)
    }

    pub(super) fn stop(&self, container: &str) {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).remove(container);
        for task in tasks.into_iter().flatten() {
            task.abort();
        }
    }
}

fn bind(port: u16) -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = io::Error::other("no free port");
    for _ in 0..16 {
        let udp = UdpSocket::bind((ADDRESS, port))?;
        match TcpListener::bind((ADDRESS, udp.local_addr()?.port())) {
            Ok(tcp) => {
                udp.set_nonblocking(true)?;
                tcp.set_nonblocking(true)?;
                return Ok((udp, tcp));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Leads port 53 of the address to the sockets; in the container's namespace, in a table of our own.
fn redirect(port: u16) -> Result<(), Error> {
    firewall::apply(&format!(
        "add table ip engine_dns\ndelete table ip engine_dns\ntable ip engine_dns {{\n\
         chain output {{\ntype nat hook output priority -100; policy accept;\n\
         ip daddr {ADDRESS} udp dport 53 dnat to {ADDRESS}:{port}\n\
         ip daddr {ADDRESS} tcp dport 53 dnat to {ADDRESS}:{port}\n}}\n}}\n"
    ))
}

async fn serve_udp(socket: Arc<tokio::net::UdpSocket>, resolver: Arc<Resolver>) {
    let mut buffer = vec![0; 4096];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let query = buffer[..length].to_vec();
        let (socket, resolver) = (Arc::clone(&socket), Arc::clone(&resolver));
        tokio::spawn(async move {
            if let Some(answer) = resolver.resolve(query, false).await {
                let _ = socket.send_to(&answer, from).await;
            }
        });
    }
}

async fn serve_tcp(listener: tokio::net::TcpListener, resolver: Arc<Resolver>) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let resolver = Arc::clone(&resolver);
        tokio::spawn(async move {
            let exchange = async {
                while let Ok(length) = stream.read_u16().await {
                    let mut query = vec![0; usize::from(length)];
                    stream.read_exact(&mut query).await?;
                    let Some(answer) = resolver.resolve(query, true).await else { break };
                    let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
                    stream.write_u16(length).await?;
                    stream.write_all(&answer).await?;
                }
                io::Result::Ok(())
            };
            let _ = tokio::time::timeout(std::time::Duration::from_secs(30), exchange).await;
        });
    }
}

impl Resolver {
    /// The answer to one message; `None` for what deserves none.
    async fn resolve(&self, query: Vec<u8>, tcp: bool) -> Option<Vec<u8>> {
        let _slot = self.slots.acquire().await.ok()?;
        let (question, internal) = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match answer::own(&state, &self.container, &query)? {
                answer::Outcome::Answer(answer) => return Some(answer),
                answer::Outcome::Elsewhere(question) => (
                    question,
                    !state.sandboxes.get(&self.container)?.endpoints.iter().any(|e| e.gateway.is_some()),
                ),
            }
        };
        if internal {
            return answer::failure(&question);
        }
        let netns = self.servers.from_container.then(|| self.netns.clone());
        match forward::ask(self.servers.addresses.clone(), netns, query, tcp).await {
            Some(answer) => Some(answer),
            None => answer::failure(&question),
        }
    }
}
