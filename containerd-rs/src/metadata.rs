//! The daemon's records: one embedded ACID file, one write transaction per request.
//!
//! ```text
//! ROOT/io.containerd.metadata.v1.redb/meta.db   (owner: this module)
//!   meta             "version" | "generation" -> u64
//!   namespaces       ("", name)               -> namespaces.v1.Namespace
//!   containers       (ns, id)                 -> containers.v1.Container
//!   images           (ns, name)               -> images.v1.Image
//!   leases           (ns, id)                 -> leases.v1.Lease
//!   lease_resources  (ns, id NUL type NUL id) -> nothing
//!   content          (ns, digest)             -> content.v1.Info
//!   ingests          (ns, ref)                -> IngestRecord
//!   snapshots        (ns, snapshotter/key)    -> SnapshotRecord
//!   sandboxes        (ns, id)                 -> types.Sandbox
//! ```
//! Values are the API's own messages where one exists, so what a client stored comes back as it was.

mod containers;
pub mod content;
mod db;
pub mod field_mask;
pub mod filters;
mod images;
pub mod labels;
pub mod leases;
mod namespaces;
mod open;
mod sandboxes;
pub mod snapshots;
pub mod tables;
#[cfg(test)]
mod tests;

pub use containers::Containers;
pub(crate) use db::generation;
pub use db::{Changes, Db};
pub use images::Images;
pub(crate) use images::remove as remove_image;
pub use leases::{Leases, Resource};
pub use namespaces::Namespaces;
pub(crate) use namespaces::{ensure as ensure_namespace, names as namespace_names};
pub use sandboxes::Sandboxes;
