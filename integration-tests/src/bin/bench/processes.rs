//! Processes as /proc shows them: whose they are, and what their memory really costs.

use std::path::Path;

use anyhow::{Context, Result};

/// A process and its program.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) program: String,
}

/// Memory of one process, kB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Pages that no other process has mapped.
    pub(crate) private: f64,
    /// Those of them that were written: they stay private whatever else runs.
    pub(crate) dirty: f64,
    /// All pages, shared ones divided by their users.
    pub(crate) proportional: f64,
}

/// Processes in whose command line `dir` occurs, or which work below it: shims work in their bundle.
pub(crate) fn naming(dir: &Path) -> Vec<Process> {
    let needle = dir.to_string_lossy();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        let works_there = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
        if pid != std::process::id() && (line.contains(&*needle) || works_there) {
            let program = line.split('\0').next().unwrap_or_default();
            found.push(Process { pid, program: program.rsplit('/').next().unwrap_or_default().to_owned() });
        }
    }
    found
}

impl Process {
    /// What its memory costs now.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let path = format!("/proc/{}/smaps_rollup", self.pid);
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let kilobytes = |key: &str| -> Result<f64> {
            let line = text.lines().find_map(|line| line.strip_prefix(key)).context("a field is missing")?;
            line.trim_end_matches(" kB").trim().parse().context("no number")
        };
        let (clean, dirty) = (kilobytes("Private_Clean:")?, kilobytes("Private_Dirty:")?);
        Ok(Memory { private: clean + dirty, dirty, proportional: kilobytes("Pss:")? })
    }
}
