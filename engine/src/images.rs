//! Images as docker's clients see them, over containerd's images, content and snapshots.
//!
//! An image is what its configuration says: its id is the digest of the configuration, and several of
//! containerd's names may lead to it. Nothing is stored here; documents that were read once are remembered
//! by digest.

mod direct;
mod document;
mod hosts;
mod inspect;
mod list;
mod pull;
mod pull_progress;
mod reference_index;
mod refusal;
mod registry_auth;
mod remove;
mod tag;
mod wanted;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use containerd_client::Client;

pub use self::{
    document::Parsed,
    hosts::Hosts,
    pull::{Line, Pull, Pulled},
    reference_index::{DANGLING, Image},
    registry_auth::RegistryAuth,
};
use crate::events::Events;

/// A container that uses an image.
#[derive(Debug, Clone)]
pub struct Use {
    /// 64 hex.
    pub container: String,
    /// It runs (or is paused).
    pub running: bool,
}

/// Asks which containers use the image of an id.
pub type Users = Arc<dyn Fn(&str) -> Vec<Use> + Send + Sync>;

/// What the images need to know.
#[derive(Clone)]
pub struct Config {
    /// The namespace's client.
    pub client: Client,
    /// Where to tell.
    pub events: Events,
    /// `overlayfs`
    pub snapshotter: String,
    /// How registries are reached.
    pub hosts: Hosts,
    /// Who uses an image.
    pub users: Users,
}

/// The images of one daemon. Cheap to clone.
#[derive(Clone)]
pub struct Images {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    /// By digest.
    known: Mutex<HashMap<String, document::Known>>,
    sizes: Mutex<HashMap<String, i64>>,
}

impl Images {
    /// The images behind a client.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Images { inner: Arc::new(Inner { config, known: Mutex::default(), sizes: Mutex::default() }) }
    }

    fn client(&self) -> &Client {
        &self.inner.config.client
    }

    fn tell(&self, action: &str, id: &str, name: &str) {
        let attributes = HashMap::from([("name".to_owned(), name.to_owned())]);
        self.inner.config.events.publish("image", action, id, attributes);
    }
}
