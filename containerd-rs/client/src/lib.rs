//! A client of containerd's gRPC API.
