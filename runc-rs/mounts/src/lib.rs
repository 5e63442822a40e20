//! Mount options, mount tables and mount system calls.
//!
//! - [`Options`]: option strings (of a specification or of containerd) to flags, attributes and data.
//! - [`mount_all`], [`Mount`]: containerd's mount lists, on the classic call.
//! - [`unmount_all`], [`unmount_below`]: taking mounts away, whatever lies on or below a path.
//! - [`table`] is `/proc/self/mountinfo`.
//! - [`detached`] has the newer calls, where a mount is a descriptor before it has a place.

mod classic;
pub mod detached;
mod error;
mod options;
pub mod table;
mod unmount;

pub use classic::{Mount, mount_all};
pub use error::{Error, Result};
pub use options::{Attributes, Flags, IdMap, Options, known, propagation};
pub use unmount::{unmount_all, unmount_below};
