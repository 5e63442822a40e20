//! A process of a container: its init, or an exec.

use std::fs::File;

use proto::containerd::v1::types::Status;

use crate::exit_record::Exit;
use crate::server::ReplyTo;
use crate::stdio::Stdio;

/// How far a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Created,
    /// The runtime has been told to start it and hasn't finished.
    Starting,
    Running,
    Stopped(Exit),
}

pub(crate) struct Process {
    /// The exec's id; empty for the init.
    pub(crate) id: String,
    /// 0 until there is one.
    pub(crate) pid: i32,
    pub(crate) state: State,
    pub(crate) stdio: Stdio,
    /// A terminal's master.
    pub(crate) console: Option<File>,
    /// Calls that wait for its end.
    pub(crate) waiters: Vec<ReplyTo>,
    /// Its end, when others have to be told something else first.
    pub(crate) held: Option<Exit>,
}

impl Process {
    pub(crate) fn new(id: &str, stdio: Stdio) -> Self {
        Self {
            id: id.to_owned(),
            pid: 0,
            state: State::Created,
            stdio,
            console: None,
            waiters: Vec::new(),
            held: None,
        }
    }

    pub(crate) fn exit(&self) -> Option<Exit> {
        match self.state {
            State::Stopped(exit) => Some(exit),
            _ => None,
        }
    }

    /// The kernel may still run it, or its end hasn't been told.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state, State::Starting | State::Running)
    }

    pub(crate) fn status(&self, paused: bool) -> Status {
        match self.state {
            State::Created => Status::Created,
            State::Running if paused => Status::Paused,
            State::Starting | State::Running => Status::Running,
            State::Stopped(_) => Status::Stopped,
        }
    }
}
