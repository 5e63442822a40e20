//! The Docker Engine API: parse, call, render.

mod error;
pub mod images;
pub mod networks;
mod query;
#[allow(dead_code, reason = "the router, which splits versions off, comes with the daemon")]
pub mod version;
pub mod volumes;
