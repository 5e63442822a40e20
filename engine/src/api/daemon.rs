//! The daemon as its API sees it.

use std::sync::Arc;

use containerd_client::Client;

use super::networks::Context as NetworkContext;
use crate::config::Config;
use crate::containers::Containers;
use crate::events::Events;
use crate::images::Images;
use crate::networks::Networks;
use crate::volumes::Volumes;

/// What the API serves from. Cheap to clone.
#[derive(Clone)]
pub struct Daemon {
    /// The settings.
    pub config: Arc<Config>,
    /// The daemon's own id, kept on disk.
    pub id: String,
    /// The daemon below.
    pub containerd: Client,
    /// The bus.
    pub events: Events,
    /// Containers.
    pub containers: Containers,
    /// Images.
    pub images: Images,
    /// Volumes.
    pub volumes: Volumes,
    /// Networks.
    pub networks: Networks,
}

impl Daemon {
    /// What the network handlers need.
    pub fn network_context(&self) -> NetworkContext {
        NetworkContext {
            networks: self.networks.clone(),
            events: self.events.clone(),
            members: Arc::new(self.containers.clone()),
        }
    }
}
