//! What a container is doing, asked from the kernel each time.

use std::fmt;

use super::state::{Process, State};
use super::store::Entry;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

impl Status {
    pub(crate) fn of(entry: &Entry, state: &State) -> Self {
        let Some(init) = &state.init else {
            // A create that is still at work holds the lock; one that was killed doesn't.
            return if entry.is_locked() { Self::Creating } else { Self::Stopped };
        };
        if !init.is_alive() {
            Self::Stopped
        } else if state.cgroup.is_frozen().unwrap_or(false) {
            Self::Paused
        } else if entry.start_pipe().exists() {
            Self::Created
        } else {
            Self::Running
        }
    }
}

/// What /proc/PID/stat says of a process: state letter and start time.
fn stat(pid: i32) -> Option<(u8, u64)> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name may contain anything, also ")": the fields start after the last one.
    let after = text.iter().rposition(|b| *b == b')')? + 2;
    let fields = std::str::from_utf8(text.get(after..)?).ok()?;
    let mut fields = fields.split(' ');
    let letter = *fields.next()?.as_bytes().first()?;
    Some((letter, fields.nth(18)?.parse().ok()?))
}

impl Process {
    pub(crate) fn of(pid: i32) -> Option<Self> {
        stat(pid).map(|(_, start_time)| Self { pid, start_time })
    }

    /// The same process (pids are used again), and not only waiting to be reaped.
    pub(crate) fn is_alive(&self) -> bool {
        stat(self.pid)
            .is_some_and(|(letter, start)| start == self.start_time && !matches!(letter, b'Z' | b'X'))
    }
}
