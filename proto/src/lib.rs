//! containerd's API: messages, event topics, `Any` values and ttrpc frames.
//!
//! Modules follow the protobuf packages (`containerd::services::content::v1`). The crate does no
//! I/O and knows no transport, so that the shim can use it without an HTTP stack.

pub mod labels;
pub mod status;
pub mod topics;
pub mod ttrpc;
pub mod typeurl;

#[allow(unreachable_pub, clippy::all, reason = "generated code")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/tree.rs"));
}
pub use generated::*;
