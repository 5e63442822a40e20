//! Tasks: containers' processes, kept by shims that outlive the daemon.
//!
//! A *bundle* is a task's directory, a *shim* the process behind its socket, a *task* the daemon's
//! connection to it. The shim owns the processes; what the daemon knows it can ask again.

mod bootstrap;
mod bundle;
mod cleanup;
mod exits;
mod launch;
mod log;
mod manager;
mod occupants;
mod rebuild;
mod recover;
mod task;
mod task_client;
mod ttrpc;

pub use bundle::Layout;
pub use exits::Exits;
pub use launch::Launcher;
pub use manager::{Create, Manager};
pub use task::{Exit, Stdio, Task};
