//! What can fail: the step, the path, and the kernel's answer as source.

use std::io;
use std::path::{Path, PathBuf};

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call on one path.
    #[error("{step} {}", path.display())]
    Path {
        /// What was tried, as a verb.
        step: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A mount of a list, with all that was asked for.
    #[error("mount {kind:?} from {source_name:?} on {} (flags {flags:#x}, data {data:?})", target.display())]
    Mount {
        /// Type of the file system.
        kind: String,
        /// Device, directory, or a name.
        source_name: String,
        /// Where.
        target: PathBuf,
        /// `MS_*`.
        flags: u64,
        /// What goes to the file system.
        data: String,
        /// Why not.
        source: io::Error,
    },
    /// Options longer than a page that can't be shortened.
    #[error("mount on {}: the options have {length} bytes, the kernel takes 4095", target.display())]
    TooLong {
        /// Where.
        target: PathBuf,
        /// How long they are.
        length: usize,
    },
}

impl Error {
    /// The kernel's answer, if that is why.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Path { source, .. } | Self::Mount { source, .. } => source.raw_os_error(),
            Self::TooLong { .. } => None,
        }
    }

    pub(crate) fn path(step: &'static str, path: impl AsRef<Path>, source: impl Into<io::Error>) -> Self {
        Self::Path { step, path: path.as_ref().to_owned(), source: source.into() }
    }
}
