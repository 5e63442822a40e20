//! The child: from its birth in new namespaces to the exec of the container's program.
//!
//! The parent prepares a plan ([`Plan`]), makes the child ([`spawn`]) and serves its messages ([`sync`]). The
//! child runs [`child::run`] and never returns. It is a copy of a single-threaded process, so ordinary code
//! is safe in it; but it must not use anything that belongs to the parent (locks on files, buffered output),
//! and every descriptor that it opens is close-on-exec.

pub(crate) mod capabilities;
pub(crate) mod child;
pub(crate) mod console;
pub(crate) mod hooks;
pub(crate) mod namespaces;
pub(crate) mod plan;
pub(crate) mod process;
pub(crate) mod rootfs;
pub(crate) mod seccomp;
pub(crate) mod spawn;
pub(crate) mod sync;

pub(crate) use plan::{Enter, Plan, ProcessPlan};
pub(crate) use spawn::{Place, spawn};
