//! The face of a snapshotter.
//!
//! Terms:
//! - A *snapshot* is a directory tree as it looks with all its layers. It has a name (*key*) within
//!   its namespace and perhaps a *parent*.
//! - *Active*: writable, made by prepare. *View*: the read-only mounts of a parent, made by view.
//!   *Committed*: finished; the only kind that may be a parent. Committing an active snapshot turns
//!   it into a committed one of another name and ends the key.
//! - A *directory* is the numbered place that a snapshotter keeps one snapshot's own files in. What
//!   is in it is the snapshotter's choice: the changes alone (overlayfs), or everything (native).
//! - A *chain* is the directories of a snapshot's ancestors, nearest first.
//! - An *extraction* is a directory that a layer is unpacked into before its parent is there.
//!
//! [`super::Snapshots`] keeps names, parents, labels and leases; a snapshotter only knows
//! directories. Its methods may block. Each can be interrupted at any point: a directory counts
//! only once a record names it.

use std::path::{Path, PathBuf};

use proto::containerd::types::Mount;

use super::usage::Usage;
use crate::error::Result;
use crate::metadata::tables::SnapshotKind;

/// Number of a snapshot's directory; never used twice.
pub type Directory = u64;

/// Keeps the files of snapshots.
pub trait Snapshotter: Send + Sync + std::fmt::Debug {
    /// Its name in the API.
    fn name(&self) -> &'static str;

    /// Where its directories are.
    fn root(&self) -> &Path;

    /// Makes a directory for an active snapshot or a view on `chain`. On failure nothing is left.
    ///
    /// # Errors
    /// The files can't be made.
    fn create(&self, directory: Directory, kind: SnapshotKind, chain: &[Directory]) -> Result<()>;

    /// The mounts that show a snapshot at its target.
    ///
    /// # Errors
    /// The directory can't be read.
    fn mounts(&self, directory: Directory, kind: SnapshotKind, chain: &[Directory]) -> Result<Vec<Mount>>;

    /// Finishes the directory, before its snapshot gets a committed name on `chain`. Files aren't
    /// forced to disk (as in containerd): that would write out the whole filesystem for a layer.
    ///
    /// # Errors
    /// The files can't be written.
    fn seal(&self, directory: Directory, chain: &[Directory]) -> Result<()>;

    /// The space a directory takes beyond its parent's.
    ///
    /// # Errors
    /// The files can't be read.
    fn usage(&self, directory: Directory, chain: &[Directory]) -> Result<Usage>;

    /// Removes a directory; one that is gone is no error.
    ///
    /// # Errors
    /// The files can't be removed.
    fn remove(&self, directory: Directory) -> Result<()>;

    /// All directories there are, also half-made ones.
    ///
    /// # Errors
    /// The root can't be read.
    fn directories(&self) -> Result<Vec<Directory>>;

    /// Where a layer's files go when they are unpacked without their parent (with whiteouts in
    /// overlay's form); none if a layer must be applied onto its parent.
    fn extraction_path(&self, directory: Directory) -> Option<PathBuf>;
}
