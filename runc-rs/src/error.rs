//! Errors, and how they are told: runc's texts, since containerd, Docker and Podman match on them.
//!
//! Conditions that callers react to are [`Refusal`]; everything else is anyhow with a context per step. A
//! system call's failure inside a step is [`StepError`], small enough to come back from a child by a pipe.

use std::fmt;

use nix::errno::Errno;

/// What runc says in the same case, word for word where clients match on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("container does not exist")]
    NotExist,
    #[error("container with given ID already exists")]
    Exists,
    #[error("container not running")]
    NotRunning,
    #[error("container not paused")]
    NotPaused,
    #[error("cannot start an already running container")]
    AlreadyRunning,
    #[error("cannot start a container that has stopped")]
    StartStopped,
    #[error("cannot exec in a stopped container")]
    ExecStopped,
    #[error("cannot exec in a paused container (use --ignore-paused to override)")]
    ExecPaused,
    #[error("container init was already dead, or gone before it could be started")]
    InitDead,
    #[error("invalid container ID format: {0:?}")]
    InvalidId(String),
    #[error("cannot delete container {id} that is not stopped: {status}")]
    DeleteLive { id: String, status: String },
}

/// A step that failed: what was done to what, and the kernel's answer if it came from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepError {
    pub(crate) step: String,
    pub(crate) errno: Option<Errno>,
}

pub(crate) type Step<T> = Result<T, StepError>;

impl StepError {
    /// A failure that no errno explains.
    pub(crate) fn plain(step: impl Into<String>) -> Self {
        Self { step: step.into(), errno: None }
    }

    pub(crate) fn new(step: impl Into<String>, errno: Errno) -> Self {
        Self { step: step.into(), errno: Some(errno) }
    }

    /// The same failure, with the larger step in front.
    pub(crate) fn within(mut self, outer: impl fmt::Display) -> Self {
        self.step = format!("{outer}: {}", self.step);
        self
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno {
            Some(errno) => write!(f, "{}: {}", self.step, errno_text(errno)),
            None => f.write_str(&self.step),
        }
    }
}

impl std::error::Error for StepError {}

/// Names the step of a system call that failed. The text is only made in that case.
pub(crate) trait Context<T> {
    fn step<S: Into<String>>(self, what: impl FnOnce() -> S) -> Step<T>;
}

impl<T, E: IntoErrno> Context<T> for Result<T, E> {
    fn step<S: Into<String>>(self, what: impl FnOnce() -> S) -> Step<T> {
        self.map_err(|e| StepError::new(what(), e.into_errno()))
    }
}

pub(crate) trait IntoErrno {
    fn into_errno(self) -> Errno;
}

impl IntoErrno for Errno {
    fn into_errno(self) -> Errno {
        self
    }
}

impl IntoErrno for rustix::io::Errno {
    fn into_errno(self) -> Errno {
        Errno::from_raw(self.raw_os_error())
    }
}

impl IntoErrno for std::io::Error {
    fn into_errno(self) -> Errno {
        Errno::from_raw(self.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl IntoErrno for mounts::Error {
    fn into_errno(self) -> Errno {
        Errno::from_raw(self.errno().unwrap_or(libc::EINVAL))
    }
}

/// Where the leaf's own step says enough.
impl From<mounts::Error> for StepError {
    fn from(error: mounts::Error) -> Self {
        Self { step: error.to_string(), errno: error.errno().map(Errno::from_raw) }
    }
}

/// The kernel's error in the words that Go programs print, which clients search for.
pub(crate) fn errno_text(errno: Errno) -> String {
    let text = errno.desc();
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

/// The whole chain on one line, outermost first.
pub(crate) fn report(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let part = match cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error) {
            Some(code) => errno_text(Errno::from_raw(code)),
            None => match cause.downcast_ref::<Errno>() {
                Some(errno) => errno_text(*errno),
                None => cause.to_string(),
            },
        };
        // Some layers print their source themselves: say nothing twice.
        if text.ends_with(&part) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_errors_read_as_gos() {
        assert_eq!(errno_text(Errno::EACCES), "permission denied");
        assert_eq!(errno_text(Errno::ENOENT), "no such file or directory");
        let error = anyhow::Error::from(std::io::Error::from_raw_os_error(libc::ENOTDIR)).context("open /x");
        assert_eq!(report(&error), "open /x: not a directory");
    }

    #[test]
    fn a_step_within_a_step_reads_from_outside_in() {
        let error = StepError::new("mkdir /a", Errno::EROFS).within("mount /a/b");
        assert_eq!(error.to_string(), "mount /a/b: mkdir /a: read-only file system");
    }
}
