//! `ROOT/ID/state.json`: all that start, exec, kill and delete need, so that they never parse config.json.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cgroups::Cgroup;
use serde::{Deserialize, Serialize};

use crate::config::capabilities::CapabilitySets;
use crate::config::spec::{Hook, Rlimit};

/// Written before the first deed (no `init`: creating), and beside that once the init process exists.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    /// Of this file's shape.
    pub(crate) version: u32,
    pub(crate) id: String,
    pub(crate) oci_version: String,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: PathBuf,
    /// RFC 3339, UTC.
    pub(crate) created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) init: Option<Process>,
    pub(crate) cgroup: Cgroup,
    /// `CLONE_NEW*` of those that aren't the host's.
    pub(crate) namespaces: i32,
    /// The pid namespace was made for this container: it ends with its init.
    pub(crate) own_pid_namespace: bool,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) poststart: Vec<Hook>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) poststop: Vec<Hook>,
    /// What a process of `exec` gets unless it says otherwise.
    pub(crate) defaults: Defaults,
}

pub(crate) const VERSION: u32 = 1;

/// A process, told from another that got its number later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Clock ticks since boot.
    pub(crate) start_time: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Defaults {
    pub(crate) capabilities: Option<CapabilitySets>,
    pub(crate) no_new_privileges: bool,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) rlimits: Vec<Rlimit>,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub(crate) apparmor: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub(crate) selinux: String,
    pub(crate) oom_score_adj: Option<i32>,
    /// The compiled filter lies beside this file.
    pub(crate) seccomp: Option<SeccompRecord>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct SeccompRecord {
    pub(crate) flags: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) listener_path: Option<PathBuf>,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub(crate) listener_metadata: String,
}

impl State {
    /// As hooks and agents get it: the runtime spec's state.
    pub(crate) fn oci(&self, status: &str) -> serde_json::Value {
        let mut state = serde_json::json!({
            "ociVersion": self.oci_version,
            "id": self.id,
            "status": status,
            "pid": self.init.as_ref().map_or(0, |p| p.pid),
            "bundle": self.bundle,
        });
        if !self.annotations.is_empty() {
            state["annotations"] = serde_json::json!(self.annotations);
        }
        state
    }
}
