//! A mount of the user's, as kept in the record.

use serde::{Deserialize, Serialize};

/// One mount of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    /// `bind`, `volume` or `tmpfs`.
    pub kind: String,
    /// The volume's name.
    pub volume: Option<String>,
    /// The volume was made for this container alone, and goes with it.
    pub anonymous: bool,
    /// The path on the host; empty for tmpfs.
    pub source: String,
    /// The path in the container.
    pub destination: String,
    /// As given behind the second colon.
    pub mode: String,
    /// Writable.
    pub rw: bool,
    /// `rprivate`, `rshared`, …
    pub propagation: String,
    /// An empty volume gets the content of the image's path.
    pub copy_up: bool,
    /// A bind's missing source is made.
    pub make_source: bool,
    /// Mount options of a tmpfs.
    pub tmpfs_options: Vec<String>,
    /// Shown by inspect.
    pub shown: bool,
}
