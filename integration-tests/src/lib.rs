//! The harness: private stacks of real binaries, images from the machine's own packages, a real
//! registry, and a census that finds what was left behind.
//!
//! Layers are seen only as binaries, sockets and files. Everything a test starts lives in a
//! temporary folder and a network namespace of its own and is gone when its guard is dropped.

mod binaries;
mod census;
mod daemon;
mod image;
mod netns;
mod platform_index;
mod registry;
mod stack;
mod wait;

pub use binaries::{bin, bin_dir, command, path_with_ours};
pub use census::Census;
pub use daemon::Daemon;
pub use image::{BusyboxImage, busybox_rootfs};
pub use netns::Netns;
pub use platform_index::PlatformIndex;
pub use registry::Registry;
pub use stack::{Output, Stack};
pub use wait::eventually;
