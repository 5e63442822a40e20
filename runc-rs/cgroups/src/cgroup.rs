//! A container's cgroup: its directories, their life, and who is in them.
//!
//! [`Cgroup`] is also what a state file keeps: it serialises to a short list of directories.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxResources};
use serde::{Deserialize, Serialize};

use crate::detect::{Host, Layout};
use crate::error::{Error, Result};
use crate::stats::Stats;
use crate::systemd::{Settings, Unit};
use crate::{devices, files, v1, v2};

/// A directory of one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dir {
    /// v1: the hierarchy's controllers; empty for v2.
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) controllers: Vec<String>,
    #[serde(rename = "p")]
    pub(crate) path: PathBuf,
}

impl Dir {
    fn is_unified(&self) -> bool {
        self.controllers.is_empty()
    }
}

/// Where a container is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    layout: Layout,
    dirs: Vec<Dir>,
    /// systemd's, which makes and removes the directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<Unit>,
}

/// How a new process gets in. Opened before the clone, so that nobody has to find paths afterwards.
#[derive(Debug, Default)]
pub struct Join {
    /// v2: the directory, for clone3's `CLONE_INTO_CGROUP`.
    pub into: Option<OwnedFd>,
    /// v1: `tasks` files. The single-threaded child writes `0` to each; a write by anybody else waits for an
    /// RCU grace period (8–14 ms).
    pub tasks: Vec<OwnedFd>,
}

/// How long a removal or a freeze may take before it is an error.
const PATIENCE: Duration = Duration::from_secs(10);

impl Cgroup {
    pub(crate) fn new(layout: Layout, dirs: Vec<Dir>) -> Self {
        Self { layout, dirs, unit: None }
    }

    pub(crate) fn of_unit(dir: Dir, unit: Unit) -> Self {
        Self { layout: Layout::V2, dirs: vec![dir], unit: Some(unit) }
    }

    /// Whether systemd makes it, around a process that is there already: by [`Cgroup::start`].
    pub fn needs_start(&self) -> bool {
        self.unit.is_some()
    }

    /// Asks systemd for the cgroup, with `pid` in it. Nothing to do where directories are made by [`Cgroup::create`].
    ///
    /// # Errors
    /// systemd isn't there, or refuses.
    pub fn start(&self, pid: i32, settings: &Settings<'_>) -> Result<()> {
        self.unit.as_ref().map_or(Ok(()), |unit| unit.start(pid, settings))
    }

    /// Other limits while it runs. Of a quota and its period the one that isn't named stays.
    pub fn update(&self, resources: &LinuxResources) -> Result<()> {
        let mut resources = resources.clone();
        if let (Layout::V2, Some(dir)) = (self.layout, self.unified()) {
            v2::cpu::complete(dir, &mut resources)?;
        }
        self.unit.as_ref().map_or(Ok(()), |unit| unit.set(&resources))?;
        self.apply(&resources)
    }

    /// The cgroup that process `pid` is in now.
    ///
    /// # Errors
    /// The process is gone, or no cgroup file system is mounted.
    pub fn of_pid(pid: i32) -> Result<Self> {
        let host = Host::of_pid(pid)?;
        let mut dirs: Vec<Dir> = host
            .v1
            .iter()
            .map(|h| Dir { controllers: h.controllers.clone(), path: h.mount.join(&h.own) })
            .collect();
        if let Some(h) = &host.unified {
            dirs.push(Dir { controllers: Vec::new(), path: h.mount.join(&h.own) });
        }
        Ok(Self::new(host.layout(), dirs))
    }

    /// v1, hybrid or v2.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The v2 directory, if there is one.
    pub fn unified(&self) -> Option<&Path> {
        self.dirs.iter().find(|d| d.is_unified()).map(|d| d.path.as_path())
    }

    /// The directory of a v1 controller (`memory`, `name=systemd`, …).
    pub fn controller(&self, name: &str) -> Option<&Path> {
        self.dirs.iter().find(|d| d.controllers.iter().any(|c| c == name)).map(|d| d.path.as_path())
    }

    /// Controller (empty for v2) and directory of every hierarchy, as `state` of the spec's annotations and
    /// runc's `cgroup_paths` list them.
    pub fn paths(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.dirs.iter().flat_map(|d| {
            let names =
                if d.is_unified() { vec![""] } else { d.controllers.iter().map(String::as_str).collect() };
            names.into_iter().map(move |n| (n, d.path.as_path()))
        })
    }

    /// The same place in a child cgroup, for `exec --cgroup`. `sub` never climbs above this cgroup.
    pub fn child(&self, sub: &Path) -> Self {
        let mut child = Self::new(self.layout, self.dirs.clone());
        child.dirs.iter_mut().for_each(|dir| dir.path.push(crate::detect::clean(sub)));
        child
    }

    /// A child cgroup of some v1 controllers' hierarchies, each its own.
    ///
    /// # Errors
    /// There is no such controller.
    pub fn child_of(&self, places: &[(String, PathBuf)]) -> Result<Self> {
        if let Some((name, sub)) = places.iter().find(|(name, _)| self.controller(name).is_none()) {
            let setting = format!("{name}:{}", sub.display());
            return Err(Error::NoController { controller: name.clone(), setting });
        }
        let mut child = Self::new(self.layout, self.dirs.clone());
        for dir in &mut child.dirs {
            // Controllers of one hierarchy are named together.
            if let Some((_, sub)) = places.iter().find(|(name, _)| dir.controllers.contains(name)) {
                dir.path.push(crate::detect::clean(sub));
            }
        }
        Ok(child)
    }

    /// The v2 side of a hybrid machine.
    fn is_extra(&self, dir: &Dir) -> bool {
        self.layout == Layout::Hybrid && dir.is_unified()
    }

    /// Whether any of its directories exists.
    pub fn exists(&self) -> bool {
        self.dirs.iter().any(|d| d.path.is_dir())
    }

    /// Makes the directories, with controllers enabled on the way (v2) and cpusets filled in (v1).
    ///
    /// Directories that exist are used. After an error, those made by this call are gone again.
    pub fn create(&self) -> Result<()> {
        if self.unit.is_some() {
            return Ok(());
        }
        let mut made = Vec::new();
        let result = self.dirs.iter().try_for_each(|dir| {
            if self.is_extra(dir) {
                // As runc: a part that no limit depends on may be out of reach. One that does gets its controllers
                // when the limit is set.
                drop(v2::create_plain(&dir.path, &mut made));
                Ok(())
            } else if dir.is_unified() {
                v2::create(&dir.path, &mut made)
            } else {
                v1::create(&dir.path, &dir.controllers, &mut made)
            }
        });
        if result.is_err() {
            made.iter().rev().for_each(|dir| drop(fs::remove_dir(dir)));
        }
        result
    }

    /// Writes every limit of `resources` but the device rules.
    pub fn apply(&self, resources: &LinuxResources) -> Result<()> {
        match self.layout {
            Layout::V2 => match self.unified() {
                Some(dir) => v2::apply(dir, resources),
                None => Err(Error::NoCgroups),
            },
            Layout::V1 | Layout::Hybrid => v1::apply(self, resources),
        }
    }

    /// Enforces device rules, last match wins; without a rule for all, everything is denied at first.
    pub fn apply_devices(&self, rules: &[LinuxDeviceCgroup]) -> Result<()> {
        let policy = devices::Policy::from_rules(rules)?;
        match (self.layout, self.controller("devices"), self.unified()) {
            (Layout::V2, _, Some(dir)) => devices::bpf::enforce(dir, &policy),
            (_, Some(dir), _) => devices::v1::enforce(dir, &policy),
            _ => Err(Error::NoController {
                controller: "devices".into(),
                setting: "linux.resources.devices".into(),
            }),
        }
    }

    /// Opens what a new process needs to be born in this cgroup, or to go there itself.
    pub fn join(&self) -> Result<Join> {
        let mut join = Join { into: None, tasks: Vec::new() };
        for dir in &self.dirs {
            if dir.is_unified() {
                match fs::File::open(&dir.path) {
                    Ok(file) => join.into = Some(file.into()),
                    Err(_) if self.is_extra(dir) => {}
                    Err(e) => return Err(Error::io("open", &dir.path, e)),
                }
            } else {
                let path = dir.path.join("tasks");
                let file = fs::OpenOptions::new().write(true).open(&path);
                join.tasks.push(file.map_err(|e| Error::io("open", &path, e))?.into());
            }
        }
        Ok(join)
    }

    /// Moves a process in from outside. Slow (it waits for RCU): only for a process that can't go itself.
    pub fn add(&self, pid: i32) -> Result<()> {
        self.dirs.iter().try_for_each(|d| files::write(&d.path, "cgroup.procs", &pid.to_string()))
    }

    /// Stops every process and returns when all stand still.
    pub fn freeze(&self) -> Result<()> {
        self.set_frozen(true)
    }

    /// Lets them go on.
    pub fn thaw(&self) -> Result<()> {
        self.set_frozen(false)
    }

    fn set_frozen(&self, frozen: bool) -> Result<()> {
        match (self.controller("freezer"), self.unified()) {
            (Some(dir), _) => v1::freezer::set(dir, frozen),
            (None, Some(dir)) => v2::freezer::set(dir, frozen),
            (None, None) => {
                Err(Error::NoController { controller: "freezer".into(), setting: "pause".into() })
            }
        }
    }

    /// Whether the processes are stopped (a cgroup that is gone is not).
    pub fn is_frozen(&self) -> Result<bool> {
        match (self.controller("freezer"), self.unified()) {
            (Some(dir), _) => {
                Ok(files::read_optional(dir, "freezer.state")?.is_some_and(|s| s.trim() != "THAWED"))
            }
            (None, Some(dir)) => {
                Ok(files::read_optional(dir, "cgroup.freeze")?.is_some_and(|s| s.trim() == "1"))
            }
            (None, None) => Ok(false),
        }
    }

    /// Every process in this cgroup and below, ascending.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let mut pids = BTreeSet::new();
        if let Some(dir) = self.members_dir() {
            collect(dir, &mut pids)?;
        }
        Ok(pids.into_iter().collect())
    }

    /// A process may have left some hierarchies, but rarely all: the one least played with is asked.
    fn members_dir(&self) -> Option<&Path> {
        let preferred = ["devices", "freezer", "pids"].iter().find_map(|c| self.controller(c));
        preferred.or_else(|| self.unified()).or_else(|| self.dirs.first().map(|d| d.path.as_path()))
    }

    /// Sends `signal` to every process.
    pub fn signal_all(&self, signal: Signal) -> Result<()> {
        for pid in self.pids()? {
            match kill(Pid::from_raw(pid), signal) {
                Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
                Err(e) => return Err(Error::io("signal", format!("process {pid}"), e.into())),
            }
        }
        Ok(())
    }

    /// Kills everything in it, without waiting for the deaths.
    pub fn kill_all(&self) -> Result<()> {
        if self.layout == Layout::V2
            && let Some(dir) = self.unified()
        {
            match files::write(dir, "cgroup.kill", "1") {
                Ok(()) => return Ok(()),
                Err(e) if e.is_gone() && !dir.is_dir() => return Ok(()),
                Err(e) if e.is_gone() => {}
                Err(e) => return Err(e),
            }
        }
        if self.pids()?.is_empty() {
            return Ok(());
        }
        // Frozen, nothing can fork away; a cgroup without a freezer gets several rounds instead.
        let frozen = self.freeze().is_ok();
        let killed = (0..if frozen { 1 } else { 5 }).try_for_each(|_| self.signal_all(Signal::SIGKILL));
        if frozen {
            self.thaw()?;
        }
        killed
    }

    /// Removes the directories and those below; ones that are gone already are no error.
    ///
    /// # Errors
    /// A process lives on in it for 10 s, or the kernel refuses for another reason.
    pub fn remove(&self) -> Result<()> {
        if let Some(unit) = &self.unit {
            // Whatever it says: a scope ends with its directory.
            drop(unit.stop());
        }
        self.dirs.iter().try_for_each(|dir| remove_tree(&dir.path))
    }

    /// Counters of all controllers.
    pub fn stats(&self) -> Result<Stats> {
        match (self.layout, self.unified()) {
            (Layout::V2, Some(dir)) => Ok(Stats::V2(Box::new(crate::stats::v2::read(dir)?))),
            _ => Ok(Stats::V1(Box::new(crate::stats::v1::read(self)?))),
        }
    }
}

fn collect(dir: &Path, pids: &mut BTreeSet<i32>) -> Result<()> {
    let Some(text) = files::read_optional(dir, "cgroup.procs")? else { return Ok(()) };
    pids.extend(text.lines().filter_map(|l| l.parse::<i32>().ok()));
    subdirectories(dir).iter().try_for_each(|sub| collect(sub, pids))
}

fn subdirectories(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect()
}

/// rmdir bottom-up. A process that has just died still counts for a moment (EBUSY): short naps, growing.
fn remove_tree(dir: &Path) -> Result<()> {
    let (start, mut nap) = (Instant::now(), Duration::from_micros(200));
    loop {
        match fs::remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => return Ok(()),
            Err(e) if e.raw_os_error() != Some(libc::EBUSY) => return Err(Error::io("remove", dir, e)),
            Err(e) => {
                let below = subdirectories(dir);
                if !below.is_empty() {
                    below.iter().try_for_each(|sub| remove_tree(sub))?;
                } else if start.elapsed() > PATIENCE {
                    return Err(Error::io("remove", dir, e));
                } else {
                    std::thread::sleep(nap);
                    nap = (nap * 2).min(Duration::from_millis(20));
                }
            }
        }
    }
}

/// Asks `ready` in short, growing steps.
pub(crate) fn wait_until(
    dir: &Path,
    state: &'static str,
    mut ready: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let (start, mut nap) = (Instant::now(), Duration::from_micros(100));
    while !ready()? {
        if start.elapsed() > PATIENCE {
            return Err(Error::Timeout { path: dir.to_owned(), state, millis: PATIENCE.as_millis() as u64 });
        }
        std::thread::sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(10));
    }
    Ok(())
}
