//! Stop, kill, restart, pause, unpause, rename, resize.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::state::{Change, Status};
use super::{Container, Containers, names, signals};
use crate::error::{Error, Kind, Result};

const DEFAULT_STOP_TIMEOUT: i64 = 10;
const SIGKILL: u32 = 9;
const SIGTERM: u32 = 15;
const SIGCONT: u32 = 18;

pub(super) fn not_running(container: &Container) -> Error {
    Error::conflict(format!("container {} is not running", container.id))
}

impl Containers {
    /// Stops: the stop signal, up to `timeout` seconds (negative: for ever), then KILL.
    ///
    /// # Errors
    /// 304 when it doesn't run.
    pub async fn stop(
        &self,
        container: &Arc<Container>,
        timeout: Option<i64>,
        signal: Option<&str>,
    ) -> Result<()> {
        let signal = signal.filter(|signal| !signal.is_empty()).map(signals::parse).transpose()?;
        if container.state().status == Status::Restarting {
            let _operation = container.operation.lock().await;
            self.mark_stopped(container)?;
            if self.cancel_restart(container)? {
                return Ok(());
            }
        }
        if !container.state().status.has_process() {
            return Err(Error::not_modified());
        }
        self.mark_stopped(container)?;
        self.halt(container, timeout, signal).await
    }

    fn mark_stopped(&self, container: &Container) -> Result<()> {
        container.update(|record| {
            record.manually_stopped = true;
            Ok(())
        })
    }

    /// Ends the run and waits until the end is taken in.
    async fn halt(
        &self,
        container: &Arc<Container>,
        timeout: Option<i64>,
        signal: Option<u32>,
    ) -> Result<()> {
        let (own_signal, own_timeout) =
            container.read(|record| (record.config.stop_signal.clone(), record.config.stop_timeout));
        let configured = own_signal.as_deref().and_then(|signal| signals::parse(signal).ok());
        let signal = signal.or(configured).unwrap_or(SIGTERM);
        let timeout = timeout.or(own_timeout).unwrap_or(DEFAULT_STOP_TIMEOUT);
        let mut pulse = container.watch();
        let exits = pulse.borrow_and_update().exits;
        if container.state().status == Status::Paused {
            // A frozen process takes no signal.
            self.unpause(container).await?;
        }
        container.stopping.store(true, Ordering::Relaxed);
        self.signal(container, signal).await?;
        if timeout != 0 {
            let ended = pulse.wait_for(|pulse| pulse.exits > exits || pulse.removed);
            match u64::try_from(timeout) {
                Ok(seconds) => {
                    if tokio::time::timeout(Duration::from_secs(seconds), ended).await.is_ok() {
                        return Ok(());
                    }
                }
                Err(_) => {
                    return ended.await.map(drop).map_err(|source| Error::caused("wait for the end", source));
                }
            }
        }
        self.signal(container, SIGKILL).await?;
        self.await_end(container, &mut pulse, exits).await
    }

    /// Waits for the end of a run after KILL, asking containerd in case its event got lost.
    async fn await_end(
        &self,
        container: &Arc<Container>,
        pulse: &mut tokio::sync::watch::Receiver<super::registry::Pulse>,
        exits: u64,
    ) -> Result<()> {
        for _ in 0..15 {
            let ended = pulse
                .wait_for(|pulse| pulse.exits > exits || pulse.removed || !pulse.state.status.has_process());
            if tokio::time::timeout(Duration::from_secs(2), ended).await.is_ok() {
                return Ok(());
            }
            self.compare(container).await?;
        }
        Err(Error::system(format!("container {} did not end: its process can't be killed", container.id)))
    }

    /// Sends a signal to the init process; one that has ended is as good.
    async fn signal(&self, container: &Container, signal: u32) -> Result<()> {
        self.event(container, "kill", &[("signal", signal.to_string())]);
        match self.client.kill_task(&container.id, "", signal, false).await {
            Ok(()) => Ok(()),
            Err(error) if error.is_not_found() || error.message().contains("process already finished") => {
                Ok(())
            }
            // Its shim may be going, and answers no more.
            Err(error) => match self.task_end(container, container.state().pid).await {
                Ok(Some(_)) => Ok(()),
                _ => Err(error.into()),
            },
        }
    }

    /// Sends a signal for a client; KILL waits for the end.
    ///
    /// # Errors
    /// 409 when it doesn't run, 400 for no signal.
    pub async fn kill(
        &self,
        container: &Arc<Container>,
        reference: &str,
        signal: Option<&str>,
    ) -> Result<()> {
        let wrap =
            |error: Error| Error::new(error.kind(), format!("cannot kill container: {reference}: {error}"));
        let signal =
            signal.filter(|signal| !signal.is_empty()).map_or(Ok(SIGKILL), signals::parse).map_err(wrap)?;
        let status = container.state().status;
        if status == Status::Restarting && signal == SIGKILL {
            let _operation = container.operation.lock().await;
            self.mark_stopped(container)?;
            if self.cancel_restart(container)? {
                return Ok(());
            }
        }
        if !container.state().status.has_process() {
            return Err(wrap(not_running(container)));
        }
        let stop_signal = container
            .read(|record| record.config.stop_signal.clone())
            .and_then(|text| signals::parse(&text).ok())
            .unwrap_or(SIGTERM);
        if signal == SIGKILL || signal == stop_signal {
            self.mark_stopped(container)?;
        }
        if status == Status::Paused && signal != SIGCONT && signal == SIGKILL {
            self.unpause(container).await?;
        }
        let mut pulse = container.watch();
        let exits = pulse.borrow_and_update().exits;
        self.signal(container, signal).await?;
        if signal == SIGKILL {
            self.await_end(container, &mut pulse, exits).await?;
        }
        Ok(())
    }

    /// Ends a run for a removal.
    pub(super) async fn kill_for_removal(&self, container: &Arc<Container>) -> Result<()> {
        self.mark_stopped(container)?;
        let mut pulse = container.watch();
        let exits = pulse.borrow_and_update().exits;
        if container.state().status == Status::Paused {
            self.unpause(container).await?;
        }
        self.signal(container, SIGKILL).await?;
        self.await_end(container, &mut pulse, exits).await
    }

    /// Stops, then starts.
    ///
    /// # Errors
    /// As those.
    pub async fn restart(
        &self,
        container: &Arc<Container>,
        timeout: Option<i64>,
        signal: Option<&str>,
    ) -> Result<()> {
        let signal = signal.filter(|signal| !signal.is_empty()).map(signals::parse).transpose()?;
        let auto_remove = container.read(super::record::Record::auto_remove);
        if container.state().status.has_process() {
            self.mark_stopped(container)?;
            if auto_remove {
                // It must survive its own restart.
                container.update(|record| {
                    record.host_config.auto_remove = Some(false);
                    Ok(())
                })?;
            }
            let halted = self.halt(container, timeout, signal).await;
            if auto_remove {
                container.update(|record| {
                    record.host_config.auto_remove = Some(true);
                    Ok(())
                })?;
            }
            halted?;
        }
        match self.start(container).await {
            Err(error) if error.kind() != Kind::NotModified => return Err(error),
            _ => {}
        }
        self.event(container, "restart", &[]);
        Ok(())
    }

    /// Freezes all processes.
    ///
    /// # Errors
    /// 409 when it doesn't run or is frozen.
    pub async fn pause(&self, container: &Arc<Container>) -> Result<()> {
        let _operation = container.operation.lock().await;
        match container.state().status {
            Status::Running => {}
            Status::Paused => {
                return Err(Error::conflict(format!("container {} is already paused", container.id)));
            }
            Status::Restarting => {
                return Err(Error::conflict(format!(
                    "Container {} is restarting, wait until the container is running",
                    container.id
                )));
            }
            _ => return Err(not_running(container)),
        }
        self.client.pause(&container.id).await?;
        container.apply(Change::Paused)?;
        self.event(container, "pause", &[]);
        Ok(())
    }

    /// Thaws all processes.
    ///
    /// # Errors
    /// 500 when it isn't frozen.
    pub async fn unpause(&self, container: &Arc<Container>) -> Result<()> {
        let _operation = container.operation.lock().await;
        match container.state().status {
            Status::Paused => {}
            Status::Running => {
                return Err(Error::system(format!("Container {} is not paused", container.id)));
            }
            _ => return Err(not_running(container)),
        }
        self.client.resume(&container.id).await?;
        container.apply(Change::Resumed)?;
        self.event(container, "unpause", &[]);
        Ok(())
    }

    /// Gives another name.
    ///
    /// # Errors
    /// 400 for a bad name or its own, 409 for a taken one.
    pub async fn rename(&self, container: &Arc<Container>, name: &str) -> Result<()> {
        if name.is_empty() {
            return Err(Error::invalid("Neither old nor new names may be empty"));
        }
        let shown = if name.starts_with('/') { name.to_owned() } else { format!("/{name}") };
        let name = names::check(name).map_err(|_| {
            Error::invalid(format!(
                "Invalid container name ({shown}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
            ))
        })?;
        let _operation = container.operation.lock().await;
        let old = container.read(|record| record.name.clone());
        if old == name {
            return Err(Error::invalid("Renaming a container with the same name as its current name"));
        }
        self.registry.rename(container, name)?;
        self.networks.rename(&container.id, name);
        self.event(container, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }

    /// Sets the size of the terminal.
    ///
    /// # Errors
    /// 409 when it doesn't run.
    pub async fn resize(&self, container: &Arc<Container>, height: u32, width: u32) -> Result<()> {
        if !container.state().status.has_process() {
            return Err(not_running(container));
        }
        self.client.resize(&container.id, "", width, height).await?;
        self.event(container, "resize", &[("height", height.to_string()), ("width", width.to_string())]);
        Ok(())
    }
}

impl Containers {
    /// Somebody has attached.
    pub fn attached(&self, container: &Container) {
        self.event(container, "attach", &[]);
    }

    /// Somebody has detached by the keys.
    pub fn detached(&self, container: &Container) {
        self.event(container, "detach", &[]);
    }

    /// The one client whose input it was has sent all of it: the process reads its end. Before the start, the
    /// end comes when the shim has what was sent.
    pub async fn close_input(&self, container: &Arc<Container>) {
        let mut pulse = container.watch();
        let up = pulse.wait_for(|pulse| pulse.state.status.has_process() || pulse.removed || pulse.exits > 0);
        if up.await.is_err() {
            return;
        }
        container.streams.release_stdin();
        if let Err(error) = self.client.close_stdin(&container.id, "").await {
            tracing::debug!(container = container.id, %error, "its input is closed already");
        }
    }
}
