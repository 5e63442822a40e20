//! The processor time of everything that one contender starts: its client, daemons, shims and runtimes.
//!
//! A cgroup of the v2 hierarchy (a hybrid host has one too) counts it to the microsecond, also for
//! processes that nobody waits for. Containers themselves leave for cgroups of their own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::processes;

/// A cgroup that only counts.
#[derive(Debug)]
pub(crate) struct Account {
    path: PathBuf,
}

impl Account {
    /// Makes the cgroup.
    ///
    /// # Errors
    /// No cgroup v2 hierarchy is mounted or it can't be written.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let path = hierarchy()?.join(format!("bench-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("make the cgroup {}", path.display()))?;
        Ok(Self { path })
    }

    /// Moves every process in whose command line `dir` occurs: a harness' daemons are known by their folder.
    ///
    /// # Errors
    /// One refuses to move.
    pub(crate) fn adopt(&self, dir: &Path) -> Result<()> {
        for process in processes::naming(dir) {
            std::fs::write(self.path.join("cgroup.procs"), process.pid.to_string())
                .with_context(|| format!("move process {}", process.pid))?;
        }
        Ok(())
    }

    /// The shell line that moves a process here before it becomes its arguments.
    pub(crate) fn enter(&self) -> String {
        format!("echo 0 >{}/cgroup.procs && exec \"$@\"", self.path.display())
    }

    /// Milliseconds used since the cgroup was made.
    ///
    /// # Errors
    /// The kernel's file can't be read.
    pub(crate) fn used_ms(&self) -> Result<f64> {
        let path = self.path.join("cpu.stat");
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
        let used: f64 = line.context("cpu.stat has no usage_usec")?.parse().context("usage_usec")?;
        Ok(used / 1000.0)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // Whoever is still here goes back to where he came from; an empty cgroup can be removed.
        if let (Ok(members), Some(parent)) =
            (std::fs::read_to_string(self.path.join("cgroup.procs")), self.path.parent())
        {
            for member in members.lines() {
                let _ = std::fs::write(parent.join("cgroup.procs"), member);
            }
        }
        let _ = std::fs::remove_dir(&self.path);
    }
}

fn hierarchy() -> Result<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").context("read mountinfo")?;
    for line in mounts.lines() {
        if let (Some(mount), true) = (line.split(' ').nth(4), line.contains(" - cgroup2 ")) {
            return Ok(mount.into());
        }
    }
    bail!("no cgroup v2 hierarchy is mounted")
}
