//! What is done after a shim that is gone, or never came to be.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use proto::containerd::task::v3 as api;

use super::bundle::Bundle;
use super::launch::Launcher;
use super::manager::{Inner, SHUTDOWN};
use super::occupants;
use super::task::{Exit, Task};
use super::task_client::TaskClient;
use super::ttrpc::CallError;
use crate::blocking::blocking;
use crate::error::Error;

/// Exit status of what was killed with its shim.
const KILLED: u32 = 137;
/// Exit status where not even `delete` knows.
const LOST: u32 = 255;

impl Inner {
    pub(super) async fn undo_create(&self, binary: &Path, bundle: &Bundle, shim: &TaskClient) {
        let request = api::ShutdownRequest { id: bundle.id.clone(), now: false };
        // Until it is gone a new shim of that id would find its socket answering.
        let gone = matches!(shim.shutdown(&request, Some(SHUTDOWN)).await, Ok(()) | Err(CallError::Closed))
            && tokio::time::timeout(SHUTDOWN, shim.closed()).await.is_ok();
        shim.close();
        if gone {
            // It may have been killed, and what it called not.
            evict(bundle).await;
        }
        if let Err(error) = self.launcher.delete(binary, bundle).await {
            tracing::warn!(container = bundle.id, namespace = bundle.namespace, %error, "clean up after a failed create");
        }
        remove(bundle).await;
    }

    pub(super) async fn lost(&self, task: &Arc<Task>) {
        evict(&task.bundle).await;
        let exit = self.clean_up(&task.binary, &task.bundle, task.pid()).await;
        self.exits.report_delete(task.namespace(), task.id(), &exit);
        task.log.abort();
        remove(&task.bundle).await;
        self.tasks().remove(&(task.namespace().to_owned(), task.id().to_owned()));
        // Only now: whoever hears of it may make the task anew.
        task.lost.send_replace(Some(exit));
    }

    /// Runs `delete` after a shim that is gone and tells the exit.
    pub(super) async fn clean_up(&self, binary: &Path, bundle: &Bundle, pid: u32) -> Exit {
        let now = Some(SystemTime::now().into());
        let exit = match self.launcher.delete(binary, bundle).await {
            Ok(answer) => {
                let pid = if answer.pid == 0 { pid } else { answer.pid };
                let status = if answer.exited_at.is_none() { KILLED } else { answer.exit_status };
                Exit { pid, status, at: answer.exited_at.or(now) }
            }
            Err(error) => {
                tracing::warn!(container = bundle.id, namespace = bundle.namespace, %error, "clean up after a lost shim");
                Exit { pid, status: LOST, at: now }
            }
        };
        self.exits.report(&bundle.namespace, &bundle.id, &exit);
        exit
    }
}

/// Ends whoever would go on making what is being cleared away.
pub(super) async fn evict(bundle: &Bundle) {
    let path = bundle.path().to_owned();
    let failed = |error| Error::caused(format!("clear the bundle {}", path.display()), error);
    let evicted = {
        let path = path.clone();
        blocking(move || Ok(occupants::evict(&path))).await.and_then(|evicted| evicted.map_err(failed))
    };
    if let Err(error) = evicted {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(container = bundle.id, namespace = bundle.namespace, %error, cause, "somebody still works in a bundle");
    }
}

/// Removes a bundle whose shim is gone; what can't be removed is swept at the next start.
pub(super) async fn remove(bundle: &Bundle) {
    let (gone, name) = (bundle.clone(), bundle.id.clone());
    let removed = blocking(move || {
        gone.remove_stale_socket();
        gone.remove()
    });
    if let Err(error) = removed.await {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(container = name, %error, cause, "the bundle stays until the next start");
    }
}

/// The binary that a bundle's shim ran from.
pub(super) fn binary_of(launcher: &Launcher, bundle: &Bundle, runtime: Option<&str>) -> Option<PathBuf> {
    let recorded = bundle.shim_path().filter(|path| path.is_file());
    // The package may have moved: a binary of the same name in today's places will do.
    recorded.or_else(|| runtime.and_then(|runtime| launcher.resolve(runtime).ok()))
}
