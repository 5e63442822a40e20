//! Garbage collection: what no image, container, lease or label holds goes.
//!
//! Mark reads a snapshot of the metadata, so nobody stops for it; sweep is one write transaction,
//! taken only if nothing was written since the mark. Files go after the transaction.

mod mark;
mod schedule;
mod sweep;

#[cfg(test)]
mod tests;

pub use schedule::schedule;
pub use sweep::{Collector, Report};
