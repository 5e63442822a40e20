//! The gRPC services: decode, call the domain, encode.

pub mod events;
pub mod events_ttrpc;
pub mod health;
pub mod introspection;
pub mod tasks;
pub mod version;
