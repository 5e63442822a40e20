//! What is asked of tasks without changing them: states, lists, metrics.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::stream::{self, StreamExt};
use prost_types::Any;
use proto::containerd::runc::v1::CheckpointOptions;
use proto::containerd::types::Metric;
use proto::containerd::v1::types::{Process, Status};
use proto::io::containerd::cgroups;
use proto::typeurl;

use super::YEAR_ONE;
use crate::error::{Error, Kind, Result};
use crate::metadata::filters::Filters;
use crate::runtime::{Manager, Task};

/// A list of tasks waits so long for shims that don't answer.
const LIST: Duration = Duration::from_secs(2);
/// Shims measured at once.
const AT_ONCE: usize = 32;

/// A process as clients see it. A shim that answers nonsense gives a process of unknown status, not
/// an error: it must not hide the rest.
pub(super) async fn process(task: &Task, exec: &str) -> Result<Process> {
    let id = if exec.is_empty() { task.id() } else { exec };
    match task.state(exec).await {
        Ok(state) => Ok(Process {
            container_id: String::new(),
            id: id.to_owned(),
            pid: state.pid,
            status: state.status,
            stdin: state.stdin,
            stdout: state.stdout,
            stderr: state.stderr,
            terminal: state.terminal,
            exit_status: state.exit_status,
            exited_at: state.exited_at.or(Some(YEAR_ONE)),
        }),
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Unavailable | Kind::DeadlineExceeded) => {
            Err(error)
        }
        Err(error) => {
            tracing::warn!(container = task.id(), process = exec, %error, "ask for a process's state");
            Ok(unknown(task.id(), id, task.pid()))
        }
    }
}

fn unknown(container: &str, id: &str, pid: u32) -> Process {
    Process {
        container_id: container.to_owned(),
        id: id.to_owned(),
        pid,
        status: Status::Unknown as i32,
        exited_at: Some(YEAR_ONE),
        ..Process::default()
    }
}

/// The init processes of all tasks, in the order of their ids. All are asked at once; one that hasn't
/// answered in time, or can't be reached, is of unknown status.
pub(super) async fn list(manager: &Manager, namespace: &str) -> Vec<Process> {
    let deadline = tokio::time::Instant::now() + LIST;
    let ask = |id: String| async move {
        let answer = async {
            let task = manager.get(namespace, &id).await?;
            process(&task, "").await
        };
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(process)) => Some(Process { container_id: id, ..process }),
            Ok(Err(error)) if error.kind() == Kind::NotFound => None,
            Ok(Err(_)) | Err(_) => Some(unknown(&id, &id, manager.known_pid(namespace, &id))),
        }
    };
    let answers = futures::future::join_all(manager.ids(namespace).into_iter().map(ask)).await;
    answers.into_iter().flatten().collect()
}

/// The metrics of the tasks that the filters let through. One that gives none is left out.
pub(super) async fn metrics(manager: &Manager, namespace: &str, filters: &[String]) -> Result<Vec<Metric>> {
    let filters = Filters::parse(filters)?;
    let matches = |id: &String| {
        filters.matches(&|path: &[&str]| match path {
            ["id"] => Some(id.clone()),
            ["namespace"] => Some(namespace.to_owned()),
            _ => None,
        })
    };
    let ids: Vec<String> = manager.ids(namespace).into_iter().filter(matches).collect();
    let metrics = stream::iter(ids)
        .map(|id| async move {
            let task: Arc<Task> = manager.get(namespace, &id).await?;
            let data = task.stats().await?.map(bare);
            Ok::<_, Error>(Metric { timestamp: Some(SystemTime::now().into()), id, data })
        })
        .buffered(AT_ONCE)
        .filter_map(|metric| async {
            metric.inspect_err(|error| tracing::debug!(%error, "measure a task")).ok()
        })
        .collect()
        .await;
    Ok(metrics)
}

/// Go compares whole URLs: nothing may stand before a metric's name.
fn bare(mut any: Any) -> Any {
    if typeurl::is::<cgroups::v1::Metrics>(&any) || typeurl::is::<cgroups::v2::Metrics>(&any) {
        any.type_url = any.type_url.rsplit('/').next().unwrap_or_default().to_owned();
    }
    any
}

/// Where checkpoint options want the image.
pub(super) fn image_path(options: Option<&Any>) -> Option<String> {
    let options: CheckpointOptions = typeurl::unpack(options?).ok()?;
    Some(options.image_path).filter(|path| !path.is_empty())
}
