//! A client of containerd's gRPC API: one connection to its Unix socket, one namespace.
//!
//! [`Client`] is cheap to clone. Each module holds the calls of one service. While the daemon is
//! away (restarted, killed) calls wait for the socket to answer again, up to the patience given;
//! calls that only read, and those that may be repeated, are sent again when the connection breaks
//! under them.

mod connect;
mod containers;
mod content;
mod diff;
mod error;
mod events;
mod images;
mod introspection;
mod lease;
mod pull;
mod snapshots;
mod streaming;
mod tasks;

pub use connect::Client;
pub use content::{BlobWriter, MAX_DOCUMENT};
pub use error::{Error, Kind, Result};
pub use events::EventStream;
pub use lease::Lease;
pub use pull::{Credentials, PullRequest, Pulling};
pub use streaming::ByteStream;
pub use tasks::{Exit, Stdio};
