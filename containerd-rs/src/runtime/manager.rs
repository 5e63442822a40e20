//! The tasks by namespace and id: made, found, removed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prost_types::Any;
use proto::containerd::task::v3 as api;
use proto::containerd::types::Mount;
use tokio::sync::watch;

use super::bundle::Layout;
use super::exits::Exits;
use super::launch::Launcher;
use super::task::{Exit, Stdio, Task};
use super::task_client::TaskClient;
use crate::blocking::blocking;
use crate::error::{Error, Result};

/// Time to connect to a shim that has just started.
const CONNECT_LIMIT: Duration = Duration::from_secs(100);
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(3);

/// What a task is made of.
#[derive(Clone, Debug)]
pub struct Create {
    /// Runtime's name or the shim's path.
    pub runtime: String,
    /// The runtime's options, handed to the shim as they are.
    pub options: Option<Any>,
    /// The container's runtime options, for the shim's `start` where `options` is empty.
    pub runtime_options: Option<Any>,
    /// The container's config.json.
    pub spec: Vec<u8>,
    /// The root file system; empty if the spec's own path is used.
    pub rootfs: Vec<Mount>,
    /// Standard streams of the init process.
    pub stdio: Stdio,
    /// Directory of a checkpoint to restore; empty for none.
    pub checkpoint: String,
}

/// All tasks of the daemon.
#[derive(Clone, Debug)]
pub struct Manager {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) layout: Layout,
    pub(super) launcher: Launcher,
    pub(super) exits: Arc<Exits>,
    slots: Mutex<HashMap<(String, String), Slot>>,
}

#[derive(Clone, Debug)]
enum Slot {
    /// A create is under way.
    Making,
    /// The daemon has just started and asks the shim; true when that has ended.
    Loading(watch::Receiver<bool>),
    Live(Arc<Task>),
}

impl Manager {
    /// A manager without tasks; [`Manager::recover`] finds those of an earlier daemon.
    pub fn new(layout: Layout, launcher: Launcher, exits: Arc<Exits>) -> Self {
        Self { inner: Arc::new(Inner { layout, launcher, exits, slots: Mutex::default() }) }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<(String, String), Slot>> {
        self.inner.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a task: bundle, shim, container. What a failure leaves is undone in reverse.
    ///
    /// # Errors
    /// The task exists, the runtime isn't installed, or a step failed.
    pub async fn create(&self, namespace: &str, id: &str, create: Create) -> Result<u32> {
        let binary = self.inner.launcher.resolve(&create.runtime)?;
        let key = (namespace.to_owned(), id.to_owned());
        {
            let mut slots = self.slots();
            if slots.contains_key(&key) {
                return Err(Error::already_exists(format!("task {id}")));
            }
            slots.insert(key.clone(), Slot::Making);
        }
        // Runs to its end even where the caller gives up: half a task helps nobody.
        let manager = self.clone();
        let work = tokio::spawn(async move {
            let made = manager.make(&key.0, &key.1, create, binary).await;
            match &made {
                Ok((task, _)) => {
                    manager.slots().insert(key, Slot::Live(task.clone()));
                    manager.watch(task.clone());
                }
                Err(_) => {
                    manager.slots().remove(&key);
                }
            }
            made.map(|(_, pid)| pid)
        });
        work.await.map_err(|error| Error::caused(format!("make the task {id}"), error))?
    }

    async fn make(
        &self,
        namespace: &str,
        id: &str,
        create: Create,
        binary: PathBuf,
    ) -> Result<(Arc<Task>, u32)> {
        let layout = self.inner.layout.clone();
        let (ns, name, spec, shim) =
            (namespace.to_owned(), id.to_owned(), create.spec.clone(), binary.clone());
        let bundle = blocking(move || layout.create(&ns, &name, &spec, &shim)).await?;
        let log = super::shim_log(&bundle, id);
        let result = self.make_in(namespace, id, &bundle, create, binary.clone(), log).await;
        if result.is_err() {
            // Whatever of shim, container and mounts is there goes by the shim's own clean-up.
            if let Err(error) = self.inner.launcher.delete(&binary, namespace, id, &bundle).await {
                tracing::warn!(id, %error, "clean up after a failed create");
            }
            self.remove_bundle(namespace, id).await;
        }
        result
    }

    async fn make_in(
        &self,
        namespace: &str,
        id: &str,
        bundle: &std::path::Path,
        create: Create,
        binary: PathBuf,
        log: Option<tokio::task::AbortHandle>,
    ) -> Result<(Arc<Task>, u32)> {
        let options = create.options.as_ref().or(create.runtime_options.as_ref());
        let bootstrap = self.inner.launcher.start(&binary, namespace, id, bundle, options).await?;
        self.inner.layout.save_bootstrap(namespace, id, &bootstrap)?;
        let client = TaskClient::connect(&bootstrap, namespace, CONNECT_LIMIT).await?;
        let task = Arc::new(Task::new(namespace, id, binary, client, log));
        let request = api::CreateTaskRequest {
            id: id.to_owned(),
            bundle: bundle.display().to_string(),
            rootfs: create.rootfs,
            terminal: create.stdio.terminal,
            stdin: create.stdio.stdin,
            stdout: create.stdio.stdout,
            stderr: create.stdio.stderr,
            checkpoint: create.checkpoint,
            parent_checkpoint: String::new(),
            options: create.options.or(create.runtime_options),
        };
        match task.client.create(&request, None).await {
            Ok(answer) => Ok((task, answer.pid)),
            Err(error) => {
                let _ = self.shut_down(&task).await;
                let error = Error::from(error);
                Err(Error::new(error.kind(), format!("failed to create shim task: {error}")))
            }
        }
    }

    async fn shut_down(&self, task: &Task) -> Result<()> {
        let request = api::ShutdownRequest { id: task.id.clone(), now: false };
        task.client.shutdown(&request, Some(SHUTDOWN_LIMIT)).await?;
        task.client.close();
        Ok(())
    }

    pub(super) async fn remove_bundle(&self, namespace: &str, id: &str) {
        let (layout, ns, name) = (self.inner.layout.clone(), namespace.to_owned(), id.to_owned());
        if let Err(error) = blocking(move || layout.remove(&ns, &name)).await {
            tracing::warn!(id, %error, "remove a bundle");
        }
    }

    /// A task.
    ///
    /// # Errors
    /// Not found.
    pub async fn get(&self, namespace: &str, id: &str) -> Result<Arc<Task>> {
        let key = (namespace.to_owned(), id.to_owned());
        loop {
            let slot = self.slots().get(&key).cloned();
            match slot {
                Some(Slot::Live(task)) => return Ok(task),
                Some(Slot::Loading(mut done)) => {
                    let _ = done.wait_for(|done| *done).await;
                }
                // A name without an object is the text Go's clients know.
                Some(Slot::Making) | None => return Err(Error::not_found(format!("task {id} not found"))),
            }
        }
    }

    /// The tasks of a namespace, once all shims found at the start have answered.
    pub async fn list(&self, namespace: &str) -> Vec<Arc<Task>> {
        let slots: Vec<_> = {
            let slots = self.slots();
            slots
                .iter()
                .filter(|((ns, _), _)| ns == namespace)
                .map(|((_, id), slot)| (id.clone(), slot.clone()))
                .collect()
        };
        let mut tasks = Vec::new();
        for (id, slot) in slots {
            match slot {
                Slot::Live(task) => tasks.push(task),
                Slot::Loading(_) => tasks.extend(self.get(namespace, &id).await.ok()),
                Slot::Making => {}
            }
        }
        tasks
    }

    /// Removes a task that has ended, its shim and its bundle.
    ///
    /// # Errors
    /// It runs or doesn't exist.
    pub async fn delete(&self, namespace: &str, id: &str) -> Result<Exit> {
        let task = self.get(namespace, id).await?;
        let manager = self.clone();
        let work = tokio::spawn(async move { manager.delete_task(&task).await });
        work.await.map_err(|error| Error::caused(format!("delete the task {id}"), error))?
    }

    async fn delete_task(&self, task: &Arc<Task>) -> Result<Exit> {
        let request = api::DeleteRequest { id: task.id.clone(), exec_id: String::new() };
        let answer = task.client.delete(&request, None).await.map_err(|error| {
            let error = Error::from(error);
            Error::new(error.kind(), format!("failed to delete task: {error}"))
        })?;
        task.removing.send_replace(true);
        if let Err(error) = self.shut_down(task).await {
            tracing::debug!(id = task.id, %error, "shut the shim down");
        }
        let bundle = self.inner.layout.bundle(&task.namespace, &task.id);
        let cleaned = self.inner.launcher.delete(&task.binary, &task.namespace, &task.id, &bundle).await;
        if let Err(error) = cleaned {
            tracing::debug!(id = task.id, %error, "the shim's delete after a normal end");
        }
        self.remove_bundle(&task.namespace, &task.id).await;
        self.forget(&task.namespace, &task.id);
        Ok(Exit { pid: answer.pid, status: answer.exit_status, at: answer.exited_at })
    }

    fn forget(&self, namespace: &str, id: &str) {
        self.slots().remove(&(namespace.to_owned(), id.to_owned()));
    }

    /// Cleans up when the task's shim goes without being told.
    pub(super) fn watch(&self, task: Arc<Task>) {
        let manager = self.clone();
        tokio::spawn(async move {
            task.client.closed().await;
            if *task.removing.borrow() {
                return;
            }
            tracing::warn!(namespace = task.namespace, id = task.id, "the shim is gone, cleaning up");
            let exit = manager.clean_up(&task.namespace, &task.id, &task.binary).await;
            task.note_lost(exit);
        });
    }

    /// Removes what a dead shim left, and tells how its container ended.
    pub(super) async fn clean_up(&self, namespace: &str, id: &str, binary: &std::path::Path) -> Exit {
        let bundle = self.inner.layout.bundle(namespace, id);
        let exit = match self.inner.launcher.delete(binary, namespace, id, &bundle).await {
            Ok(answer) => Exit { pid: answer.pid, status: answer.exit_status, at: answer.exited_at },
            Err(error) => {
                tracing::warn!(id, %error, "clean up after a dead shim");
                Exit { pid: 0, status: 255, at: Some(std::time::SystemTime::now().into()) }
            }
        };
        if !self.inner.exits.was_told(namespace, id, exit.pid) {
            self.inner.exits.report(namespace, id, &exit);
        }
        self.inner.exits.report_delete(namespace, id, &exit);
        self.remove_bundle(namespace, id).await;
        self.forget(namespace, id);
        exit
    }

    /// Notes that a task is being asked for; answers what tells when that has ended.
    pub(super) fn loading(&self, namespace: &str, id: &str) -> watch::Sender<bool> {
        let (sender, receiver) = watch::channel(false);
        self.slots().insert((namespace.to_owned(), id.to_owned()), Slot::Loading(receiver));
        sender
    }

    pub(super) fn insert(&self, task: Arc<Task>) {
        self.slots().insert((task.namespace.clone(), task.id.clone()), Slot::Live(task));
    }
}
