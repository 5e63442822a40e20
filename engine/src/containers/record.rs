//! A container as it is kept in the store (table `containers`, key: id).

use std::collections::HashMap;

use bollard_stubs::models::{ContainerConfig, EndpointSettings, HostConfig};
use serde::{Deserialize, Serialize};

use super::mount_point::MountPoint;
use super::state::State;

/// What was about to be done when the record was written; found at start, it is undone or finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// The snapshot may exist, the client has no answer yet.
    Create,
    /// Sandbox, task and process may exist.
    Start,
    /// Parts may be gone already.
    Remove,
}

/// The image a container was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRef {
    /// As given at create.
    pub name: String,
    /// `sha256:` of the config.
    pub id: String,
    /// The top layer's snapshot; empty for an image without layers.
    pub chain_id: String,
    /// containerd's name of the image.
    pub stored_as: String,
}

/// Everything the daemon knows of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// 64 hex digits.
    pub id: String,
    /// Without slash.
    pub name: String,
    /// Nanoseconds since 1970.
    pub created: i64,
    /// The command.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// What runs, merged with the image's.
    pub config: ContainerConfig,
    /// How it is run, defaults filled in.
    pub host_config: HostConfig,
    /// Networks asked for, by name.
    pub endpoints: HashMap<String, EndpointSettings>,
    /// Its image.
    pub image: ImageRef,
    /// Volumes and binds.
    pub mounts: Vec<MountPoint>,
    /// The snapshotter of its file system.
    pub snapshotter: String,
    /// What it is doing.
    pub state: State,
    /// Restarts by policy since the last start by hand.
    pub restart_count: i64,
    /// Stopped by a client: policies leave it alone.
    pub manually_stopped: bool,
    /// See [`Intent`].
    pub intent: Option<Intent>,
}

impl Record {
    /// It has a terminal.
    pub fn tty(&self) -> bool {
        self.config.tty == Some(true)
    }

    /// It is removed when it ends.
    pub fn auto_remove(&self) -> bool {
        self.host_config.auto_remove == Some(true)
    }

    /// Its labels.
    pub fn labels(&self) -> HashMap<String, String> {
        self.config.labels.clone().unwrap_or_default()
    }

    /// The name of its log driver.
    pub fn log_driver(&self) -> &str {
        let driver = self.host_config.log_config.as_ref().and_then(|log| log.typ.as_deref());
        driver.filter(|driver| !driver.is_empty()).unwrap_or("json-file")
    }

    /// The network mode: `host`, `none`, `container:ID` or a network's name.
    pub fn network_mode(&self) -> &str {
        match self.host_config.network_mode.as_deref() {
            None | Some("" | "default") => "bridge",
            Some(mode) => mode,
        }
    }
}
