//! The end of a run: task deleted, streams ended, sandbox released, state and event, policy.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::state::{Change, Status};
use super::{Container, Containers};
use crate::error::Result;

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    /// The init process; 0 when it isn't known which.
    pub(super) pid: u32,
    /// Its code.
    pub(super) exit_code: i64,
    /// When, in nanoseconds since 1970.
    pub(super) at: i64,
}

/// A wedged shim must not keep a container's end from its waiters.
const DELETE_PATIENCE: Duration = Duration::from_secs(15);

impl Containers {
    /// Takes in the end of a run; one that was taken in already changes nothing.
    pub(super) async fn ended(&self, container: &Arc<Container>, ended: Ended) -> Result<()> {
        let operation = container.operation.lock().await;
        let state = container.state();
        if !state.status.has_process() || (ended.pid != 0 && ended.pid != state.pid) {
            return Ok(());
        }
        let id = container.id.as_str();
        self.execs.container_ended(id);
        match tokio::time::timeout(DELETE_PATIENCE, self.client.delete_task(id)).await {
            Ok(Err(error)) if !error.is_not_found() => {
                tracing::warn!(container = id, %error, cause = error.message(), "the task of an ended container stays for now");
            }
            Err(_) => tracing::warn!(container = id, "the task of an ended container is not deleted in time"),
            Ok(_) => {}
        }
        container.streams.end().await;
        if let Err(error) = self.client.delete_container(id).await {
            tracing::warn!(container = id, %error, cause = error.message(), "containerd's record of an ended container stays for now");
        }
        self.release_network(container).await;
        let restart = self.restart_delay(container, ended);
        let started = state.started_at.unwrap_or(ended.at);
        let duration = (ended.at - started).max(0) / 1_000_000_000;
        let auto_remove = container.read(super::record::Record::auto_remove);
        if container.stopping.swap(false, Ordering::Relaxed) && !auto_remove {
            self.event(container, "stop", &[]);
        }
        self.event(
            container,
            "die",
            &[("exitCode", ended.exit_code.to_string()), ("execDuration", duration.to_string())],
        );
        container.apply(Change::Exited {
            exit_code: ended.exit_code,
            at: ended.at,
            restarting: restart.is_some(),
        })?;
        drop(operation);
        if auto_remove {
            Box::pin(self.remove(container, true, true)).await?;
        } else if let Some(delay) = restart {
            self.restart_later(container, delay);
        }
        Ok(())
    }

    /// The kernel killed a process of the container.
    pub(super) fn out_of_memory(&self, container: &Container) -> Result<()> {
        if container.state().status == Status::Running {
            container.apply(Change::OutOfMemory)?;
            self.event(container, "oom", &[]);
        }
        Ok(())
    }
}
