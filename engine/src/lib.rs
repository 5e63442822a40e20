//! The Docker Engine API over containerd.
pub mod networks;
