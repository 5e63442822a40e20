//! The Docker Engine API: parse, call, render.

pub mod attach;
pub mod body;
pub mod containers;
mod daemon;
mod disk_usage;
pub mod error;
pub mod events;
pub mod exec;
pub mod hijack;
pub mod images;
pub mod networks;
pub mod query;
pub mod router;
pub mod system;
pub mod version;
pub mod volumes;

pub use daemon::Daemon;
