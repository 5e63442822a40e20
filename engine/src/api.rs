//! The Docker Engine API: parse, call, render.

mod attach;
mod body;
mod containers;
mod error;
mod events;
mod exec;
mod hijack;
pub mod images;
pub mod networks;
mod query;
pub mod router;
mod system;
pub mod version;
pub mod volumes;
