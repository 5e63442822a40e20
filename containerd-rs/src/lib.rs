//! containerd's daemon: content, metadata, snapshots, images, tasks and events behind its gRPC API.

pub mod blocking;
pub mod cli;
pub mod config;
pub mod content;
pub mod daemon;
pub mod error;
pub mod events;
pub mod gc;
mod inherited;
pub mod metadata;
pub mod request;
pub mod runtime;
pub mod services;
pub mod snapshots;
pub mod transfer;
pub mod unpack;

/// The version that clients are told.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "+containerd-rs");
/// The revision that clients are told: what the build was given in `GIT_COMMIT`.
pub const REVISION: &str = match option_env!("GIT_COMMIT") {
    Some(revision) => revision,
    None => "unreleased",
};
