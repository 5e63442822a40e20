//! The Docker Engine API over containerd.

mod api;
mod config;
mod containerd;
mod containers;
mod daemon;
mod error;
mod events;
mod filters;
mod id;
mod images;
mod networks;
mod runtimes;
mod server;
mod store;
mod timestamp;
mod volumes;

pub use config::Args;
pub use daemon::run;
