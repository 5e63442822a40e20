//! All tasks: making them, removing them, and what happens when a shim is lost.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prost_types::Any;
use proto::containerd::runc::v1::Options;
use proto::containerd::task::v3 as api;
use proto::containerd::types::Mount;
use proto::typeurl;
use tokio::sync::watch;

use super::bootstrap::Bootstrap;
use super::bundle::{Bundle, Layout};
use super::cleanup::remove;
use super::exits::Exits;
use super::launch::Launcher;
use super::log::copy_log;
use super::task::{Exit, Stdio, Task};
use super::task_client::TaskClient;
use super::ttrpc::CallError;
use crate::blocking::blocking;
use crate::error::{Error, Kind, Result};

/// How long a connection to a listening socket may take.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// How long a shim may take to end when told to.
pub(super) const SHUTDOWN: Duration = Duration::from_secs(3);
/// How long those who ask for a task wait for it to be found again after the daemon's start.
const LOADING: Duration = Duration::from_secs(10);

type Key = (String, String);

/// What stands in the table for a task.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// It is being made; the channel ends when it is, or isn't to be.
    Making(watch::Receiver<()>),
    /// It was there when the daemon started; the channel ends when it was looked at.
    Loading(watch::Receiver<()>),
    /// It is there.
    Ready(Arc<Task>),
}

/// What a task is made from.
#[derive(Clone, Debug, Default)]
pub struct Create {
    /// Namespace of the container.
    pub namespace: String,
    /// The container's id.
    pub id: String,
    /// Runtime name of the container's record, or a path that takes its place.
    pub runtime: String,
    /// Options of the container's record.
    pub runtime_options: Option<Any>,
    /// Options of this task; those of the record count where there are none.
    pub task_options: Option<Any>,
    /// The spec's JSON, verbatim.
    pub spec: Vec<u8>,
    /// Mounts that make the rootfs; the shim mounts them.
    pub rootfs: Vec<Mount>,
    /// Standard streams.
    pub stdio: Stdio,
}

/// The tasks of all namespaces.
#[derive(Clone, Debug)]
pub struct Manager {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) layout: Layout,
    pub(super) launcher: Launcher,
    pub(super) exits: Arc<Exits>,
    tasks: Mutex<HashMap<Key, Entry>>,
}

/// Takes a reservation out of the table again unless the task came to be.
struct Reservation<'a> {
    inner: &'a Inner,
    key: Option<Key>,
    /// Those who ask meanwhile wait for its end.
    _made: watch::Sender<()>,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.inner.tasks().remove(key);
        }
    }
}

impl Manager {
    /// A manager that knows of no task yet.
    pub fn new(layout: Layout, launcher: Launcher, exits: Arc<Exits>) -> Self {
        Self { inner: Arc::new(Inner { layout, launcher, exits, tasks: Mutex::default() }) }
    }

    /// A task; one that is being made, or still being looked for after the daemon's start, is waited for.
    ///
    /// # Errors
    /// Not found; unavailable while it isn't made, or its shim has not been reached.
    pub async fn get(&self, namespace: &str, id: &str) -> Result<Arc<Task>> {
        let key = (namespace.to_owned(), id.to_owned());
        let deadline = tokio::time::Instant::now() + LOADING;
        loop {
            let entry = self.inner.tasks().get(&key).cloned();
            match entry {
                Some(Entry::Ready(task)) => return Ok(task),
                Some(Entry::Making(mut done) | Entry::Loading(mut done)) => {
                    // An error is what is waited for: the sender was dropped.
                    if tokio::time::timeout_at(deadline, done.changed()).await.is_err() {
                        return Err(Error::new(
                            Kind::Unavailable,
                            format!("task {id} is still being made or looked for"),
                        ));
                    }
                }
                None => return Err(Error::not_found(format!("task {id} not found"))),
            }
        }
    }

    /// The ids of a namespace's tasks, in order.
    pub fn ids(&self, namespace: &str) -> Vec<String> {
        let tasks = self.inner.tasks();
        let mut ids: Vec<_> = tasks
            .iter()
            .filter(|((ns, _), entry)| ns == namespace && !matches!(entry, Entry::Making(_)))
            .map(|((_, id), _)| id.clone())
            .collect();
        ids.sort();
        ids
    }

    /// The pid of a task's init as far as it is known without asking; 0 if it isn't.
    pub fn known_pid(&self, namespace: &str, id: &str) -> u32 {
        match self.inner.tasks().get(&(namespace.to_owned(), id.to_owned())) {
            Some(Entry::Ready(task)) => task.pid(),
            _ => 0,
        }
    }

    /// Makes a task and returns its pid. If the caller goes away, it is undone.
    ///
    /// # Errors
    /// It exists; the runtime is unknown; a step failed, and everything was undone.
    pub async fn create(&self, create: Create) -> Result<u32> {
        let (manager, key) = (self.clone(), (create.namespace.clone(), create.id.clone()));
        let (answer, answered) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let unheard = answer.send(manager.inner.create(create).await);
            if let Err(Ok(_)) = unheard {
                tracing::warn!(container = key.1, namespace = key.0, "nobody waits for the new task: undone");
                if let Err(error) = manager.delete(&key.0, &key.1).await {
                    tracing::warn!(container = key.1, namespace = key.0, %error, "undo a task");
                }
            }
        });
        answered.await.unwrap_or_else(|error| Err(Error::caused("make a task", error)))
    }

    /// Removes a task that ended, with its shim and bundle. Goes on even if the caller goes away.
    ///
    /// # Errors
    /// Not found; it still runs.
    pub async fn delete(&self, namespace: &str, id: &str) -> Result<Exit> {
        let task = self.get(namespace, id).await?;
        let inner = self.inner.clone();
        detached(async move { inner.delete(task).await }).await
    }
}

/// Runs work that mustn't stop half-way when the caller goes away.
async fn detached<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(Error::caused("run a step of a task", error)))
}

impl Inner {
    pub(super) fn tasks(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reserve(&self, namespace: &str, id: &str) -> Result<Reservation<'_>> {
        let key = (namespace.to_owned(), id.to_owned());
        let mut tasks = self.tasks();
        if tasks.contains_key(&key) {
            return Err(Error::already_exists(format!("task {id}")));
        }
        let (made, making) = watch::channel(());
        tasks.insert(key.clone(), Entry::Making(making));
        Ok(Reservation { inner: self, key: Some(key), _made: made })
    }

    async fn create(self: &Arc<Self>, create: Create) -> Result<u32> {
        let mut reservation = self.reserve(&create.namespace, &create.id)?;
        let binary = self.launcher.resolve(&create.runtime)?;
        let options = create.task_options.or(create.runtime_options);
        if let Some(options) = &options
            && typeurl::is::<Options>(options)
        {
            // A mistake is told before anything runs.
            typeurl::unpack::<Options>(options)
                .map_err(|error| Error::invalid(error.to_string()).because(error))?;
        }
        let bundle = Bundle::of(&self.layout, &create.namespace, &create.id);
        let (made, spec, path) = (bundle.clone(), create.spec, binary.clone());
        blocking(move || {
            made.create(&spec)?;
            made.write_shim_path(&path)
        })
        .await?;
        let log = copy_log(&bundle);
        let bootstrap = match self.launch(&binary, &bundle, options.as_ref()).await {
            Ok(bootstrap) => bootstrap,
            Err(error) => {
                log.abort();
                remove(&bundle).await;
                return Err(error);
            }
        };
        let shim = match TaskClient::connect(&bootstrap, &create.namespace, CONNECT).await {
            Ok(shim) => shim,
            Err(error) => {
                log.abort();
                let _ = self.launcher.delete(&binary, &bundle).await;
                remove(&bundle).await;
                return Err(error);
            }
        };
        let request = api::CreateTaskRequest {
            id: create.id.clone(),
            bundle: bundle.path().display().to_string(),
            rootfs: create.rootfs,
            terminal: create.stdio.terminal,
            stdin: create.stdio.stdin,
            stdout: create.stdio.stdout,
            stderr: create.stdio.stderr,
            checkpoint: String::new(),
            parent_checkpoint: String::new(),
            options,
        };
        let pid = match shim.create(&request, None).await {
            Ok(answer) => answer.pid,
            Err(error) => {
                self.undo_create(&binary, &bundle, &shim).await;
                log.abort();
                let error = Error::from(error);
                return Err(Error::new(error.kind(), format!("failed to create shim task: {error}")));
            }
        };
        let task = Arc::new(Task::new(bundle, shim, binary, bootstrap.address, pid, log));
        task.created("");
        reservation.key = None;
        self.tasks().insert((create.namespace, create.id), Entry::Ready(task.clone()));
        self.watch(task);
        Ok(pid)
    }

    async fn launch(&self, binary: &Path, bundle: &Bundle, options: Option<&Any>) -> Result<Bootstrap> {
        let bootstrap = self.launcher.start(binary, bundle, options).await.map_err(|error| {
            let kind = error.kind();
            Error::new(kind, "failed to start shim").because(error)
        })?;
        if let Err(error) = bundle.write_bootstrap(&bootstrap) {
            // A shim that can't be found again is none.
            if let Ok(shim) = TaskClient::connect(&bootstrap, &bundle.namespace, CONNECT).await {
                let request = api::ShutdownRequest { id: bundle.id.clone(), now: true };
                let _ = shim.shutdown(&request, Some(SHUTDOWN)).await;
            }
            return Err(error);
        }
        Ok(bootstrap)
    }

    async fn delete(self: &Arc<Self>, task: Arc<Task>) -> Result<Exit> {
        let _removal = task.removal.lock().await;
        let key = (task.namespace().to_owned(), task.id().to_owned());
        let gone = || Error::not_found(format!("task {} not found", task.id()));
        if !self.holds(&key, &task) {
            return Err(gone());
        }
        let request = api::DeleteRequest { id: task.id().to_owned(), exec_id: String::new() };
        let exit = match task.shim.delete(&request, None).await {
            Ok(answer) => Ok(Exit { pid: answer.pid, status: answer.exit_status, at: answer.exited_at }),
            Err(CallError::Closed) => return task.verdict().await,
            Err(error) if Task::is_unknown(&error) => Err(gone()),
            Err(error) => {
                let error = Error::from(error);
                return Err(Error::new(error.kind(), format!("failed to delete task: {error}")));
            }
        };
        task.leaving.store(true, Ordering::Release);
        let ended = self.end_shim(&task).await;
        if !ended && let Err(error) = self.launcher.delete(&task.binary, &task.bundle).await {
            tracing::warn!(container = task.id(), namespace = task.namespace(), %error, "clean up after a shim");
        }
        if let Ok(exit) = &exit
            && exit.pid != 0
            && exit.at.is_some()
        {
            // The shim has said it by now, unless it couldn't.
            self.exits.report(task.namespace(), task.id(), exit);
        }
        task.log.abort();
        remove(&task.bundle).await;
        self.tasks().remove(&key);
        exit
    }

    /// Tells the shim of a deleted task to go; says whether it needs no cleaning up after.
    async fn end_shim(&self, task: &Task) -> bool {
        let shared = self.tasks().values().any(|entry| {
            matches!(entry, Entry::Ready(other) if other.address == task.address && other.id() != task.id())
        });
        let request = api::ShutdownRequest { id: task.id().to_owned(), now: false };
        let answer = task.shim.shutdown(&request, Some(SHUTDOWN)).await;
        let gone = if shared {
            answer.is_ok()
        } else {
            // A task of the same id may be made at once: the socket must be free by then.
            matches!(answer, Ok(()) | Err(CallError::Closed))
                && tokio::time::timeout(SHUTDOWN, task.shim.closed()).await.is_ok()
        };
        task.shim.close();
        gone
    }

    pub(super) fn holds(&self, key: &Key, task: &Arc<Task>) -> bool {
        matches!(self.tasks().get(key), Some(Entry::Ready(held)) if Arc::ptr_eq(held, task))
    }

    /// Waits for the shim's end, and cleans up if nobody asked for it.
    pub(super) fn watch(self: &Arc<Self>, task: Arc<Task>) {
        let inner = self.clone();
        tokio::spawn(async move {
            task.shim.closed().await;
            if !task.leaving.load(Ordering::Acquire) {
                tracing::warn!(container = task.id(), namespace = task.namespace(), "the shim is gone");
                inner.lost(&task).await;
            }
        });
    }
}

#[cfg(test)]
#[path = "manager/tests.rs"]
mod tests;
