//! Container log files: Docker's json-file, CRI and local formats, rotation and reading.
//!
//! The shim writes with [`LogWriter`]; the engine and CRI read with [`LogReader`] and follow with
//! [`Follow`], from blocking threads. What to write, and where, travels in a stdio URI ([`LogUri`]):
//!
//! ```text
//! json-file:///var/lib/engine/containers/ID/ID-json.log?max-size=10m&max-file=3&compress=true&tee=/run/f
//! ```
//!
//! On disk: `PATH` is the file being written, `PATH.1` (or `PATH.1.gz`) the newest rotated one, then
//! `PATH.2` and so on; `PATH.new` and `PATH.1.gz.tmp` exist for a moment while rotating. `PATH` itself is
//! never missing in between, so a reader that finds it gone knows that the log was removed.
#![warn(missing_docs)]

mod codec;
mod cri;
mod cursor;
mod entry;
mod error;
mod follow;
mod json_file;
mod lines;
mod local;
mod read;
mod rotate;
mod timestamp;
mod uri;
mod write;

pub use codec::Format;
pub use entry::{Entry, Stream};
pub use error::{Error, Result};
pub use follow::{Control, Follow};
pub use lines::MAX_LINE;
pub use read::{LogReader, ReadOptions};
pub use timestamp::Timestamp;
pub use uri::{BinaryLogger, LogUri, is_log_uri, parse_size, percent_decode};
pub use write::{LogWriter, Mark};
