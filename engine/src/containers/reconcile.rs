//! What a killed daemon left, finished or undone before anything is served.

use std::sync::Arc;

use proto::containerd::v1::types::Status as TaskStatus;

use super::finish::Ended;
use super::record::Intent;
use super::state::{Change, Status};
use super::{Container, Containers, forgotten, restart};
use crate::error::{Error, Result};

/// A task that is gone without a word: docker's code for it.
const LOST: i64 = 255;

impl Containers {
    /// How the task of a container that should run under `pid` has ended; none if it lives.
    pub(super) async fn task_end(&self, container: &Container, pid: u32) -> Result<Option<Ended>> {
        let id = container.id.as_str();
        let mut task = self.client.task(id, "").await;
        if task.as_ref().is_err_and(containerd_client::Error::is_not_found) && forgotten::lives(id, pid) {
            tracing::error!(container = id, pid, "containerd has forgotten a container that lives");
            self.reintroduce(&container.record()).await?;
            task = self.client.task(id, "").await;
        }
        let task = match task {
            Ok(task) => task,
            // Of nobody, but no end.
            Err(error) if error.is_not_found() && forgotten::lives(id, pid) => return Ok(None),
            Err(error) if error.is_not_found() => {
                return Ok(Some(Ended { pid, exit_code: LOST, at: crate::timestamp::now() }));
            }
            Err(error) => return Err(error.into()),
        };
        if task.status != TaskStatus::Stopped as i32 {
            return Ok(None);
        }
        let at = task
            .exited_at
            .and_then(|time| std::time::SystemTime::try_from(time).ok())
            .map(crate::timestamp::from_system);
        Ok(Some(Ended {
            pid,
            exit_code: i64::from(task.exit_status),
            at: at.filter(|at| *at > 0).unwrap_or_else(crate::timestamp::now),
        }))
    }

    /// Brings records and the world together. Containers that live go on; ends that happened meanwhile are
    /// taken in with their own code and time; what was half-made is undone, half-removed is removed.
    ///
    /// # Errors
    /// The networks can't be set up. One container's trouble is logged and doesn't keep the others.
    pub async fn reconcile(&self) -> Result<()> {
        let all = self.registry.all();
        for container in &all {
            super::rootfs::release(&self.rootfs_dir(&container.id));
            if let Err(error) = self.adopt(container).await {
                tracing::error!(
                    container = container.id,
                    error = error.full_text(),
                    "could not be taken over as it should"
                );
            }
        }
        // First the sandboxes of the living are mended, then the dead are buried (which releases theirs).
        let lives = |container: &&Arc<Container>| container.state().status.has_process();
        self.networks
            .reconcile(all.iter().filter(lives).map(|container| container.id.clone()).collect())
            .await?;
        for container in all.iter().filter(lives) {
            if let Err(error) = self.compare(container).await {
                tracing::error!(
                    container = container.id,
                    error = error.full_text(),
                    "could not be compared with its task"
                );
            }
        }
        Ok(())
    }

    /// Starts what its policy wants after the daemon has come up.
    pub fn revive(&self) {
        for container in self.registry.all() {
            let (containers, container) = (self.clone(), container);
            tokio::spawn(async move {
                let record = container.record();
                let again = match record.state.status {
                    Status::Restarting => true,
                    Status::Exited => restart::wants_restart(&record, record.state.exit_code, true),
                    _ => false,
                };
                if record.auto_remove() && record.state.status == Status::Exited {
                    if let Err(error) = containers.remove(&container, true, true).await {
                        tracing::warn!(
                            container = container.id,
                            error = error.full_text(),
                            "could not be removed after its end"
                        );
                    }
                } else if again {
                    let _operation = container.operation.lock().await;
                    if matches!(container.state().status, Status::Restarting | Status::Exited)
                        && let Err(error) = containers.start_locked(&container).await
                    {
                        tracing::warn!(
                            container = container.id,
                            error = error.full_text(),
                            "could not be started again"
                        );
                    }
                }
            });
        }
    }

    async fn adopt(&self, container: &Arc<Container>) -> Result<()> {
        let record = container.record();
        let _operation = container.operation.lock().await;
        match record.intent {
            Some(Intent::Create) => {
                tracing::info!(container = record.id, "a create was cut off: undone");
                self.unmake(container).await;
                self.registry.remove(container)?;
                self.drop_anonymous_volumes(&record);
                return Ok(());
            }
            Some(Intent::Remove) => {
                tracing::info!(container = record.id, "a removal was cut off: finished");
                container.update(|record| {
                    record.state.status = Status::Exited;
                    Ok(())
                })?;
                return self.remove_locked(container, record.auto_remove()).await;
            }
            Some(Intent::Start) => return self.adopt_start(container).await,
            None => {}
        }
        if record.state.status.has_process() {
            container.streams.begin();
            let task = self.client.task(&record.id, "").await;
            if let Ok(task) = task {
                // A freeze or thaw may have been cut off between deed and record.
                let paused = task.status == TaskStatus::Paused as i32;
                if paused && record.state.status == Status::Running {
                    container.apply(Change::Paused)?;
                } else if task.status == TaskStatus::Running as i32 && record.state.status == Status::Paused {
                    container.apply(Change::Resumed)?;
                }
            }
        }
        Ok(())
    }

    /// The process may run already, without the record knowing.
    async fn adopt_start(&self, container: &Arc<Container>) -> Result<()> {
        let id = container.id.as_str();
        match self.client.task(id, "").await {
            Ok(task)
                if task.status != TaskStatus::Created as i32 && task.status != TaskStatus::Unknown as i32 =>
            {
                tracing::info!(
                    container = id,
                    pid = task.pid,
                    "a start was cut off after the process ran: taken over"
                );
                container.streams.begin();
                container.update(|record| {
                    record.intent = None;
                    let change = Change::Started { pid: task.pid, at: crate::timestamp::now() };
                    record.state.apply(change).map_err(|error| Error::conflict(error.to_string()))
                })
            }
            Ok(_) | Err(_) => {
                tracing::info!(container = id, "a start was cut off: undone");
                self.undo_start(container).await;
                container.update(|record| {
                    record.intent = None;
                    if record.state.status == Status::Restarting {
                        record.state.status = Status::Exited;
                    }
                    Ok(())
                })
            }
        }
    }
}
