//! containerd's daemon: content, metadata, snapshots, images, tasks and events behind its gRPC API.

pub mod blocking;
pub mod content;
pub mod error;
pub mod events;
pub mod gc;
pub mod metadata;
pub mod request;
pub mod services;
pub mod snapshots;
