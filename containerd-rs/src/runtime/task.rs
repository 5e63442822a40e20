//! A task: the daemon's side of one shim.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prost_types::Timestamp;
use proto::containerd::task::v3 as api;
use tokio::sync::watch;

use super::task_client::TaskClient;
use super::ttrpc::CallError;
use crate::error::{Error, Kind, Result};

/// Time a shim may take to tell a state.
pub(super) const STATE_LIMIT: Duration = Duration::from_secs(2);

/// How a process ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exit {
    /// The process.
    pub pid: u32,
    /// Its exit code; 128 + n for signal n.
    pub status: u32,
    /// When.
    pub at: Option<Timestamp>,
}

/// Where a process's input comes from and its output goes, in the shim contract's URIs.
#[derive(Clone, Debug, Default)]
pub struct Stdio {
    /// Standard input; empty for none.
    pub stdin: String,
    /// Standard output; empty for none.
    pub stdout: String,
    /// Standard error; empty for none.
    pub stderr: String,
    /// Whether the three are a terminal.
    pub terminal: bool,
}

/// A task whose shim is connected. Its calls are the shim's own.
#[derive(Debug)]
pub struct Task {
    /// Namespace of its container.
    pub namespace: String,
    /// Id of its container, and its own.
    pub id: String,
    pub(super) binary: PathBuf,
    pub(super) client: TaskClient,
    /// Copies the shim's log; ends with the task.
    pub(super) log: Option<tokio::task::AbortHandle>,
    /// Processes started (the init process is ""): Go's shim mustn't be asked twice.
    started: Mutex<HashSet<String>>,
    /// How the container ended whose shim died.
    lost: watch::Sender<Option<Exit>>,
    /// The daemon itself is removing the task; a lost connection is no news.
    pub(super) removing: watch::Sender<bool>,
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(log) = &self.log {
            log.abort();
        }
    }
}

impl Task {
    pub(super) fn new(
        namespace: &str,
        id: &str,
        binary: PathBuf,
        client: TaskClient,
        log: Option<tokio::task::AbortHandle>,
    ) -> Self {
        Self {
            namespace: namespace.to_owned(),
            id: id.to_owned(),
            binary,
            client,
            log,
            started: Mutex::default(),
            lost: watch::Sender::new(None),
            removing: watch::Sender::new(false),
        }
    }

    fn started(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a process runs already (found after a restart of the daemon).
    pub(super) fn note_started(&self, exec: &str) {
        self.started().insert(exec.to_owned());
    }

    /// The shim is gone, and the container ended so.
    pub(super) fn note_lost(&self, exit: Exit) {
        self.lost.send_replace(Some(exit));
    }

    /// Starts the init process (`exec` empty) or an exec process; answers its pid.
    ///
    /// # Errors
    /// It was started before, or the shim's error.
    pub async fn start(&self, exec: &str) -> Result<u32> {
        if !self.started().insert(exec.to_owned()) {
            return Err(Error::new(Kind::Unknown, "cannot start a running process"));
        }
        let request = api::StartRequest { id: self.id.clone(), exec_id: exec.to_owned() };
        match self.client.start(&request, None).await {
            Ok(answer) => Ok(answer.pid),
            Err(error) => {
                self.started().remove(exec);
                Err(error.into())
            }
        }
    }

    /// A process's state.
    ///
    /// # Errors
    /// The process doesn't exist, or the shim's error.
    pub async fn state(&self, exec: &str) -> Result<api::StateResponse> {
        let request = api::StateRequest { id: self.id.clone(), exec_id: exec.to_owned() };
        Ok(self.client.state(&request, Some(STATE_LIMIT)).await?)
    }

    /// Adds a process.
    ///
    /// # Errors
    /// The shim's error.
    pub async fn exec(&self, exec: &str, stdio: Stdio, spec: Option<prost_types::Any>) -> Result<()> {
        let request = api::ExecProcessRequest {
            id: self.id.clone(),
            exec_id: exec.to_owned(),
            terminal: stdio.terminal,
            stdin: stdio.stdin,
            stdout: stdio.stdout,
            stderr: stdio.stderr,
            spec,
        };
        Ok(self.client.exec(&request, None).await?)
    }

    /// Answers when a process has ended; also when its shim died.
    ///
    /// # Errors
    /// The process doesn't exist, or the shim's error.
    pub async fn wait(&self, exec: &str) -> Result<(u32, Option<Timestamp>)> {
        let request = api::WaitRequest { id: self.id.clone(), exec_id: exec.to_owned() };
        match self.client.wait(&request, None).await {
            Ok(answer) => Ok((answer.exit_status, answer.exited_at)),
            Err(CallError::Closed) => {
                let mut lost = self.lost.subscribe();
                let exit =
                    tokio::time::timeout(Duration::from_secs(15), lost.wait_for(Option::is_some)).await;
                match exit {
                    Ok(Ok(exit)) => {
                        let exit = exit.clone().unwrap_or_default();
                        Ok((exit.status, exit.at))
                    }
                    _ => Err(CallError::Closed.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes an exec process that ended.
    ///
    /// # Errors
    /// It runs or doesn't exist, or the shim's error.
    pub async fn delete_exec(&self, exec: &str) -> Result<Exit> {
        let request = api::DeleteRequest { id: self.id.clone(), exec_id: exec.to_owned() };
        let answer = self.client.delete(&request, None).await?;
        self.started().remove(exec);
        Ok(Exit { pid: answer.pid, status: answer.exit_status, at: answer.exited_at })
    }

    /// Sends a signal to a process, or to all of them.
    ///
    /// # Errors
    /// The process is gone, or the shim's error.
    pub async fn kill(&self, exec: &str, signal: u32, all: bool) -> Result<()> {
        let request = api::KillRequest { id: self.id.clone(), exec_id: exec.to_owned(), signal, all };
        Ok(self.client.kill(&request, None).await?)
    }

    /// Tells a process's terminal its size.
    ///
    /// # Errors
    /// The shim's error.
    pub async fn resize(&self, exec: &str, width: u32, height: u32) -> Result<()> {
        let request = api::ResizePtyRequest { id: self.id.clone(), exec_id: exec.to_owned(), width, height };
        Ok(self.client.resize_pty(&request, None).await?)
    }

    /// Closes a process's standard input.
    ///
    /// # Errors
    /// The shim's error.
    pub async fn close_stdin(&self, exec: &str) -> Result<()> {
        let request = api::CloseIoRequest { id: self.id.clone(), exec_id: exec.to_owned(), stdin: true };
        Ok(self.client.close_io(&request, None).await?)
    }

    /// Freezes.
    ///
    /// # Errors
    /// The shim's error.
    pub async fn pause(&self) -> Result<()> {
        Ok(self.client.pause(&api::PauseRequest { id: self.id.clone() }, None).await?)
    }

    /// Thaws.
    ///
    /// # Errors
    /// The shim's error.
    pub async fn resume(&self) -> Result<()> {
        Ok(self.client.resume(&api::ResumeRequest { id: self.id.clone() }, None).await?)
    }

    /// The processes inside.
    ///
    /// # Errors
    /// The shim's error.
    pub async fn pids(&self) -> Result<Vec<proto::containerd::v1::types::ProcessInfo>> {
        Ok(self.client.pids(&api::PidsRequest { id: self.id.clone() }, None).await?.processes)
    }

    /// Changes limits.
    ///
    /// # Errors
    /// The shim's error.
    pub async fn update(
        &self,
        resources: Option<prost_types::Any>,
        annotations: std::collections::BTreeMap<String, String>,
    ) -> Result<()> {
        let request = api::UpdateTaskRequest { id: self.id.clone(), resources, annotations };
        Ok(self.client.update(&request, None).await?)
    }

    /// Resources used.
    ///
    /// # Errors
    /// The shim's error.
    pub async fn stats(&self) -> Result<Option<prost_types::Any>> {
        let request = api::StatsRequest { id: self.id.clone() };
        Ok(self.client.stats(&request, Some(STATE_LIMIT)).await?.stats)
    }

    /// Writes a checkpoint to `path`.
    ///
    /// # Errors
    /// The shim's error; it may not be able to.
    pub async fn checkpoint(&self, path: &str, options: Option<prost_types::Any>) -> Result<()> {
        let request = api::CheckpointTaskRequest { id: self.id.clone(), path: path.to_owned(), options };
        Ok(self.client.checkpoint(&request, None).await?)
    }
}
