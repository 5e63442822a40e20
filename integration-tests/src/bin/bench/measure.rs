//! One command, started and waited for by the tiny static `stopwatch`, and what it cost.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::comparison::{Cost, Figure};

/// The cost of one command.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) wall_ms: f64,
    /// Of the command and the descendants it waited for.
    pub(crate) cpu_ms: f64,
    pub(crate) peak_kb: f64,
}

impl Usage {
    /// One after the other: times add up, the peak is the larger.
    pub(crate) fn then(self, next: Self) -> Self {
        Self {
            wall_ms: self.wall_ms + next.wall_ms,
            cpu_ms: self.cpu_ms + next.cpu_ms,
            peak_kb: self.peak_kb.max(next.peak_kb),
        }
    }

    pub(crate) fn all(self) -> Cost {
        vec![(Figure::Wall, self.wall_ms), (Figure::Cpu, self.cpu_ms), (Figure::Peak, self.peak_kb)]
    }
}

/// Runs commands under the stopwatch, optionally inside another command (`nsenter …`) whose own cost
/// doesn't count.
#[derive(Debug)]
pub(crate) struct Meter {
    stopwatch: PathBuf,
    around: Vec<OsString>,
    scratch: tempfile::TempDir,
}

impl Meter {
    /// `around` comes before the stopwatch on the command line; empty for none.
    ///
    /// # Errors
    /// No scratch folder can be made.
    pub(crate) fn new(around: Vec<OsString>) -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("bench-").tempdir().context("make a scratch folder")?;
        Ok(Self { stopwatch: integration_tests::bin("stopwatch"), around, scratch })
    }

    /// Runs one command to its end, in `dir`.
    ///
    /// # Errors
    /// It fails; what it said is in the error.
    pub(crate) fn run(&self, dir: &Path, command: &[OsString]) -> Result<Usage> {
        let (result, said) = (self.scratch.path().join("result"), self.scratch.path().join("said"));
        // A file, no pipe: a container's init inherits it, and a pipe's reader would wait for that.
        let output = File::create(&said).context("make the file for the output")?;
        let mut words = self.around.clone();
        words.push(self.stopwatch.clone().into());
        words.push(result.clone().into());
        words.extend_from_slice(command);
        let mut starter = Command::new(&words[0]);
        starter.args(&words[1..]).current_dir(dir).process_group(0);
        starter.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        starter.env("PATH", integration_tests::path_with_ours()).env_remove("DOCKER_HOST");
        let status = starter.status().with_context(|| format!("start {}", words[0].display()))?;
        let line = std::fs::read_to_string(&result).unwrap_or_default();
        let _ = std::fs::remove_file(&result);
        let said = || std::fs::read_to_string(&said).unwrap_or_default();
        let shown = || command.iter().map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ");
        if !status.success() {
            bail!("{}: {status}: {}", shown(), said());
        }
        let fields: Vec<f64> = line.split_whitespace().filter_map(|f| f.parse().ok()).collect();
        let [code, wall, user, system, peak] = fields[..] else {
            bail!("{}: the stopwatch wrote {line:?}", shown());
        };
        if code != 0.0 {
            bail!("{}: exit code {code}: {}", shown(), said());
        }
        Ok(Usage { wall_ms: wall / 1000.0, cpu_ms: (user + system) / 1000.0, peak_kb: peak })
    }
}
