//! What can be wrong with an archive, or with writing one out.

use std::io;

/// A failed step on an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The archive ends in the middle of an entry.
    #[error("unexpected EOF: the archive is truncated in {0}")]
    Truncated(String),
    /// It isn't a tar, or a broken one.
    #[error("archive/tar: invalid tar header: {0}")]
    Malformed(String),
    /// More of something than allowed.
    #[error("archive has {what} beyond the limit of {limit}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// An entry that has no meaning in a layer.
    #[error("unhandled tar header type {kind:?} of {path:?}")]
    Unsupported {
        /// The type byte.
        kind: char,
        /// The entry's name.
        path: String,
    },
    /// The archive can't be read.
    #[error("read archive")]
    Read(#[source] io::Error),
    /// The archive can't be written.
    #[error("write archive")]
    Write(#[source] io::Error),
    /// A step in the filesystem failed.
    #[error("{step} {path:?}")]
    Filesystem {
        /// What was tried.
        step: &'static str,
        /// On which path, relative to the tree.
        path: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// This crate's result.
pub type Result<T, E = ArchiveError> = std::result::Result<T, E>;

impl ArchiveError {
    pub(crate) fn at(step: &'static str, path: &[u8], source: impl Into<io::Error>) -> Self {
        Self::Filesystem { step, path: show(path), source: source.into() }
    }
}

/// A path for people: lossy, and short.
pub(crate) fn show(path: &[u8]) -> String {
    const SHOWN: usize = 200;
    let mut text = String::from_utf8_lossy(&path[..path.len().min(SHOWN)]).into_owned();
    if path.len() > SHOWN {
        text.push('…');
    }
    text
}
