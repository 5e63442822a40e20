//! The gRPC services: decode, call the domain, encode.

pub mod containers;
pub mod content;
pub mod images;
pub mod leases;
pub mod namespaces;
pub mod snapshots;

#[cfg(test)]
mod tests;
