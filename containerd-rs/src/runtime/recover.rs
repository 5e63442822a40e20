//! After a start: which tasks are still there.
//!
//! Every bundle found is entered in the table at once, so that a question about it waits instead of
//! being denied; then all shims are asked in parallel, with a limit on every question. A shim whose
//! socket refuses is dead and cleaned up after. One that is silent is kept: cleaning up would kill
//! a live container because its shim is slow.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use proto::containerd::task::v3 as api;
use proto::containerd::v1::types::Status;
use tokio::sync::watch;

use super::bootstrap::Bootstrap;
use super::bundle::{self, Bundle};
use super::cleanup::{binary_of, evict, remove};
use super::log::copy_log;
use super::manager::{CONNECT, Entry, Inner, Manager};
use super::rebuild;
use super::task::{Exit, Task};
use super::task_client::TaskClient;
use super::ttrpc::CallError;
use crate::error::{Error, Kind, Result};
use crate::metadata::Db;
use crate::request::check_identifier;
use crate::snapshots::Snapshots;

/// Shims asked at once.
const AT_ONCE: usize = 64;
/// How long a shim may take to answer one question.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a silent shim is left alone between two questions.
const SILENCE: Duration = Duration::from_secs(5);
/// How long a shim's own news of an exit is waited for before it is told from its state.
const NEWS: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(50);

/// Bundles that are to be looked at; answers to the questions about them wait for it.
#[derive(Debug)]
pub struct Found {
    manager: Manager,
    bundles: Vec<(Bundle, watch::Sender<()>)>,
}

impl Manager {
    /// Finds what an earlier daemon left, quickly and without asking a shim. Removes what is no
    /// task any more.
    ///
    /// # Errors
    /// The directory of bundles can't be read.
    pub fn find(&self) -> Result<Found> {
        let layout = &self.inner.layout;
        let mut bundles = Vec::new();
        for (namespace, id, path) in entries(layout.bundles())? {
            if id.starts_with('.') {
                sweep(&path);
                continue;
            }
            if check_identifier(&namespace).is_err() || check_identifier(&id).is_err() {
                tracing::warn!(path = %path.display(), "no bundle has such a name: it is left alone");
                continue;
            }
            if fs::remove_dir(&path).is_ok() {
                // An empty one was never filled.
                continue;
            }
            let (looked_at, looking) = watch::channel(());
            self.inner.exits.load(&namespace, &id);
            self.inner.tasks().insert((namespace.clone(), id.clone()), Entry::Loading(looking));
            bundles.push((Bundle::of(layout, &namespace, &id), looked_at));
        }
        let known: HashSet<(&str, &str)> =
            bundles.iter().map(|(bundle, _)| (bundle.namespace.as_str(), bundle.id.as_str())).collect();
        for (namespace, id, path) in entries(layout.works())? {
            if !known.contains(&(namespace.as_str(), id.as_str()))
                && let Err(error) = bundle::remove_tree(&path)
            {
                tracing::warn!(path = %path.display(), %error, "sweep a work directory");
            }
        }
        Ok(Found { manager: self.clone(), bundles })
    }
}

/// The directories two levels down: namespace, id, path.
fn entries(directory: &Path) -> Result<Vec<(String, String, std::path::PathBuf)>> {
    let failed = |error| Error::caused(format!("read {}", directory.display()), error);
    let mut found = Vec::new();
    let namespaces = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        other => other.map_err(failed)?,
    };
    let text = |name: &OsStr| name.to_str().map(str::to_owned);
    for namespace in namespaces {
        let namespace = namespace.map_err(failed)?;
        let Ok(ids) = fs::read_dir(namespace.path()) else { continue };
        for id in ids {
            let id = id.map_err(failed)?;
            if let (Some(namespace), Some(name)) = (text(&namespace.file_name()), text(&id.file_name())) {
                found.push((namespace, name, id.path()));
            }
        }
    }
    Ok(found)
}

fn sweep(path: &Path) {
    if let Err(error) = bundle::remove_unmounted(path) {
        tracing::warn!(path = %path.display(), %error, "sweep a removed bundle");
    }
}

impl Found {
    /// How many bundles there are.
    pub fn count(&self) -> usize {
        self.bundles.len()
    }

    /// Records the containers again, after the metadata was lost.
    ///
    /// # Errors
    /// The database can't be written.
    pub fn record(&self, db: &Db, snapshots: &Snapshots) -> Result<()> {
        rebuild::record(self.bundles.iter().map(|(bundle, _)| bundle), db, snapshots)
    }

    /// Asks all shims. `runtime_of` gives the runtime name of a container's record.
    pub async fn recover<F>(self, runtime_of: F)
    where
        F: Fn(&str, &str) -> Option<String> + Send + Sync + 'static,
    {
        let (inner, runtime_of) = (&self.manager.inner, &runtime_of);
        stream::iter(self.bundles)
            .for_each_concurrent(AT_ONCE, |(bundle, looked_at)| async move {
                let key = (bundle.namespace.clone(), bundle.id.clone());
                let runtime = runtime_of(&key.0, &key.1);
                match inner.reach(bundle, runtime).await {
                    Some(task) => {
                        inner.tasks().insert(key, Entry::Ready(task.clone()));
                        // Not before it can be found: losing it takes it out of the table.
                        inner.watch(task.clone());
                        let inner = inner.clone();
                        tokio::spawn(async move { inner.learn(task).await });
                    }
                    None => {
                        inner.tasks().remove(&key);
                    }
                }
                drop(looked_at);
            })
            .await;
    }
}

impl Inner {
    /// Reaches the shim of a bundle, or removes what is left of it.
    async fn reach(self: &Arc<Self>, bundle: Bundle, runtime: Option<String>) -> Option<Arc<Task>> {
        let binary = binary_of(&self.launcher, &bundle, runtime.as_deref());
        let (container, namespace) = (bundle.id.clone(), bundle.namespace.clone());
        let Some(bootstrap) = bundle.bootstrap() else {
            tracing::warn!(container, namespace, "the daemon died before the shim was up");
            evict(&bundle).await;
            self.bury(binary.as_deref(), &bundle).await;
            return None;
        };
        // A shim that has just been started waits for somebody to read its log before it answers.
        let log = copy_log(&bundle);
        let found = match self.connect(&bootstrap, &bundle).await {
            Some(shim) => match ask(&shim, &container).await {
                Err(error) if Task::is_unknown(&error) => {
                    dismiss(&shim, &container).await.map(|pid| (shim, pid))
                }
                Err(CallError::Closed) => Err(Gone(true)),
                Err(error) => {
                    tracing::warn!(container, namespace, %error, "the shim is silent; it is kept");
                    Ok((shim, 0))
                }
                Ok(pid) => Ok((shim, pid)),
            },
            None => Err(Gone(true)),
        };
        match found {
            Ok((shim, pid)) => {
                let binary = binary.unwrap_or_default();
                Some(Arc::new(Task::new(bundle, shim, binary, bootstrap.address, pid, log)))
            }
            Err(Gone(shim)) => {
                log.abort();
                tracing::warn!(container, namespace, shim, "a bundle without a task is removed");
                if shim {
                    evict(&bundle).await;
                }
                self.bury(binary.as_deref(), &bundle).await;
                None
            }
        }
    }

    /// Connects to a shim, however long it takes; none if nobody listens.
    async fn connect(&self, bootstrap: &Bootstrap, bundle: &Bundle) -> Option<TaskClient> {
        let (container, namespace) = (&bundle.id, &bundle.namespace);
        loop {
            match TaskClient::connect(bootstrap, namespace, CONNECT).await {
                Ok(shim) => return Some(shim),
                Err(error) if error.kind() == Kind::Unavailable => {
                    tracing::warn!(container, namespace, %error, "the shim is gone");
                    return None;
                }
                Err(error) => {
                    tracing::warn!(container, namespace, %error, "the shim can't be reached; it is kept")
                }
            }
            tokio::time::sleep(SILENCE).await;
        }
    }

    async fn bury(&self, binary: Option<&Path>, bundle: &Bundle) {
        match binary {
            Some(binary) => {
                let exit = self.clean_up(binary, bundle, 0).await;
                self.exits.report_delete(&bundle.namespace, &bundle.id, &exit);
            }
            None => tracing::warn!(
                container = bundle.id,
                namespace = bundle.namespace,
                "no shim binary is known: nothing is run to clean up"
            ),
        }
        remove(bundle).await;
    }

    /// Takes a task out of the table that its shim, which serves others, doesn't have.
    async fn forget(&self, task: &Arc<Task>) {
        self.bury(Some(&task.binary), &task.bundle).await;
        self.tasks().remove(&(task.namespace().to_owned(), task.id().to_owned()));
    }

    /// Asks until it is known how the task is; tells its exit if the shim doesn't.
    async fn learn(&self, task: Arc<Task>) {
        let state = loop {
            match state(&task.shim, task.id()).await {
                Ok(state) => break state,
                Err(CallError::Closed) => return,
                // It was silent because it had no task yet.
                Err(error) if Task::is_unknown(&error) => match dismiss(&task.shim, task.id()).await {
                    Ok(_) => continue,
                    Err(Gone(true)) => return,
                    Err(Gone(false)) => return self.forget(&task).await,
                },
                Err(error) => {
                    tracing::debug!(container = task.id(), %error, "ask for a task's state");
                    tokio::time::sleep(SILENCE).await;
                }
            }
            let key = (task.namespace().to_owned(), task.id().to_owned());
            if !self.holds(&key, &task) {
                return;
            }
        };
        task.pid.store(state.pid, Ordering::Relaxed);
        if state.status() != Status::Stopped {
            return;
        }
        // Its journal has the exits of other processes too, and in order: it goes first.
        let patience = tokio::time::Instant::now() + NEWS;
        while tokio::time::Instant::now() < patience
            && !self.exits.was_told(task.namespace(), task.id(), state.pid)
        {
            tokio::time::sleep(POLL).await;
        }
        let exit = Exit { pid: state.pid, status: state.exit_status, at: state.exited_at };
        self.exits.report(task.namespace(), task.id(), &exit);
    }
}

/// The pid of a task, from its shim.
async fn ask(shim: &TaskClient, id: &str) -> std::result::Result<u32, CallError> {
    let question = api::ConnectRequest { id: id.to_owned() };
    match shim.connected(&question, Some(ANSWER)).await?.task_pid {
        // So shims answer for a task that they don't have.
        0 => Ok(state(shim, id).await?.pid),
        pid => Ok(pid),
    }
}

async fn state(shim: &TaskClient, id: &str) -> std::result::Result<api::StateResponse, CallError> {
    let request = api::StateRequest { id: id.to_owned(), exec_id: String::new() };
    shim.state(&request, Some(ANSWER)).await
}

/// There is no such task. Whether its shim is gone too: it isn't if it serves others of its group.
struct Gone(bool);

/// Sends a shim home that has no task of that id: the earlier daemon died before it had one, or after. Gives the
/// task's pid if it was just being made.
async fn dismiss(shim: &TaskClient, id: &str) -> std::result::Result<u32, Gone> {
    let deadline = tokio::time::Instant::now() + ANSWER;
    while tokio::time::Instant::now() < deadline {
        let request = api::ShutdownRequest { id: id.to_owned(), now: false };
        let _ = shim.shutdown(&request, Some(ANSWER)).await;
        if tokio::time::timeout(POLL, shim.closed()).await.is_ok() {
            return Err(Gone(true));
        }
        if let Ok(state) = state(shim, id).await {
            return Ok(state.pid);
        }
    }
    Err(Gone(false))
}
