//! Layers as tar archives: applying, making, and what must never leave the root.
//!
//! [`apply`] writes a layer's tar into a directory, [`diff`] makes a tar of what changed between two
//! directories. [`Reader`] and [`Writer`] are the format: ustar, GNU's long names and sparse files,
//! PAX records. Everything read is bounded by [`Limits`]; everything written into a tree goes through
//! descriptors that cannot leave its root ([`safe_path`]).

mod apply;
mod diff;
mod error;
mod header;
mod inherit;
mod input;
mod limits;
mod pax;
mod reader;
mod safe_path;
mod sparse;
mod whiteout;
mod writer;
mod xattr;

pub use apply::{Applied, ApplyOptions, apply};
pub use diff::{DiffOptions, diff};
pub use error::{ArchiveError, Result};
pub use header::{Entry, Kind, Timestamp};
pub use inherit::inherit;
pub use limits::Limits;
pub use reader::Reader;
pub use whiteout::WhiteoutForm;
pub use writer::Writer;
