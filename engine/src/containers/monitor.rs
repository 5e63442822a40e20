//! containerd's events taken in: exits, and what happens outside of our own requests.
//!
//! Events are not replayed: after each (re)connect every container that should run is compared with its task.

use std::time::Duration;

use proto::containerd::events::{TaskExit, TaskOom};
use proto::containerd::types::Envelope;
use proto::{topics, typeurl};

use super::Containers;
use super::finish::Ended;
use crate::error::Result;

impl Containers {
    /// Follows containerd's events for ever. `ready` is told once the first subscription stands.
    pub async fn monitor(self, ready: tokio::sync::oneshot::Sender<()>) {
        let filters = [format!("namespace=={},topic~=|^/tasks/|", self.config.namespace)];
        let mut ready = Some(ready);
        let mut pause = Duration::from_millis(10);
        loop {
            match self.client.subscribe(&filters).await {
                Ok(mut stream) => {
                    pause = Duration::from_millis(10);
                    if let Some(ready) = ready.take() {
                        // Whoever waited may have given up.
                        let _ = ready.send(());
                    } else {
                        let containers = self.clone();
                        tokio::spawn(async move { containers.compare_all().await });
                    }
                    loop {
                        match stream.next().await {
                            Ok(event) => self.take_in(event),
                            Err(error) => {
                                tracing::info!(%error, cause = error.message(), "the event stream broke; subscribing again");
                                self.bring_back().await;
                                break;
                            }
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, cause = error.message(), "containerd is away");
                    self.bring_back().await;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
            }
        }
    }

    /// Starts containerd again if it is ours to start.
    async fn bring_back(&self) {
        let config = self.config.clone();
        let brought = tokio::task::spawn_blocking(move || crate::containerd::ensure(&config)).await;
        if let Ok(Err(error)) = brought {
            tracing::warn!("{error:#}");
        }
    }

    fn take_in(&self, envelope: Envelope) {
        let Some(event) = envelope.event else { return };
        match envelope.topic.as_str() {
            topics::TASK_EXIT => {
                let Ok(exit) = typeurl::unpack::<TaskExit>(&event) else { return };
                let at = exit
                    .exited_at
                    .and_then(|time| std::time::SystemTime::try_from(time).ok())
                    .map_or_else(crate::timestamp::now, crate::timestamp::from_system);
                if exit.id != exit.container_id && !exit.id.is_empty() {
                    self.exec_ended(&exit.container_id, &exit.id, i64::from(exit.exit_status));
                    return;
                }
                let Some(container) = self.registry.get(&exit.container_id) else { return };
                let ended = Ended { pid: exit.pid, exit_code: i64::from(exit.exit_status), at };
                let containers = self.clone();
                tokio::spawn(async move {
                    if let Err(error) = containers.ended(&container, ended).await {
                        tracing::error!(
                            container = container.id,
                            error = error.full_text(),
                            "an exit could not be taken in"
                        );
                    }
                });
            }
            topics::TASK_OOM => {
                let Ok(oom) = typeurl::unpack::<TaskOom>(&event) else { return };
                let Some(container) = self.registry.get(&oom.container_id) else { return };
                if let Err(error) = self.out_of_memory(&container) {
                    tracing::warn!(
                        container = container.id,
                        error = error.full_text(),
                        "an out-of-memory kill isn't on record"
                    );
                }
            }
            _ => {}
        }
    }

    /// Compares every container that should run with its task.
    async fn compare_all(&self) {
        for container in self.registry.all() {
            if let Err(error) = self.compare(&container).await {
                tracing::warn!(
                    container = container.id,
                    error = error.full_text(),
                    "could not be compared with its task"
                );
            }
        }
        self.compare_execs().await;
    }

    /// Takes in an end that nobody told of.
    pub(super) async fn compare(&self, container: &std::sync::Arc<super::Container>) -> Result<()> {
        let state = container.state();
        if !state.status.has_process() {
            return Ok(());
        }
        if let Some(ended) = self.task_end(container, state.pid).await? {
            self.ended(container, ended).await?;
        }
        Ok(())
    }
}
