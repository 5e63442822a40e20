//! One task: the daemon's side of a container's processes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prost_types::{Any, Timestamp};
use proto::containerd::task::v3 as api;
use proto::containerd::v1::types::{ProcessInfo, Status};
use proto::status::Code;
use tokio::sync::{Mutex as AsyncMutex, watch};

use super::bundle::Bundle;
use super::task_client::TaskClient;
use super::ttrpc::CallError;
use crate::error::{Error, Kind, Result};

/// Limit of questions that a healthy shim answers from memory.
const ASK: Duration = Duration::from_secs(2);
/// Limit of questions about resources.
const MEASURE: Duration = Duration::from_secs(10);
/// How long those who wait on a lost shim's process wait for the clean-up's verdict.
const VERDICT: Duration = Duration::from_secs(30);

/// How a process ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Exit {
    /// Its pid.
    pub pid: u32,
    /// Exit code, or 128 and the signal.
    pub status: u32,
    /// When.
    pub at: Option<Timestamp>,
}

/// A process's standard streams, as the client gave them.
#[derive(Clone, Debug, Default)]
pub struct Stdio {
    /// Standard input; empty for none.
    pub stdin: String,
    /// Standard output.
    pub stdout: String,
    /// Standard error; unused with a terminal.
    pub stderr: String,
    /// Whether the process gets a terminal.
    pub terminal: bool,
}

/// How far a process has come, as far as this daemon has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Created,
    Started,
    /// Not seen since the daemon's start: the shim knows.
    Unseen,
}

type Waited = Option<std::result::Result<Exit, (Kind, String)>>;

/// A task whose shim was started.
#[derive(Debug)]
pub struct Task {
    pub(super) bundle: Bundle,
    pub(super) shim: TaskClient,
    pub(super) binary: PathBuf,
    /// Where the shim listens; tasks of a group share one.
    pub(super) address: String,
    pub(super) pid: AtomicU32,
    /// The connection is expected to end.
    pub(super) leaving: AtomicBool,
    /// Held by whoever removes the task.
    pub(super) removal: AsyncMutex<()>,
    /// The clean-up's verdict, once the shim was lost.
    pub(super) lost: watch::Sender<Option<Exit>>,
    /// Copies the shim's log.
    pub(super) log: tokio::task::AbortHandle,
    phases: Mutex<HashMap<String, Arc<AsyncMutex<Phase>>>>,
    waits: Mutex<HashMap<String, watch::Receiver<Waited>>>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.log.abort();
    }
}

impl Task {
    pub(super) fn new(
        bundle: Bundle,
        shim: TaskClient,
        binary: PathBuf,
        address: String,
        pid: u32,
        log: tokio::task::AbortHandle,
    ) -> Self {
        Self {
            bundle,
            shim,
            binary,
            address,
            pid: AtomicU32::new(pid),
            leaving: AtomicBool::new(false),
            removal: AsyncMutex::new(()),
            lost: watch::Sender::new(None),
            log,
            phases: Mutex::default(),
            waits: Mutex::default(),
        }
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.bundle.namespace
    }

    /// The container's id.
    pub fn id(&self) -> &str {
        &self.bundle.id
    }

    /// Pid of the init process.
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// Remembers that this daemon created the process.
    pub(super) fn created(&self, exec: &str) {
        lock(&self.phases).insert(exec.to_owned(), Arc::new(AsyncMutex::new(Phase::Created)));
    }

    /// Starts the init process (`exec` is empty) or an added one; returns its pid.
    ///
    /// # Errors
    /// The shim's, or that the process was started before: a second start is never passed on,
    /// because Go's shim then counts the process twice (facts §8.12).
    pub async fn start(&self, exec: &str) -> Result<u32> {
        let phase = lock(&self.phases)
            .entry(exec.to_owned())
            .or_insert_with(|| Arc::new(AsyncMutex::new(Phase::Unseen)))
            .clone();
        // Held over the call: of two starts at once the second sees what became of the first.
        let mut phase = phase.lock().await;
        if *phase != Phase::Created {
            let word = match self.state(exec).await?.status() {
                Status::Created => None,
                Status::Stopped => Some("stopped"),
                Status::Paused | Status::Pausing => Some("paused"),
                Status::Running | Status::Unknown => Some("running"),
            };
            if let Some(word) = word {
                let what = if exec.is_empty() { "process" } else { "exec process" };
                let what = if word == "running" { "process" } else { what };
                return Err(Error::new(Kind::Unknown, format!("cannot start a {word} {what}")));
            }
        }
        let request = api::StartRequest { id: self.id().to_owned(), exec_id: exec.to_owned() };
        *phase = Phase::Started;
        match self.shim.start(&request, None).await {
            Ok(answer) => {
                if exec.is_empty() && answer.pid != 0 {
                    self.pid.store(answer.pid, Ordering::Relaxed);
                }
                Ok(answer.pid)
            }
            Err(error) => {
                // What the failure left, the shim knows.
                *phase = Phase::Unseen;
                Err(error.into())
            }
        }
    }

    /// Adds a process.
    ///
    /// # Errors
    /// The shim's.
    pub async fn exec(&self, exec: &str, stdio: Stdio, spec: Option<Any>) -> Result<()> {
        let request = api::ExecProcessRequest {
            id: self.id().to_owned(),
            exec_id: exec.to_owned(),
            terminal: stdio.terminal,
            stdin: stdio.stdin,
            stdout: stdio.stdout,
            stderr: stdio.stderr,
            spec,
        };
        self.shim.exec(&request, None).await?;
        self.created(exec);
        Ok(())
    }

    /// Removes an added process that ended.
    ///
    /// # Errors
    /// The shim's.
    pub async fn delete_process(&self, exec: &str) -> Result<Exit> {
        let request = api::DeleteRequest { id: self.id().to_owned(), exec_id: exec.to_owned() };
        let answer = self.shim.delete(&request, None).await?;
        lock(&self.phases).remove(exec);
        lock(&self.waits).remove(exec);
        Ok(Exit { pid: answer.pid, status: answer.exit_status, at: answer.exited_at })
    }

    /// A process's state.
    ///
    /// # Errors
    /// The shim's; not found if the shim is gone.
    pub async fn state(&self, exec: &str) -> Result<api::StateResponse> {
        let request = api::StateRequest { id: self.id().to_owned(), exec_id: exec.to_owned() };
        self.shim.state(&request, Some(ASK)).await.map_err(|error| match error {
            CallError::Closed => Error::not_found(format!("task {} not found", self.id())),
            other => other.into(),
        })
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// The shim's.
    pub async fn kill(&self, exec: &str, signal: u32, all: bool) -> Result<()> {
        let request = api::KillRequest { id: self.id().to_owned(), exec_id: exec.to_owned(), signal, all };
        Ok(self.shim.kill(&request, None).await?)
    }

    /// Tells a terminal its size.
    ///
    /// # Errors
    /// The shim's.
    pub async fn resize_pty(&self, exec: &str, width: u32, height: u32) -> Result<()> {
        let id = self.id().to_owned();
        let request = api::ResizePtyRequest { id, exec_id: exec.to_owned(), width, height };
        Ok(self.shim.resize_pty(&request, None).await?)
    }

    /// Closes a process's standard input.
    ///
    /// # Errors
    /// The shim's.
    pub async fn close_io(&self, exec: &str, stdin: bool) -> Result<()> {
        let request = api::CloseIoRequest { id: self.id().to_owned(), exec_id: exec.to_owned(), stdin };
        Ok(self.shim.close_io(&request, None).await?)
    }

    /// Freezes every process.
    ///
    /// # Errors
    /// The shim's.
    pub async fn pause(&self) -> Result<()> {
        Ok(self.shim.pause(&api::PauseRequest { id: self.id().to_owned() }, None).await?)
    }

    /// Thaws every process.
    ///
    /// # Errors
    /// The shim's.
    pub async fn resume(&self) -> Result<()> {
        Ok(self.shim.resume(&api::ResumeRequest { id: self.id().to_owned() }, None).await?)
    }

    /// Changes limits.
    ///
    /// # Errors
    /// The shim's.
    pub async fn update(
        &self,
        resources: Option<Any>,
        annotations: std::collections::BTreeMap<String, String>,
    ) -> Result<()> {
        let request = api::UpdateTaskRequest { id: self.id().to_owned(), resources, annotations };
        Ok(self.shim.update(&request, None).await?)
    }

    /// Writes a checkpoint to the directory `path`.
    ///
    /// # Errors
    /// The shim's.
    pub async fn checkpoint(&self, path: &str, options: Option<Any>) -> Result<()> {
        let request = api::CheckpointTaskRequest { id: self.id().to_owned(), path: path.to_owned(), options };
        Ok(self.shim.checkpoint(&request, None).await?)
    }

    /// The processes inside.
    ///
    /// # Errors
    /// The shim's.
    pub async fn pids(&self) -> Result<Vec<ProcessInfo>> {
        let request = api::PidsRequest { id: self.id().to_owned() };
        Ok(self.shim.pids(&request, Some(MEASURE)).await?.processes)
    }

    /// Resources used.
    ///
    /// # Errors
    /// The shim's.
    pub async fn stats(&self) -> Result<Option<Any>> {
        Ok(self.shim.stats(&api::StatsRequest { id: self.id().to_owned() }, Some(MEASURE)).await?.stats)
    }

    /// Waits until a process ended; answers at once if it has. However many wait, the shim is asked
    /// once: ttrpc can't take a question back.
    ///
    /// # Errors
    /// The shim's: no such process.
    pub async fn wait(self: &Arc<Self>, exec: &str) -> Result<Exit> {
        let mut answer = lock(&self.waits)
            .entry(exec.to_owned())
            .or_insert_with(|| {
                let (told, answer) = watch::channel(None);
                let (task, exec) = (self.clone(), exec.to_owned());
                tokio::spawn(async move {
                    let waited = task.wait_once(&exec).await;
                    if waited.is_err() {
                        lock(&task.waits).remove(&exec);
                    }
                    told.send_replace(Some(waited.map_err(|error| (error.kind(), error.to_string()))));
                });
                answer
            })
            .clone();
        let waited = answer.wait_for(Option::is_some).await.map(|waited| waited.clone());
        match waited {
            Ok(Some(Ok(exit))) => Ok(exit),
            Ok(Some(Err((kind, text)))) => Err(Error::new(kind, text)),
            Ok(None) | Err(_) => Err(Error::caused("wait for a process", "the question was dropped")),
        }
    }

    async fn wait_once(&self, exec: &str) -> Result<Exit> {
        let request = api::WaitRequest { id: self.id().to_owned(), exec_id: exec.to_owned() };
        match self.shim.wait(&request, None).await {
            Ok(answer) => Ok(Exit { pid: 0, status: answer.exit_status, at: answer.exited_at }),
            Err(CallError::Closed) => self.verdict().await,
            Err(error) => Err(error.into()),
        }
    }

    /// How the task ended, once its lost shim was cleaned up after.
    pub(super) async fn verdict(&self) -> Result<Exit> {
        let mut lost = self.lost.subscribe();
        let verdict = tokio::time::timeout(VERDICT, lost.wait_for(Option::is_some)).await;
        match verdict {
            Ok(Ok(exit)) => exit.ok_or_else(|| Error::not_found(format!("task {} not found", self.id()))),
            _ => Err(Error::not_found(format!("task {} not found", self.id()))),
        }
    }

    /// Whether `error` says that the shim has no such task.
    pub(super) fn is_unknown(error: &CallError) -> bool {
        matches!(error, CallError::Status { code: Code::NotFound, .. })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
