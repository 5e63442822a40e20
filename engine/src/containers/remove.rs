//! Removing a container and what it alone used.

use std::sync::Arc;

use super::record::{Intent, Record};
use super::state::{Change, Status};
use super::{Container, Containers};
use crate::error::{Error, Kind, Result};

impl Containers {
    /// Removes a container: `force` ends its run first, `volumes` takes its anonymous volumes along.
    ///
    /// # Errors
    /// 409 when it runs or is being removed.
    pub async fn remove(&self, container: &Arc<Container>, force: bool, volumes: bool) -> Result<()> {
        let reference = crate::id::short(&container.id).to_owned();
        self.remove_as(container, &reference, force, volumes).await
    }

    /// As [`remove`](Self::remove), with the container named as the client typed it.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub async fn remove_as(
        &self,
        container: &Arc<Container>,
        reference: &str,
        force: bool,
        volumes: bool,
    ) -> Result<()> {
        let refuse = |why: &str| {
            Err(Error::conflict(format!("cannot remove container \"{reference}\": container is {why}")))
        };
        for _ in 0..3 {
            match container.state().status {
                Status::Running if !force => {
                    return refuse("running: stop the container before removing or force remove");
                }
                Status::Paused if !force => return refuse("paused and must be unpaused first"),
                Status::Restarting if !force => {
                    return refuse("restarting: stop the container before removing or force remove");
                }
                Status::Removing => {
                    return Err(Error::conflict(format!(
                        "removal of container {reference} is already in progress"
                    )));
                }
                Status::Running | Status::Paused => self.kill_for_removal(container).await?,
                _ => {}
            }
            let _operation = container.operation.lock().await;
            if container.watch().borrow().removed {
                return if force {
                    Ok(())
                } else {
                    Err(Error::not_found(format!("No such container: {reference}")))
                };
            }
            // Somebody may have started it between the end and this lock.
            if container.state().status.has_process() {
                continue;
            }
            return self.remove_locked(container, volumes).await;
        }
        refuse("running: stop the container before removing or force remove")
    }

    /// Removes; the caller holds the operation and the container doesn't run.
    pub(super) async fn remove_locked(&self, container: &Arc<Container>, volumes: bool) -> Result<()> {
        container.update(|record| {
            record.intent = Some(Intent::Remove);
            record.state.apply(Change::Removing).map_err(|error| Error::conflict(error.to_string()))
        })?;
        let taken_away = async {
            self.clear_remote(&container.id).await?;
            self.release_network(container).await;
            container.streams.end().await;
            let record = container.record();
            self.client.remove_snapshot(&record.snapshotter, &record.id).await?;
            Ok::<_, Error>(record)
        };
        let record = match taken_away.await {
            Ok(record) => record,
            Err(error) => {
                container.apply(Change::RemovalFailed)?;
                return Err(Error::new(
                    Kind::System,
                    format!(
                        "container {}: driver failed to remove root filesystem: {}",
                        container.id,
                        error.full_text()
                    ),
                ));
            }
        };
        self.unmake(container).await;
        self.execs.forget(&container.id);
        self.event(container, "destroy", &[]);
        self.registry.remove(container)?;
        if volumes {
            self.drop_anonymous_volumes(&record);
        }
        Ok(())
    }

    /// Removes the volumes that were made for a container which is gone.
    pub(super) fn drop_anonymous_volumes(&self, record: &Record) {
        for name in
            record.mounts.iter().filter(|mount| mount.anonymous).filter_map(|mount| mount.volume.as_ref())
        {
            // One that another container uses too (by --volumes-from) stays.
            if let Err(error) = self.volumes.remove(name, true) {
                tracing::debug!(volume = name, error = error.full_text(), "an anonymous volume stays");
            }
        }
    }
}
