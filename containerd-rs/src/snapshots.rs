//! Snapshots: layered directory trees, private to their namespace.
//!
//! ```text
//! ROOT/io.containerd.snapshotter.v1.NAME/snapshots/N/    (owner: the snapshotter NAME)
//!                                        notes/N.json    (owner: notes.rs; who the directory is)
//! ```
//! The records (name, parent, kind, labels) are in the metadata, so that a snapshot, its lease and
//! its name change in one transaction. A directory without a record is half-made or let go, and is
//! swept at the next start.

mod extraction;
mod native;
mod notes;
mod overlayfs;
mod snapshotter;
mod tree;
mod usage;

#[cfg(test)]
mod suite;

pub use extraction::Extraction;
pub use native::Native;
pub use overlayfs::Overlayfs;
pub use snapshotter::{Directory, Snapshotter};
pub use tree::{Info, Snapshots};
pub use usage::Usage;
