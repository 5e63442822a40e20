//! A container as later commands know it: its state on disk, and what is done to it.

pub(crate) mod console_proxy;
pub(crate) mod create;
pub(crate) mod destroy;
pub(crate) mod exec;
pub(crate) mod foreground;
mod hooks;
pub(crate) mod parent;
pub(crate) mod signal;
pub(crate) mod start;
pub(crate) mod state;
pub(crate) mod stats;
pub(crate) mod status;
pub(crate) mod store;
