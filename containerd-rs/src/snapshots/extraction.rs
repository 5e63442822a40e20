//! A layer's directory before its parent is known: no record names it until it is whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::snapshotter::{Directory, Snapshotter};

/// A directory to unpack one layer into. Dropped without a commit, it is removed.
#[derive(Debug)]
pub struct Extraction {
    snapshotter: Arc<dyn Snapshotter>,
    directory: Directory,
    path: PathBuf,
    is_kept: bool,
}

impl Extraction {
    pub(super) fn new(snapshotter: Arc<dyn Snapshotter>, directory: Directory, path: PathBuf) -> Self {
        Self { snapshotter, directory, path, is_kept: false }
    }

    /// Where the layer's files go; whiteouts in overlay's form.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The snapshotter's name.
    pub fn snapshotter(&self) -> &'static str {
        self.snapshotter.name()
    }

    pub(super) fn directory(&self) -> Directory {
        self.directory
    }

    /// Says that a record names the directory now.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Extraction {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = self.snapshotter.remove(self.directory)
        {
            tracing::warn!(%error, path = %self.path.display(), "an extraction's directory stays until the next start");
        }
    }
}
