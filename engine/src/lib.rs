//! The Docker Engine API over containerd.
