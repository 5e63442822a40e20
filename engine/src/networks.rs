//! Networks: bridges with addresses, names and published ports; namespaces for containers.
//!
//! [`Networks`] owns the devices, the nftables table `inet engine`, the namespaces under `EXEC/netns` and the
//! records described in `store`. The kernel side is asked by short synchronous calls off the async threads.
//! Everything in the kernel goes on working while the daemon is away; names (127.0.0.11) and published ports on
//! IPv6 addresses come back with it.

mod bridge;
mod dns;
mod error;
mod files;
mod firewall;
mod ipam;
mod manage;
mod netlink;
mod netns;
mod ports;
mod proxy;
mod publish;
mod reconcile;
mod record;
mod sandbox;
mod store;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::Ipv4Addr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::Ipv4Net;

pub use self::{
    error::Error,
    ipam::{Pool, default_pools},
    manage::{Attached, Create, IpamConfig},
    record::{EndpointIpam, EndpointSettings, Network, PortBinding, PortMap, Protocol, Published, Subnet},
    sandbox::{DnsOptions, Mode, Request, Sandbox},
};

/// Where things are and what the default bridge looks like.
#[derive(Debug, Clone)]
pub struct Config {
    /// `/var/lib/engine`
    pub data_root: PathBuf,
    /// `/run/engine`
    pub exec_root: PathBuf,
    /// `--default-address-pool`, or [`default_pools`].
    pub pools: Vec<Pool>,
    /// `--bip`: address and prefix of the default bridge.
    pub bip: Option<Ipv4Net>,
    /// The default bridge's device: `engine0`.
    pub device: String,
}

/// The networks of one daemon. Cheap to clone.
#[derive(Clone)]
pub struct Networks {
    inner: Arc<Inner>,
}

struct Inner {
    store: store::Store,
    config: Config,
    state: Arc<Mutex<State>>,
    ports: ports::Ports,
    proxy: proxy::Proxy,
    /// Held while the table or the set of bridges changes.
    firewall: Mutex<()>,
    dns: dns::Dns,
}

#[derive(Default)]
struct State {
    networks: BTreeMap<String, Network>,
    sandboxes: HashMap<String, sandbox::Record>,
    reserved: HashSet<(String, Ipv4Addr)>,
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Networks {
    /// Opens the records and makes the predefined networks. [`Networks::reconcile`] must follow.
    ///
    /// # Errors
    /// The database can't be opened.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let runtime = tokio::runtime::Handle::current();
        blocking(move || {
            let store = store::Store::open(&config.data_root, &config.exec_root)?;
            let state = Arc::new(Mutex::new(State::default()));
            let proxy = proxy::Proxy::new(runtime.clone());
            let dns = dns::Dns::new(runtime, Arc::clone(&state));
            let inner = Inner {
                store,
                config,
                state,
                ports: ports::Ports::default(),
                proxy,
                firewall: Mutex::default(),
                dns,
            };
            inner.load()?;
            Ok(Networks { inner: Arc::new(inner) })
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(&self.inner);
        blocking(move || work(&inner)).await
    }

    /// Builds the sandbox of a container that is about to start: namespace, endpoints, ports, names. A
    /// sandbox of an earlier run is taken away first.
    ///
    /// # Errors
    /// A network is missing, an address or a port is taken, the kernel refuses; nothing is left behind.
    pub async fn prepare(&self, request: Request) -> Result<Sandbox, Error> {
        self.with(|inner| inner.prepare(request)).await
    }

    /// Takes the sandbox away after a stop. A container without one is fine.
    ///
    /// # Errors
    /// The kernel refuses; what could be taken away is gone, the rest stays on record.
    pub async fn release(&self, container: &str) -> Result<(), Error> {
        let container = container.to_owned();
        self.with(move |inner| inner.release(&container)).await
    }

    /// The sandbox as it is, if the container has one.
    #[must_use]
    pub fn sandbox(&self, container: &str) -> Option<Sandbox> {
        let record = self.inner.state().sandboxes.get(container).cloned()?;
        Some(self.inner.shown(&record))
    }

    /// Mends what differs between the records and the kernel. `live`: the containers that run. Sandboxes of
    /// others are taken away; resolvers come back.
    ///
    /// # Errors
    /// The bridges or the table can't be set up.
    pub async fn reconcile(&self, live: Vec<String>) -> Result<(), Error> {
        self.with(move |inner| inner.reconcile(&live)).await
    }

    /// Connects a running container to one more network. Its /etc/hosts changes with the answer.
    ///
    /// # Errors
    /// Connected already, no such network, no address left.
    pub async fn connect(
        &self,
        container: &str,
        network: &str,
        settings: EndpointSettings,
    ) -> Result<Sandbox, Error> {
        let (container, network) = (container.to_owned(), network.to_owned());
        self.with(move |inner| inner.connect(&container, &network, settings)).await
    }

    /// Takes a running container out of a network.
    ///
    /// # Errors
    /// Not connected, no such network.
    pub async fn disconnect(&self, container: &str, network: &str) -> Result<Sandbox, Error> {
        let (container, network) = (container.to_owned(), network.to_owned());
        self.with(move |inner| inner.disconnect(&container, &network)).await
    }

    /// Tells the names after a rename.
    pub fn rename(&self, container: &str, name: &str) {
        let record = {
            let mut state = self.inner.state();
            state.sandboxes.get_mut(container).map(|record| {
                name.clone_into(&mut record.name);
                record.clone()
            })
        };
        if let Some(Err(error)) = record.map(|record| self.inner.store.put_sandbox(&record)) {
            tracing::warn!(container, %error, "the new name is not on record");
        }
    }

    /// Creates a user-defined network.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create(&self, request: Create) -> Result<Network, Error> {
        self.with(|inner| inner.create(request)).await
    }

    /// Removes a network without endpoints.
    ///
    /// # Errors
    /// In use, predefined, unknown.
    pub async fn remove(&self, network: &str) -> Result<Network, Error> {
        let network = network.to_owned();
        self.with(move |inner| inner.remove(&network)).await
    }

    /// A network by id, name or id prefix.
    ///
    /// # Errors
    /// None or several fit.
    pub fn get(&self, network: &str) -> Result<Network, Error> {
        self.inner.find(network)
    }

    /// All networks.
    #[must_use]
    pub fn list(&self) -> Vec<Network> {
        self.inner.state().networks.values().cloned().collect()
    }

    /// The running containers in a network.
    #[must_use]
    pub fn attached(&self, network: &str) -> Vec<Attached> {
        self.inner.attached(network)
    }

    /// Checks a container's endpoint settings at create: static addresses need a user-defined network with a
    /// chosen subnet. A network that does not exist is found at start.
    ///
    /// # Errors
    /// docker's text.
    pub fn check(&self, network: &str, settings: &EndpointSettings) -> Result<(), Error> {
        let asked = settings.ipam_config.as_ref().and_then(|ipam| ipam.ipv4_address.as_deref());
        match (asked.filter(|ip| !ip.is_empty()), self.get(network)) {
            (Some(_), Ok(network)) => manage::check_static(&network),
            _ => Ok(()),
        }
    }

    /// Takes everything out of the kernel: namespaces, links, bridges, the table. Records of networks stay.
    ///
    /// # Errors
    /// The first step that failed; the others are done all the same.
    pub async fn teardown(&self) -> Result<(), Error> {
        self.with(Inner::teardown).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    use error::Step as _;
    tokio::task::spawn_blocking(work).await.step("work on", "networks")?
}

/// 64 random hex digits.
fn random_id() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

/// The MAC of an endpoint that didn't ask for one: `02:42:` and its address. Neighbours that remember an
/// address which has passed to another container then still reach it.
fn mac_of(address: Ipv4Addr) -> netlink::Mac {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// A random address: unicast, locally administered.
fn random_mac() -> netlink::Mac {
    let mut mac: netlink::Mac = rand::random();
    mac[0] = (mac[0] & 0xfc) | 0x02;
    mac
}

fn mac_text(mac: netlink::Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn parse_mac(text: &str) -> Option<netlink::Mac> {
    let bytes: Vec<u8> =
        text.split([':', '-']).map(|part| u8::from_str_radix(part, 16).ok()).collect::<Option<_>>()?;
    bytes.try_into().ok()
}
