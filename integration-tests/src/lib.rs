//! The harness: private stacks of real binaries, images from the machine's own packages, a real
//! registry, and a census that finds what was left behind.
//!
//! Layers are seen only as binaries, sockets and files. Everything a test starts lives in a
//! temporary folder and a network namespace of its own and is gone when its guard is dropped.

mod binaries;
mod census;
mod client;
mod crafted;
mod daemon;
mod fake_registry;
mod http;
mod image;
mod netns;
mod output;
mod peers;
mod platform_index;
mod private;
mod registry;
mod remains;
mod small_disk;
mod stack;
mod tar;
mod token_server;
mod wait;

pub use binaries::{bin, bin_dir, command, our_shim_as_gos, path_with_ours};
pub use census::Census;
pub use client::{Client, namespace};
pub use crafted::{CraftedImage, INDEX, MANIFEST, digest, gzip};
pub use daemon::Daemon;
pub use fake_registry::{Answer, FakeRegistry};
pub use http::{HttpAnswer, RawHttp, http_exchange, http_request};
pub use image::{BusyboxImage, busybox_rootfs};
pub use netns::{Netns, in_netns};
pub use output::Output;
pub use peers::{Containerd, Dockerd, Podman};
pub use platform_index::PlatformIndex;
pub use private::PrivateMachine;
pub use registry::Registry;
pub use small_disk::{Ballast, SmallDisk};
pub use stack::{Stack, Victim, kill_shim_9, shims_of};
pub use tar::{TarEntry, tar};
pub use token_server::TokenServer;
pub use wait::eventually;
