//! A container: its bundle, its runtime and its processes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cgroups::{Cgroup, OomWatch};
use serde::Deserialize;

use crate::failure::Failure;
use crate::process::{Process, State};
use crate::runtime::Runtime;
use crate::stdio::pump::Owner;

pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) runtime: Runtime,
    /// User and group that pipes are given to.
    pub(crate) io_ids: (u32, u32),
    pub(crate) init: Process,
    pub(crate) execs: BTreeMap<String, Process>,
    pub(crate) paused: bool,
    /// The init's end kills everything, for the pid namespace is its own.
    pub(crate) owns_pids: bool,
    /// Where it is, if that isn't where the shim is.
    pub(crate) cgroup: Option<Cgroup>,
    /// A watch for the kernel's out-of-memory killer, by its number in the poll loop.
    pub(crate) oom: Option<(u32, OomWatch)>,
}

impl Container {
    /// A process by its exec id; the empty id is the init.
    pub(crate) fn process(&mut self, exec: &str) -> Result<&mut Process, Failure> {
        if exec.is_empty() {
            return Ok(&mut self.init);
        }
        self.execs.get_mut(exec).ok_or_else(|| Failure::not_found(format!("process does not exist {exec}")))
    }

    pub(crate) fn owner(&self, exec: &str) -> Owner {
        (self.id.clone(), exec.to_owned())
    }

    /// The id of the process with that pid.
    pub(crate) fn process_of(&self, pid: i32) -> Option<String> {
        let mut all = std::iter::once(&self.init).chain(self.execs.values());
        all.find(|p| p.pid == pid && !matches!(p.state, State::Stopped(_))).map(|p| p.id.clone())
    }

    /// An exec whose end is still to be told.
    pub(crate) fn has_live_exec(&self) -> bool {
        self.execs.values().any(Process::is_live)
    }
}

/// What the shim wants to know of a `config.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) annotations: BTreeMap<String, String>,
    linux: Linux,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Linux {
    namespaces: Vec<Namespace>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Namespace {
    #[serde(rename = "type")]
    kind: String,
    path: String,
}

impl Config {
    /// A missing or broken file says nothing; the runtime will complain about it.
    pub(crate) fn load(bundle: &Path) -> Self {
        let bytes = fs::read(bundle.join("config.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Whether the container has a pid namespace that no other container is in.
    pub(crate) fn owns_pids(&self) -> bool {
        self.linux.namespaces.iter().any(|n| n.kind == "pid" && n.path.is_empty())
    }

    /// The group whose containers share a shim.
    pub(crate) fn group(&self) -> Option<&str> {
        let keys = ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"];
        keys.iter().find_map(|key| self.annotations.get(*key)).map(String::as_str)
    }
}
