//! The gRPC services: decode, call the domain, encode.

pub mod containers;
pub mod content;
pub mod diff;
pub mod events;
pub mod events_ttrpc;
pub mod health;
pub mod images;
pub mod introspection;
pub mod leases;
pub mod namespaces;
pub mod snapshots;
pub mod streaming;
pub mod tasks;
pub mod transfer;
pub mod version;

#[cfg(test)]
mod tests;
