//! Containers: their records, their lives, and what clients do with them.
//!
//! A verb is a file. [`Containers`] holds what the verbs need; a container's `operation` lock is held by
//! whoever starts, ends, changes or removes it. Before anything outside exists the record says so
//! ([`record::Intent`]); `reconcile` undoes or finishes what a killed daemon left half-made.

pub mod config;
pub mod copy_up;
pub mod create;
pub mod devices;
pub mod exec;
pub mod finish;
mod forgotten;
pub mod image;
pub mod inspect;
pub mod list;
pub mod logs;
pub mod monitor;
pub mod mount_point;
pub mod mounts;
pub mod names;
pub mod networking;
pub mod prune;
pub mod reconcile;
pub mod record;
pub mod registry;
pub mod remove;
pub mod restart;
pub mod rootfs;
pub mod security;
pub mod signals;
pub mod spec;
pub mod start;
pub mod state;
pub mod stats;
pub mod stop;
pub mod streams;
pub mod top;
pub mod update;
pub mod wait;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use containerd_client::Client;

pub use registry::{Container, Registry};

use crate::config::Config;
use crate::events::Events;
use crate::networks::Networks;
use crate::runtimes::Runtimes;
use crate::volumes::Volumes;

/// What the verbs need.
#[derive(Clone)]
pub struct Containers {
    /// All containers.
    pub registry: Arc<Registry>,
    /// The exec processes of this daemon's life.
    pub execs: exec::Execs,
    client: Client,
    config: Arc<Config>,
    events: Events,
    runtimes: Runtimes,
    networks: Networks,
    volumes: Volumes,
    snapshotter: String,
    cgroup_v2: bool,
}

impl std::fmt::Debug for Containers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Containers").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl Containers {
    /// Puts the parts together; [`Containers::reconcile`] must follow before anything is served.
    pub fn new(
        client: Client,
        config: Arc<Config>,
        events: Events,
        registry: Arc<Registry>,
        networks: Networks,
        volumes: Volumes,
        snapshotter: String,
    ) -> Self {
        let runtimes = Runtimes::new(&config);
        let cgroup_v2 = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        Self {
            registry,
            execs: exec::Execs::default(),
            client,
            config,
            events,
            runtimes,
            networks,
            volumes,
            snapshotter,
            cgroup_v2,
        }
    }

    /// The runtimes that can be asked for.
    pub fn runtimes(&self) -> &Runtimes {
        &self.runtimes
    }

    /// The snapshotter of new containers.
    pub fn snapshotter(&self) -> &str {
        &self.snapshotter
    }

    /// `DATA/containers/ID`: log, /etc files.
    fn data_dir(&self, id: &str) -> PathBuf {
        self.config.data_root.join("containers").join(id)
    }

    /// `EXEC/containers/ID`: fifos.
    fn exec_dir(&self, id: &str) -> PathBuf {
        self.config.exec_root.join("containers").join(id)
    }

    /// `EXEC/rootfs/ID`: where the daemon looks into a file system for a moment.
    fn rootfs_dir(&self, id: &str) -> PathBuf {
        self.config.exec_root.join("rootfs").join(id)
    }

    fn volumes_root(&self) -> PathBuf {
        self.config.data_root.join("volumes")
    }

    /// Publishes an event of a container, with its labels, image and name.
    fn event(&self, container: &Container, action: impl Into<String>, extra: &[(&str, String)]) {
        let mut attributes: HashMap<String, String> = container.read(|record| {
            let mut attributes = record.labels();
            attributes.insert("image".into(), record.image.name.clone());
            attributes.insert("name".into(), record.name.clone());
            attributes
        });
        attributes.extend(extra.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.events.publish("container", action, &container.id, attributes);
    }
}
