//! The content store: blobs by digest, and the ones that are being written.
//!
//! ```text
//! ROOT/blobs/sha256/HEX                 a finished blob, 0444, one file for all namespaces
//! ROOT/ingest/sha256(NS/1/REF)/data     bytes so far
//!                              ref      "NS/1/REF"
//! ```
//! Which namespace may see a blob, its labels, and what is expected of an ingest is in the metadata.
//! A file without a record is removed by the first garbage collection after a start.

mod damaged;
mod ingest;
mod rebuild;
mod store;
mod verify;

#[cfg(test)]
mod tests;

pub use ingest::{Finish, Ingest};
pub use store::{Sharing, Status, Store};
pub use verify::{check_digest, is_digest};
