//! systemd as the maker of a container's cgroup: a transient scope with the container's first process in it.
//!
//! Spoken by hand on systemd's own socket (no bus daemon, no thread): one call to start the scope, one to stop it,
//! one to change it.

mod bus;
mod name;
mod properties;
mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxResources};
use serde::{Deserialize, Serialize};

use self::bus::Bus;
use self::wire::Value;
use crate::cgroup::{Cgroup, Dir};
use crate::detect::{Host, Layout};
use crate::devices::Policy;
use crate::error::{Error, Result};
use crate::placement::{Placement, Request};

/// The driver for `--systemd-cgroup`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Systemd;

/// A unit, as a state file keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unit {
    #[serde(rename = "u")]
    pub(crate) name: String,
    #[serde(rename = "s")]
    pub(crate) slice: String,
}

/// What a scope is started with.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// Limits that systemd must know, or it would undo them when it is reloaded.
    pub resources: Option<&'a LinuxResources>,
    /// With those that every container has.
    pub devices: &'a [LinuxDeviceCgroup],
    /// `org.systemd.property.NAME` ones are set on the scope.
    pub annotations: &'a BTreeMap<String, String>,
}

impl Placement for Systemd {
    /// `slice:prefix:name`, by default the system's (or the user's) slice, `runc` and the id.
    fn place(&self, host: &Host, request: &Request<'_>) -> Result<Cgroup> {
        let path = request.cgroups_path.map(Path::to_string_lossy).unwrap_or_default();
        let user = nix::unistd::geteuid();
        let unit = name::unit(&path, request.id, user.is_root())?;
        let (Layout::V2, Some(unified)) = (host.layout(), &host.unified) else {
            return Err(Error::systemd("place", &unit.name, "the systemd driver needs cgroup v2 alone"));
        };
        let mut dir = unified.mount.clone();
        if !user.is_root() {
            dir.push(format!("user.slice/user-{user}.slice/user@{user}.service"));
        }
        dir.push(name::expand(&unit.slice)?);
        dir.push(&unit.name);
        Ok(Cgroup::of_unit(Dir { controllers: Vec::new(), path: dir }, unit))
    }
}

impl Unit {
    /// Starts the scope with `pid` in it.
    ///
    /// A failed unit of the same name, which systemd keeps to be looked at, is forgotten first.
    pub(crate) fn start(&self, pid: i32, settings: &Settings<'_>) -> Result<()> {
        let mut bus = Bus::connect().map_err(|e| self.error("connect to start", e))?;
        let body = self.start_call(pid, settings)?;
        let mut job = bus.call("StartTransientUnit", &body);
        if job.as_ref().is_err_and(|e| e.is("UnitExists")) {
            drop(bus.call("ResetFailedUnit", &[Value::text(&self.name)]));
            job = bus.call("StartTransientUnit", &body);
        }
        match job.and_then(|job| bus.wait(&job)) {
            Ok(result) if result == "done" => Ok(()),
            Ok(result) => Err(Error::systemd("start", &self.name, format!("its job ended as {result:?}"))),
            Err(e) => Err(self.error("start", e)),
        }
    }

    fn start_call(&self, pid: i32, settings: &Settings<'_>) -> Result<[Value; 4]> {
        let mut all = properties::basic(self, pid);
        if let Some(resources) = settings.resources {
            all.extend(properties::of_resources(resources)?);
        }
        all.extend(properties::of_devices(&Policy::from_rules(settings.devices)?));
        all.extend(properties::of_annotations(settings.annotations)?);
        let auxiliary = Value::Array("(sa(sv))".into(), Vec::new());
        Ok([Value::text(&self.name), Value::text("replace"), properties::list(all), auxiliary])
    }

    /// Tells systemd of new limits.
    pub(crate) fn set(&self, resources: &LinuxResources) -> Result<()> {
        let properties = properties::of_resources(resources)?;
        if properties.is_empty() {
            return Ok(());
        }
        let body = [Value::text(&self.name), Value::Bool(true), properties::list(properties)];
        let set = Bus::connect().and_then(|mut bus| bus.call("SetUnitProperties", &body));
        set.map(drop).map_err(|e| self.error("change", e))
    }

    /// Stops it, and makes systemd forget how it ended. One that is gone is no error.
    pub(crate) fn stop(&self) -> Result<()> {
        let mut bus = Bus::connect().map_err(|e| self.error("connect to stop", e))?;
        let stopped = bus
            .call("StopUnit", &[Value::text(&self.name), Value::text("replace")])
            .and_then(|job| bus.wait(&job));
        // It is only there if the scope failed, by an out-of-memory kill for one.
        drop(bus.call("ResetFailedUnit", &[Value::text(&self.name)]));
        match stopped {
            Ok(_) => Ok(()),
            Err(e) if e.is("NoSuchUnit") => Ok(()),
            Err(e) => Err(self.error("stop", e)),
        }
    }

    fn error(&self, step: &'static str, error: bus::Failure) -> Error {
        Error::systemd(step, &self.name, error.to_string())
    }
}

/// Where systemd listens for whoever may command it.
fn socket() -> PathBuf {
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from("/run/systemd/private");
    }
    let dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    dir.unwrap_or_else(|| format!("/run/user/{}", nix::unistd::geteuid()).into()).join("systemd/private")
}
