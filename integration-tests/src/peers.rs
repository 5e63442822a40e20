//! The originals from Debian's packages, private to one test.

mod containerd;
mod dockerd;
mod podman;

pub use containerd::Containerd;
pub use dockerd::Dockerd;
pub use podman::Podman;
