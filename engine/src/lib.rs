//! The Docker Engine API over containerd.

pub mod api;
pub mod config;
pub mod containerd;
pub mod containers;
pub mod daemon;
pub mod error;
pub mod events;
pub mod files;
pub mod filters;
pub mod id;
pub mod images;
pub mod networks;
pub mod runtimes;
pub mod server;
pub mod store;
pub mod timestamp;
pub mod volumes;

pub use config::Args;
pub use daemon::run;
