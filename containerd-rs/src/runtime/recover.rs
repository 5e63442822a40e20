//! Finding the shims of an earlier daemon again.
//!
//! All at once, with a limit on each call, while the sockets are served already: a wedged shim delays
//! nobody but those who ask for its task.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proto::containerd::task::v3 as api;
use proto::containerd::v1::types::Status;

use super::manager::Manager;
use super::task::{Exit, Task};
use super::task_client::TaskClient;
use crate::error::{Error, Kind, Result};

/// Time a shim may take to answer each question.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

impl Manager {
    /// Finds the bundles of an earlier daemon and asks their shims. Returns when all are known to
    /// be asked; `get` and `list` wait for the answers.
    ///
    /// `runtime_of` gives the runtime's name of a container, for bundles that don't name a binary.
    pub fn recover(&self, runtime_of: impl Fn(&str, &str) -> Option<String>) {
        for (namespace, id) in self.inner.layout.all() {
            let layout = &self.inner.layout;
            let binary = layout.binary(&namespace, &id).or_else(|| {
                runtime_of(&namespace, &id).and_then(|name| self.inner.launcher.resolve(&name).ok())
            });
            let done = self.loading(&namespace, &id);
            self.inner.exits.load(&namespace, &id);
            let manager = self.clone();
            tokio::spawn(async move {
                let binary = binary.unwrap_or_else(|| PathBuf::from("/nonexistent"));
                match manager.find_again(&namespace, &id, binary.clone()).await {
                    Ok(task) => {
                        manager.insert(task.clone());
                        manager.watch(task);
                    }
                    Err(error) => {
                        tracing::warn!(%namespace, %id, %error, "the shim doesn't answer, cleaning up");
                        manager.clean_up(&namespace, &id, &binary).await;
                    }
                }
                done.send_replace(true);
            });
        }
    }

    async fn find_again(&self, namespace: &str, id: &str, binary: PathBuf) -> Result<Arc<Task>> {
        let bootstrap = self
            .inner
            .layout
            .bootstrap(namespace, id)
            .ok_or_else(|| Error::new(Kind::Unknown, format!("bundle of {id}: no shim was started")))?;
        let client = TaskClient::connect(&bootstrap, namespace, ANSWER_LIMIT).await?;
        let connect = api::ConnectRequest { id: id.to_owned() };
        client.connected(&connect, Some(ANSWER_LIMIT)).await?;
        let state = api::StateRequest { id: id.to_owned(), exec_id: String::new() };
        let state = client.state(&state, Some(ANSWER_LIMIT)).await?;
        let bundle = self.inner.layout.bundle(namespace, id);
        let task = Arc::new(Task::new(namespace, id, binary, client, super::shim_log(&bundle, id)));
        match state.status() {
            Status::Stopped => {
                task.note_started("");
                let exit = Exit { pid: state.pid, status: state.exit_status, at: state.exited_at };
                self.inner.exits.report(namespace, id, &exit);
            }
            Status::Created | Status::Unknown => {}
            Status::Running | Status::Paused | Status::Pausing => task.note_started(""),
        }
        tracing::info!(%namespace, %id, pid = state.pid, status = ?state.status(), "found the task again");
        Ok(task)
    }
}
