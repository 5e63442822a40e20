//! The formats, and which code speaks for each.

use std::fmt;

use crate::entry::{Entry, Stream};
use crate::lines::End;
use crate::timestamp::Timestamp;
use crate::{cri, json_file, local};

/// A format of log files; the name is also the URI's scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Docker's default: a JSON object a line.
    JsonFile,
    /// Docker's `local`: protobuf records between their lengths.
    Local,
    /// Kubernetes: `TIME stdout F text`.
    Cri,
}

impl Format {
    /// `json-file`, `local` or `cri`.
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonFile => "json-file",
            Self::Local => "local",
            Self::Cri => "cri",
        }
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::JsonFile, Self::Local, Self::Cri].into_iter().find(|f| f.name() == name)
    }

    /// Puts one encoded entry behind `out`. `extra` comes from [`json_file::encode_attrs`].
    pub(crate) fn encode(
        self,
        out: &mut Vec<u8>,
        stream: Stream,
        time: Timestamp,
        piece: Piece<'_>,
        extra: &[u8],
    ) {
        match self {
            Self::JsonFile => json_file::encode(out, stream, time, piece.log, extra),
            Self::Local => local::encode(out, stream, time, piece),
            Self::Cri => cri::encode(out, stream, time, piece),
        }
    }

    /// Length of the first whole record in `bytes`, its delimiters included.
    pub(crate) fn record_len(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::JsonFile | Self::Cri => bytes.iter().position(|b| *b == b'\n').map(|at| at + 1),
            Self::Local => local::record_len(bytes),
        }
    }

    /// Decodes a whole record; `None` for a damaged one.
    pub(crate) fn decode(self, record: &[u8]) -> Option<Entry> {
        match self {
            Self::JsonFile => json_file::decode(record),
            Self::Local => local::decode(record),
            Self::Cri => cri::decode(record),
        }
    }

    /// Records are lines, so they can be counted from a file's end.
    pub(crate) fn is_text(self) -> bool {
        self != Self::Local
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A piece of a line on its way to the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) log: &'a [u8],
    pub(crate) end: End,
    /// Number of the piece within its line, from 0.
    pub(crate) ordinal: u32,
}

impl<'a> Piece<'a> {
    /// The bytes without the newline.
    pub(crate) fn text(&self) -> &'a [u8] {
        self.log.strip_suffix(b"\n").unwrap_or(self.log)
    }
}
