//! `containerd.services.tasks.v1.Tasks`.

mod read;

use std::sync::Arc;

use prost_types::Timestamp;
use proto::containerd::services::containers::v1::Container;
use proto::containerd::services::tasks::v1 as api;
use proto_services::containerd::services::tasks::v1::tasks_server::Tasks;
use tonic::{Request, Response, Status};

use crate::blocking::blocking;
use crate::error::{Error, Kind, Result};
use crate::metadata::Db;
use crate::request::{Scope, check_identifier};
use crate::runtime::{Create, Exit, Manager, Stdio, Task};

/// Tasks of the containers in the database.
#[derive(Clone, Debug)]
pub struct TasksService {
    db: Db,
    manager: Manager,
}

impl TasksService {
    /// A service over the containers' records and their tasks.
    pub fn new(db: Db, manager: Manager) -> Self {
        Self { db, manager }
    }

    async fn container(&self, namespace: &str, id: &str) -> Result<Container> {
        let (db, namespace, id) = (self.db.clone(), namespace.to_owned(), id.to_owned());
        blocking(move || db.containers().get(&namespace, &id)).await
    }

    /// The task of a container that has a record.
    async fn task(&self, scope: &Scope, id: &str) -> Result<Arc<Task>> {
        self.container(&scope.namespace, id).await?;
        self.manager.get(&scope.namespace, id).await
    }
}

/// Go's zero time, which its clients expect where nothing happened yet.
pub(super) const YEAR_ONE: Timestamp = Timestamp { seconds: -62_135_596_800, nanos: 0 };

fn deleted(id: String, exit: Exit) -> Response<api::DeleteResponse> {
    Response::new(api::DeleteResponse {
        id,
        pid: exit.pid,
        exit_status: exit.status,
        exited_at: exit.at.or(Some(YEAR_ONE)),
    })
}

/// The added process that a request must name.
fn named_process(exec: &str) -> Result<()> {
    check_identifier(exec).map_err(|error| Error::invalid(format!("invalid exec id {exec}: {error}")))
}

#[tonic::async_trait]
impl Tasks for TasksService {
    async fn create(
        &self,
        request: Request<api::CreateTaskRequest>,
    ) -> Result<Response<api::CreateTaskResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let request = request.into_inner();
        if request.checkpoint.is_some() {
            return Err(Error::new(Kind::Unimplemented, "create a task from a checkpoint").into());
        }
        let container = self.container(&scope.namespace, &request.container_id).await?;
        let runtime = container.runtime.unwrap_or_default();
        let runtime_name = if request.runtime_path.is_empty() { runtime.name } else { request.runtime_path };
        let pid = self
            .manager
            .create(Create {
                namespace: scope.namespace,
                id: container.id.clone(),
                runtime: runtime_name,
                runtime_options: runtime.options,
                task_options: request.options.filter(|options| !options.type_url.is_empty()),
                spec: container.spec.map(|spec| spec.value).unwrap_or_default(),
                rootfs: request.rootfs,
                stdio: Stdio {
                    stdin: request.stdin,
                    stdout: request.stdout,
                    stderr: request.stderr,
                    terminal: request.terminal,
                },
            })
            .await?;
        Ok(Response::new(api::CreateTaskResponse { container_id: container.id, pid }))
    }

    async fn start(
        &self,
        request: Request<api::StartRequest>,
    ) -> Result<Response<api::StartResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let request = request.into_inner();
        let task = self.task(&scope, &request.container_id).await?;
        Ok(Response::new(api::StartResponse { pid: task.start(&request.exec_id).await? }))
    }

    async fn delete(
        &self,
        request: Request<api::DeleteTaskRequest>,
    ) -> Result<Response<api::DeleteResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let id = request.into_inner().container_id;
        self.container(&scope.namespace, &id).await?;
        let exit = self.manager.delete(&scope.namespace, &id).await?;
        Ok(deleted(id, exit))
    }

    async fn delete_process(
        &self,
        request: Request<api::DeleteProcessRequest>,
    ) -> Result<Response<api::DeleteResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let request = request.into_inner();
        let task = self.task(&scope, &request.container_id).await?;
        named_process(&request.exec_id)?;
        let exit = task.delete_process(&request.exec_id).await?;
        Ok(deleted(request.exec_id, exit))
    }

    async fn get(&self, request: Request<api::GetRequest>) -> Result<Response<api::GetResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let request = request.into_inner();
        let task = self.task(&scope, &request.container_id).await?;
        let process = read::process(&task, &request.exec_id).await?;
        Ok(Response::new(api::GetResponse { process: Some(process) }))
    }

    async fn list(
        &self,
        request: Request<api::ListTasksRequest>,
    ) -> Result<Response<api::ListTasksResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let tasks = read::list(&self.manager, &scope.namespace).await;
        Ok(Response::new(api::ListTasksResponse { tasks }))
    }

    async fn kill(&self, request: Request<api::KillRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::of(request.metadata())?;
        let request = request.into_inner();
        let task = self.task(&scope, &request.container_id).await?;
        task.kill(&request.exec_id, request.signal, request.all).await?;
        Ok(Response::new(()))
    }

    async fn exec(&self, request: Request<api::ExecProcessRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::of(request.metadata())?;
        let request = request.into_inner();
        if request.exec_id.is_empty() {
            return Err(Error::invalid("exec id cannot be empty").into());
        }
        let task = self.task(&scope, &request.container_id).await?;
        named_process(&request.exec_id)?;
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
        let scope = Scope::of(request.metadata())?;
        let request = request.into_inner();
        let task = self.task(&scope, &request.container_id).await?;
        task.resize_pty(&request.exec_id, request.width, request.height).await?;
        Ok(Response::new(()))
    }

    async fn close_io(&self, request: Request<api::CloseIoRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::of(request.metadata())?;
        let request = request.into_inner();
        let task = self.task(&scope, &request.container_id).await?;
        task.close_io(&request.exec_id, request.stdin).await?;
        Ok(Response::new(()))
    }

    async fn pause(&self, request: Request<api::PauseTaskRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::of(request.metadata())?;
        self.task(&scope, &request.into_inner().container_id).await?.pause().await?;
        Ok(Response::new(()))
    }

    async fn resume(&self, request: Request<api::ResumeTaskRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::of(request.metadata())?;
        self.task(&scope, &request.into_inner().container_id).await?.resume().await?;
        Ok(Response::new(()))
    }

    async fn list_pids(
        &self,
        request: Request<api::ListPidsRequest>,
    ) -> Result<Response<api::ListPidsResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let task = self.task(&scope, &request.into_inner().container_id).await?;
        Ok(Response::new(api::ListPidsResponse { processes: task.pids().await? }))
    }

    async fn checkpoint(
        &self,
        request: Request<api::CheckpointTaskRequest>,
    ) -> Result<Response<api::CheckpointTaskResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let request = request.into_inner();
        let task = self.task(&scope, &request.container_id).await?;
        let path = read::image_path(request.options.as_ref()).ok_or_else(|| {
            Error::new(Kind::Unimplemented, "checkpoint into the content store: give an image path")
        })?;
        task.checkpoint(&path, request.options).await?;
        Ok(Response::new(api::CheckpointTaskResponse::default()))
    }

    async fn update(&self, request: Request<api::UpdateTaskRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::of(request.metadata())?;
        let request = request.into_inner();
        let task = self.task(&scope, &request.container_id).await?;
        task.update(request.resources, request.annotations).await?;
        Ok(Response::new(()))
    }

    async fn metrics(
        &self,
        request: Request<api::MetricsRequest>,
    ) -> Result<Response<api::MetricsResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let metrics = read::metrics(&self.manager, &scope.namespace, &request.into_inner().filters).await?;
        Ok(Response::new(api::MetricsResponse { metrics }))
    }

    async fn wait(&self, request: Request<api::WaitRequest>) -> Result<Response<api::WaitResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let request = request.into_inner();
        let task = self.task(&scope, &request.container_id).await?;
        let exit = task.wait(&request.exec_id).await?;
        Ok(Response::new(api::WaitResponse {
            exit_status: exit.status,
            exited_at: exit.at.or(Some(YEAR_ONE)),
        }))
    }
}
