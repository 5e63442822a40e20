//! `containerd.services.tasks.v1.Tasks`.

use std::time::SystemTime;

use proto::containerd::services::tasks::v1 as api;
use proto::containerd::types::Metric;
use proto::containerd::v1::types::{Process, Status as TaskStatus};
use proto::typeurl;
use proto_services::containerd::services::tasks::v1::tasks_server::Tasks;
use tonic::{Request, Response, Status};

use crate::blocking::blocking;
use crate::error::{Error, Kind, Result};
use crate::metadata::Db;
use crate::metadata::filters::Filters;
use crate::request::{Scope, check_identifier};
use crate::runtime::{Create, Manager, Stdio, Task};

/// Tasks over their shims.
#[derive(Clone, Debug)]
pub struct TasksService {
    db: Db,
    manager: Manager,
}

impl TasksService {
    /// A service over the manager's tasks and the containers of `db`.
    pub fn new(db: Db, manager: Manager) -> Self {
        Self { db, manager }
    }

    async fn task(&self, metadata: &tonic::metadata::MetadataMap, id: &str) -> Result<std::sync::Arc<Task>> {
        let scope = Scope::of(metadata)?;
        self.manager.get(&scope.namespace, id).await
    }
}

/// A process as clients see it. A shim that doesn't answer in time has a task of unknown state.
async fn process(task: &Task, exec: &str) -> Result<Process> {
    match task.state(exec).await {
        Ok(state) => Ok(Process {
            container_id: task.id.clone(),
            id: if exec.is_empty() { task.id.clone() } else { exec.to_owned() },
            pid: state.pid,
            status: state.status,
            stdin: state.stdin,
            stdout: state.stdout,
            stderr: state.stderr,
            terminal: state.terminal,
            exit_status: state.exit_status,
            exited_at: state.exited_at,
        }),
        Err(error) if matches!(error.kind(), Kind::NotFound) => Err(error),
        Err(error) => {
            tracing::warn!(id = task.id, %error, "ask for the state");
            Ok(Process {
                container_id: task.id.clone(),
                id: task.id.clone(),
                status: TaskStatus::Unknown as i32,
                ..Process::default()
            })
        }
    }
}

#[tonic::async_trait]
impl Tasks for TasksService {
    async fn create(
        &self,
        request: Request<api::CreateTaskRequest>,
    ) -> Result<Response<api::CreateTaskResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let request = request.into_inner();
        let id = request.container_id;
        check_identifier(&id)?;
        let (db, namespace, name) = (self.db.clone(), scope.namespace.clone(), id.clone());
        let container = blocking(move || db.containers().get(&namespace, &name)).await?;
        if request.checkpoint.is_some() {
            return Err(Error::new(Kind::Unimplemented, "restore from a checkpoint").into());
        }
        let runtime = container.runtime.unwrap_or_default();
        let spec = container.spec.map(|spec| spec.value).unwrap_or_default();
        if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&spec) {
            return Err(Error::caused(format!("read the spec of {id}"), error).into());
        }
        let create = Create {
            runtime: if request.runtime_path.is_empty() { runtime.name } else { request.runtime_path },
            options: request.options,
            runtime_options: runtime.options,
            spec,
            rootfs: request.rootfs,
            stdio: Stdio {
                stdin: request.stdin,
                stdout: request.stdout,
                stderr: request.stderr,
                terminal: request.terminal,
            },
            checkpoint: String::new(),
        };
        let pid = self.manager.create(&scope.namespace, &id, create).await?;
        Ok(Response::new(api::CreateTaskResponse { container_id: id, pid }))
    }

    async fn start(
        &self,
        request: Request<api::StartRequest>,
    ) -> Result<Response<api::StartResponse>, Status> {
        let task = self.task(request.metadata(), &request.get_ref().container_id).await?;
        let pid = task.start(&request.get_ref().exec_id).await?;
        Ok(Response::new(api::StartResponse { pid }))
    }

    async fn delete(
        &self,
        request: Request<api::DeleteTaskRequest>,
    ) -> Result<Response<api::DeleteResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let id = request.into_inner().container_id;
        let exit = self.manager.delete(&scope.namespace, &id).await?;
        Ok(Response::new(api::DeleteResponse {
            id,
            pid: exit.pid,
            exit_status: exit.status,
            exited_at: exit.at,
        }))
    }

    async fn delete_process(
        &self,
        request: Request<api::DeleteProcessRequest>,
    ) -> Result<Response<api::DeleteResponse>, Status> {
        let task = self.task(request.metadata(), &request.get_ref().container_id).await?;
        let exec = request.into_inner().exec_id;
        if exec.is_empty() {
            return Err(Error::invalid("exec id must not be empty").into());
        }
        let exit = task.delete_exec(&exec).await?;
        Ok(Response::new(api::DeleteResponse {
            id: exec,
            pid: exit.pid,
            exit_status: exit.status,
            exited_at: exit.at,
        }))
    }

    async fn get(&self, request: Request<api::GetRequest>) -> Result<Response<api::GetResponse>, Status> {
        let task = self.task(request.metadata(), &request.get_ref().container_id).await?;
        let process = process(&task, &request.get_ref().exec_id).await?;
        Ok(Response::new(api::GetResponse { process: Some(process) }))
    }

    async fn list(
        &self,
        request: Request<api::ListTasksRequest>,
    ) -> Result<Response<api::ListTasksResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let tasks = self.manager.list(&scope.namespace).await;
        let states = tasks.iter().map(|task| process(task, ""));
        // One that is gone meanwhile is no task any more.
        let mut tasks: Vec<Process> =
            futures::future::join_all(states).await.into_iter().filter_map(Result::ok).collect();
        tasks.sort_by(|a, b| a.container_id.cmp(&b.container_id));
        Ok(Response::new(api::ListTasksResponse { tasks }))
    }

    async fn kill(&self, request: Request<api::KillRequest>) -> Result<Response<()>, Status> {
        let task = self.task(request.metadata(), &request.get_ref().container_id).await?;
        let request = request.into_inner();
        task.kill(&request.exec_id, request.signal, request.all).await?;
        Ok(Response::new(()))
    }

    async fn exec(&self, request: Request<api::ExecProcessRequest>) -> Result<Response<()>, Status> {
        let task = self.task(request.metadata(), &request.get_ref().container_id).await?;
        let request = request.into_inner();
        check_identifier(&request.exec_id)?;
        let stdio = Stdio {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            terminal: request.terminal,
        };
        task.exec(&request.exec_id, stdio, request.spec).await?;
        Ok(Response::new(()))
    }

    async fn resize_pty(&self, request: Request<api::ResizePtyRequest>) -> Result<Response<()>, Status> {
        let task = self.task(request.metadata(), &request.get_ref().container_id).await?;
        let request = request.into_inner();
        task.resize(&request.exec_id, request.width, request.height).await?;
        Ok(Response::new(()))
    }

    async fn close_io(&self, request: Request<api::CloseIoRequest>) -> Result<Response<()>, Status> {
        let task = self.task(request.metadata(), &request.get_ref().container_id).await?;
        if request.get_ref().stdin {
            task.close_stdin(&request.get_ref().exec_id).await?;
        }
        Ok(Response::new(()))
    }

    async fn pause(&self, request: Request<api::PauseTaskRequest>) -> Result<Response<()>, Status> {
        self.task(request.metadata(), &request.get_ref().container_id).await?.pause().await?;
        Ok(Response::new(()))
    }

    async fn resume(&self, request: Request<api::ResumeTaskRequest>) -> Result<Response<()>, Status> {
        self.task(request.metadata(), &request.get_ref().container_id).await?.resume().await?;
        Ok(Response::new(()))
    }

    async fn list_pids(
        &self,
        request: Request<api::ListPidsRequest>,
    ) -> Result<Response<api::ListPidsResponse>, Status> {
        let task = self.task(request.metadata(), &request.get_ref().container_id).await?;
        Ok(Response::new(api::ListPidsResponse { processes: task.pids().await? }))
    }

    async fn checkpoint(
        &self,
        request: Request<api::CheckpointTaskRequest>,
    ) -> Result<Response<api::CheckpointTaskResponse>, Status> {
        self.task(request.metadata(), &request.get_ref().container_id).await?;
        Err(Error::new(Kind::Unimplemented, "checkpoint of a task").into())
    }

    async fn update(&self, request: Request<api::UpdateTaskRequest>) -> Result<Response<()>, Status> {
        let task = self.task(request.metadata(), &request.get_ref().container_id).await?;
        let request = request.into_inner();
        task.update(request.resources, request.annotations).await?;
        Ok(Response::new(()))
    }

    async fn metrics(
        &self,
        request: Request<api::MetricsRequest>,
    ) -> Result<Response<api::MetricsResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let filters = Filters::parse(&request.into_inner().filters)?;
        let mut metrics = Vec::new();
        for task in self.manager.list(&scope.namespace).await {
            let field = |path: &[&str]| match path {
                ["id"] => Some(task.id.clone()),
                ["namespace"] => Some(task.namespace.clone()),
                _ => None,
            };
            if !filters.matches(&field) {
                continue;
            }
            match task.stats().await {
                Ok(data) => metrics.push(Metric {
                    timestamp: Some(SystemTime::now().into()),
                    id: task.id.clone(),
                    data: data.map(bare),
                }),
                Err(error) => tracing::warn!(id = task.id, %error, "ask for metrics"),
            }
        }
        Ok(Response::new(api::MetricsResponse { metrics }))
    }

    async fn wait(&self, request: Request<api::WaitRequest>) -> Result<Response<api::WaitResponse>, Status> {
        let task = self.task(request.metadata(), &request.get_ref().container_id).await?;
        let (exit_status, exited_at) = task.wait(&request.get_ref().exec_id).await?;
        Ok(Response::new(api::WaitResponse { exit_status, exited_at }))
    }
}

/// Go compares whole URLs: nothing may stand before a metric's name.
fn bare(mut any: prost_types::Any) -> prost_types::Any {
    if typeurl::is::<proto::io::containerd::cgroups::v1::Metrics>(&any)
        || typeurl::is::<proto::io::containerd::cgroups::v2::Metrics>(&any)
    {
        any.type_url = any.type_url.rsplit('/').next().unwrap_or_default().to_owned();
    }
    any
}
