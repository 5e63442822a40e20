//! The Docker Engine API over containerd.

pub mod api;
pub mod error;
pub mod events;
pub mod filters;
pub mod id;
pub mod images;
pub mod networks;
pub mod timestamp;
pub mod volumes;
