//! What can fail: the step, the file or setting, and the cause as source.

use std::io;
use std::path::{Path, PathBuf};

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed step. The cause is in `source`, never in the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the cgroup file system (or of proc) could not be used.
    #[error("{step} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        step: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A value was refused by the kernel.
    #[error("failed to write {value:?} to {}", path.display())]
    Write {
        /// The text written.
        value: String,
        /// The control file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Nothing of type cgroup or cgroup2 is mounted.
    #[error("no cgroup file system is mounted")]
    NoCgroups,
    /// The configuration asks for a controller this machine does not offer.
    #[error("{setting} can't be set: cgroup controller {controller:?} is not available")]
    NoController {
        /// The controller's name.
        controller: String,
        /// The setting that needs it.
        setting: String,
    },
    /// A setting makes no sense.
    #[error("invalid configuration: {setting}: {reason}")]
    Invalid {
        /// The setting.
        setting: String,
        /// What is wrong with it.
        reason: String,
    },
    /// systemd did not do what was asked.
    #[error("unable to {step} unit {unit:?}: {reason}")]
    Systemd {
        /// What was tried, as a verb.
        step: &'static str,
        /// The unit's name.
        unit: String,
        /// Its answer, or why there is none.
        reason: String,
    },
    /// bpf(2) failed.
    #[error("{step} the device program of {}", path.display())]
    Bpf {
        /// load, attach, query or detach.
        step: &'static str,
        /// The cgroup directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A state did not arrive in time.
    #[error("{} did not become {state} within {millis} ms", path.display())]
    Timeout {
        /// The cgroup.
        path: PathBuf,
        /// What was waited for.
        state: &'static str,
        /// How long.
        millis: u64,
    },
}

impl Error {
    pub(crate) fn io(step: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io { step, path: path.as_ref().to_owned(), source }
    }

    pub(crate) fn invalid(setting: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { setting: setting.into(), reason: reason.into() }
    }

    pub(crate) fn systemd(step: &'static str, unit: &str, reason: impl Into<String>) -> Self {
        Self::Systemd { step, unit: unit.to_owned(), reason: reason.into() }
    }

    /// The kernel's error number, if the kernel was asked.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } | Self::Write { source, .. } | Self::Bpf { source, .. } => {
                source.raw_os_error()
            }
            _ => None,
        }
    }

    /// Whether the cgroup was not there at all (removed meanwhile).
    pub fn is_gone(&self) -> bool {
        matches!(self.errno(), Some(libc::ENOENT | libc::ENODEV))
    }
}
