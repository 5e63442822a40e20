//! A container's state, and the one function that changes it.

use serde::{Deserialize, Serialize};

/// What a container is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, never started (or its start failed).
    #[default]
    Created,
    /// Its init process runs.
    Running,
    /// All its processes are frozen.
    Paused,
    /// Ended; its policy will start it again.
    Restarting,
    /// Ended.
    Exited,
    /// Being removed.
    Removing,
    /// Its removal failed half-way.
    Dead,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Removing => "removing",
            Self::Dead => "dead",
        }
    }

    /// The init process lives.
    pub fn has_process(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// State with what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What it is doing.
    pub status: Status,
    /// The init process on the host; 0 without one.
    pub pid: u32,
    /// Of the last run; 0 while it runs.
    pub exit_code: i64,
    /// Why the last start failed.
    pub error: String,
    /// The kernel killed a process of the last run for want of memory.
    pub oom_killed: bool,
    /// Nanoseconds since 1970.
    pub started_at: Option<i64>,
    /// Nanoseconds since 1970.
    pub finished_at: Option<i64>,
}

/// What can happen to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The init process was started.
    Started {
        /// Its pid on the host.
        pid: u32,
        /// When.
        at: i64,
    },
    /// A start failed.
    StartFailed {
        /// The code that docker's clients see.
        exit_code: i64,
        /// Why.
        error: String,
    },
    /// Frozen.
    Paused,
    /// Thawed.
    Resumed,
    /// The init process ended.
    Exited {
        /// Its code.
        exit_code: i64,
        /// When.
        at: i64,
        /// The policy will start it again.
        restarting: bool,
    },
    /// The policy's next try was given up.
    RestartCancelled,
    /// The kernel killed a process.
    OutOfMemory,
    /// Its removal begins.
    Removing,
    /// Its removal failed.
    RemovalFailed,
}

/// A change that the state does not allow.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a container that is {} can't become {change}", from.as_str())]
pub struct Impossible {
    /// What it was doing.
    pub from: Status,
    /// What was to happen.
    pub change: &'static str,
}

impl State {
    /// Applies a change.
    ///
    /// # Errors
    /// The change can't happen in this state; nothing is changed.
    pub fn apply(&mut self, change: Change) -> Result<(), Impossible> {
        let from = self.status;
        let refuse = |change| Err(Impossible { from, change });
        match change {
            Change::Started { pid, at } => match from {
                Status::Created | Status::Exited | Status::Restarting => {
                    *self = Self {
                        status: Status::Running,
                        pid,
                        started_at: Some(at),
                        finished_at: self.finished_at,
                        ..Self::default()
                    };
                }
                _ => return refuse("running"),
            },
            Change::StartFailed { exit_code, error } => match from {
                Status::Created | Status::Exited | Status::Restarting => {
                    if from == Status::Restarting {
                        self.status = Status::Exited;
                    }
                    (self.exit_code, self.error) = (exit_code, error);
                }
                _ => return refuse("failed to start"),
            },
            Change::Paused if from == Status::Running => self.status = Status::Paused,
            Change::Paused => return refuse("paused"),
            Change::Resumed if from == Status::Paused => self.status = Status::Running,
            Change::Resumed => return refuse("resumed"),
            Change::Exited { exit_code, at, restarting } if from.has_process() => {
                self.status = if restarting { Status::Restarting } else { Status::Exited };
                (self.pid, self.exit_code, self.finished_at) = (0, exit_code, Some(at));
            }
            Change::Exited { .. } => return refuse("exited"),
            Change::RestartCancelled if from == Status::Restarting => self.status = Status::Exited,
            Change::RestartCancelled => return refuse("exited"),
            Change::OutOfMemory => self.oom_killed = true,
            Change::Removing if !from.has_process() => self.status = Status::Removing,
            Change::Removing => return refuse("removed"),
            Change::RemovalFailed => self.status = Status::Dead,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_goes_through_its_states() {
        let mut state = State::default();
        state.apply(Change::Started { pid: 7, at: 1 }).expect("start");
        state.apply(Change::Paused).expect("pause");
        state.apply(Change::Resumed).expect("resume");
        state.apply(Change::Exited { exit_code: 3, at: 2, restarting: false }).expect("exit");
        assert_eq!((state.status, state.pid, state.exit_code), (Status::Exited, 0, 3));
        state.apply(Change::Started { pid: 8, at: 3 }).expect("start again");
        assert_eq!((state.exit_code, state.finished_at), (0, Some(2)), "the code is reset, the time stays");
    }

    #[test]
    fn impossible_changes_change_nothing() {
        let mut state = State::default();
        let before = state.clone();
        assert!(state.apply(Change::Paused).is_err());
        assert!(state.apply(Change::Exited { exit_code: 0, at: 0, restarting: false }).is_err());
        assert_eq!(state, before);
        state.apply(Change::Started { pid: 1, at: 1 }).expect("start");
        assert!(state.apply(Change::Removing).is_err(), "a running container isn't removed");
        assert!(state.apply(Change::Started { pid: 2, at: 1 }).is_err());
    }

    #[test]
    fn a_failed_start_leaves_created_with_code_and_text() {
        let mut state = State::default();
        state.apply(Change::StartFailed { exit_code: 127, error: "no such command".into() }).expect("fail");
        assert_eq!((state.status, state.exit_code), (Status::Created, 127));
    }
}
