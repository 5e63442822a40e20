//! gRPC clients and servers of containerd's API.
//!
//! Modules follow the packages: `containerd::services::content::v1::content_client`. Messages are
//! those of the [`proto`] crate, so that a crate without gRPC can share them.
#![allow(unreachable_pub, reason = "generated code")]

include!(concat!(env!("OUT_DIR"), "/tree.rs"));

/// The largest message containerd's clients and servers exchange, in bytes (both directions).
///
/// tonic's own limit is 4 MiB; Go clients write content in chunks of up to 8 MiB.
pub const MAX_MESSAGE_SIZE: usize = 16 << 20;
