//! One piece of a container's output.

use std::collections::BTreeMap;

use crate::timestamp::Timestamp;

/// Which of a container's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The name used in the files: `stdout` or `stderr`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    pub(crate) fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"stdout" => Some(Self::Stdout),
            b"stderr" => Some(Self::Stderr),
            _ => None,
        }
    }
}

/// An entry of a log: a line, or a piece of one that was too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The bytes. A line ends in its newline; a piece of a long line, and a last line that had none, don't.
    pub log: Vec<u8>,
    /// Where it came from.
    pub stream: Stream,
    /// When its line was complete (all pieces of a line carry the first one's time).
    pub time: Timestamp,
    /// Labels, environment and tag that the log was told to carry.
    pub attrs: BTreeMap<String, String>,
}
