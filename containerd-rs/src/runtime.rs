//! Tasks: containers' processes, kept by shims that outlive the daemon.
//!
//! A *bundle* is a task's directory, a *shim* the process behind its socket, a *task* the daemon's
//! connection to it. The shim owns the processes; what the daemon knows it can ask again.

mod bundle;
mod exits;
mod launch;
mod manager;
mod recover;
mod task;
mod task_client;
mod ttrpc;

pub use bundle::Layout;
pub use exits::Exits;
pub use launch::Launcher;
pub use manager::{Create, Manager};
pub use task::{Exit, Stdio, Task};

/// Copies a bundle's `log` fifo, where its shim writes its log, to the daemon's standard error.
fn shim_log(bundle: &std::path::Path, id: &str) -> Option<tokio::task::AbortHandle> {
    use tokio::io::{AsyncBufReadExt, BufReader};
    // Open for both: no end of file between two shims, and no waiting for the first.
    let fifo = tokio::net::unix::pipe::OpenOptions::new().read_write(true).open_receiver(bundle.join("log"));
    let fifo = match fifo {
        Ok(fifo) => fifo,
        Err(error) => {
            tracing::warn!(id, %error, "open the shim's log");
            return None;
        }
    };
    let id = id.to_owned();
    let copy = tokio::spawn(async move {
        let mut lines = BufReader::new(fifo).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            tracing::info!(id, "shim: {}", String::from_utf8_lossy(&line));
        }
    });
    Some(copy.abort_handle())
}
