//! Tasks: the processes of a container.

use std::time::SystemTime;

use prost_types::Any;
use proto::containerd::services::tasks::v1::{
    CloseIoRequest, CreateTaskRequest, DeleteProcessRequest, DeleteResponse, DeleteTaskRequest,
    ExecProcessRequest, GetRequest, KillRequest, ListPidsRequest, ListTasksRequest, MetricsRequest,
    PauseTaskRequest, ResizePtyRequest, ResumeTaskRequest, StartRequest, UpdateTaskRequest, WaitRequest,
};
use proto::containerd::types::{Metric, Mount};
use proto::containerd::v1::types::{Process, ProcessInfo};

use crate::connect::Client;
use crate::error::{Error, Result};

/// Where a process' streams go: fifo paths or the shim's URIs, empty for none.
#[derive(Clone, Debug, Default)]
pub struct Stdio {
    /// What the process reads.
    pub stdin: String,
    /// Its output; with a terminal, all of it.
    pub stdout: String,
    /// Its errors; unused with a terminal.
    pub stderr: String,
    /// The process gets a terminal.
    pub terminal: bool,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code, or 128 + the signal.
    pub status: u32,
    /// When, by the shim's clock.
    pub at: Option<SystemTime>,
}

impl From<DeleteResponse> for Exit {
    fn from(answer: DeleteResponse) -> Self {
        Self {
            status: answer.exit_status,
            at: answer.exited_at.and_then(|time| SystemTime::try_from(time).ok()),
        }
    }
}

impl Client {
    /// Creates a container's task: its shim and the init process, not yet started. Answers the pid.
    ///
    /// # Errors
    /// The container is missing, has a task, or the runtime failed: then the message holds its words.
    pub async fn create_task(
        &self,
        id: &str,
        rootfs: Vec<Mount>,
        stdio: Stdio,
        options: Option<Any>,
    ) -> Result<u32> {
        let message = CreateTaskRequest {
            container_id: id.to_owned(),
            rootfs,
            stdin: stdio.stdin,
            stdout: stdio.stdout,
            stderr: stdio.stderr,
            terminal: stdio.terminal,
            options,
            ..Default::default()
        };
        let mut service = self.tasks_service();
        Ok(self.once("create task", id, service.create(self.request(message))).await?.pid)
    }

    /// Starts the init process, or with `exec_id` an exec'd one. Answers the pid.
    ///
    /// # Errors
    /// The process runs already, or its command can't be run.
    pub async fn start_task(&self, id: &str, exec_id: &str) -> Result<u32> {
        let message = StartRequest { container_id: id.to_owned(), exec_id: exec_id.to_owned() };
        let mut service = self.tasks_service();
        Ok(self.once("start task", id, service.start(self.request(message))).await?.pid)
    }

    /// Deletes a stopped task and tells how it ended.
    ///
    /// # Errors
    /// There is no task, or it runs.
    pub async fn delete_task(&self, id: &str) -> Result<Exit> {
        let answer = self
            .repeat("delete task", id, || {
                let (mut service, request) =
                    (self.tasks_service(), self.request(DeleteTaskRequest { container_id: id.to_owned() }));
                async move { service.delete(request).await }
            })
            .await?;
        Ok(answer.into())
    }

    /// Deletes a stopped exec process and tells how it ended.
    ///
    /// # Errors
    /// There is no such process, or it runs.
    pub async fn delete_process(&self, id: &str, exec_id: &str) -> Result<Exit> {
        let message = DeleteProcessRequest { container_id: id.to_owned(), exec_id: exec_id.to_owned() };
        let answer = self
            .repeat("delete process of", id, || {
                let (mut service, request) = (self.tasks_service(), self.request(message.clone()));
                async move { service.delete_process(request).await }
            })
            .await?;
        Ok(answer.into())
    }

    /// The state of a task, or with `exec_id` of an exec process.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound) without one.
    pub async fn task(&self, id: &str, exec_id: &str) -> Result<Process> {
        let message = GetRequest { container_id: id.to_owned(), exec_id: exec_id.to_owned() };
        let answer = self
            .repeat("get task", id, || {
                let (mut service, request) = (self.tasks_service(), self.request(message.clone()));
                async move { service.get(request).await }
            })
            .await?;
        Ok(answer.process.unwrap_or_default())
    }

    /// All tasks of the namespace.
    ///
    /// # Errors
    /// The daemon can't answer.
    pub async fn tasks(&self) -> Result<Vec<Process>> {
        let answer = self
            .repeat("list tasks", "", || {
                let (mut service, request) =
                    (self.tasks_service(), self.request(ListTasksRequest::default()));
                async move { service.list(request).await }
            })
            .await?;
        Ok(answer.tasks)
    }

    /// Sends a signal to the init process, an exec process, or (`all`) every process.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound) when the process has ended.
    pub async fn kill_task(&self, id: &str, exec_id: &str, signal: u32, all: bool) -> Result<()> {
        let message = KillRequest { container_id: id.to_owned(), exec_id: exec_id.to_owned(), signal, all };
        self.repeat("kill", id, || {
            let (mut service, request) = (self.tasks_service(), self.request(message.clone()));
            async move { service.kill(request).await }
        })
        .await
    }

    /// Adds a process to a running task; `start_task` starts it. `spec` is an OCI process.
    ///
    /// # Errors
    /// The task doesn't run, or the id is taken.
    pub async fn exec(&self, id: &str, exec_id: &str, stdio: Stdio, spec: Any) -> Result<()> {
        let message = ExecProcessRequest {
            container_id: id.to_owned(),
            stdin: stdio.stdin,
            stdout: stdio.stdout,
            stderr: stdio.stderr,
            terminal: stdio.terminal,
            spec: Some(spec),
            exec_id: exec_id.to_owned(),
        };
        let mut service = self.tasks_service();
        self.once("exec in", id, service.exec(self.request(message))).await
    }

    /// Sets the size of a process' terminal.
    ///
    /// # Errors
    /// The process has ended or has no terminal.
    pub async fn resize(&self, id: &str, exec_id: &str, width: u32, height: u32) -> Result<()> {
        let message =
            ResizePtyRequest { container_id: id.to_owned(), exec_id: exec_id.to_owned(), width, height };
        self.repeat("resize terminal of", id, || {
            let (mut service, request) = (self.tasks_service(), self.request(message.clone()));
            async move { service.resize_pty(request).await }
        })
        .await
    }

    /// Tells the shim that no more input comes.
    ///
    /// # Errors
    /// There is no such process.
    pub async fn close_stdin(&self, id: &str, exec_id: &str) -> Result<()> {
        let message =
            CloseIoRequest { container_id: id.to_owned(), exec_id: exec_id.to_owned(), stdin: true };
        self.repeat("close stdin of", id, || {
            let (mut service, request) = (self.tasks_service(), self.request(message.clone()));
            async move { service.close_io(request).await }
        })
        .await
    }

    /// Freezes all processes.
    ///
    /// # Errors
    /// The task doesn't run.
    pub async fn pause(&self, id: &str) -> Result<()> {
        let mut service = self.tasks_service();
        self.once("pause", id, service.pause(self.request(PauseTaskRequest { container_id: id.to_owned() })))
            .await
    }

    /// Thaws all processes.
    ///
    /// # Errors
    /// The task isn't paused.
    pub async fn resume(&self, id: &str) -> Result<()> {
        let mut service = self.tasks_service();
        self.once(
            "resume",
            id,
            service.resume(self.request(ResumeTaskRequest { container_id: id.to_owned() })),
        )
        .await
    }

    /// The host's pids of all processes.
    ///
    /// # Errors
    /// There is no task.
    pub async fn pids(&self, id: &str) -> Result<Vec<ProcessInfo>> {
        let answer = self
            .repeat("pids of", id, || {
                let (mut service, request) =
                    (self.tasks_service(), self.request(ListPidsRequest { container_id: id.to_owned() }));
                async move { service.list_pids(request).await }
            })
            .await?;
        Ok(answer.processes)
    }

    /// Changes the limits; `resources` is an OCI `linux.resources`.
    ///
    /// # Errors
    /// The task doesn't run, or the kernel refuses a limit.
    pub async fn update_task(&self, id: &str, resources: Any) -> Result<()> {
        let message = UpdateTaskRequest {
            container_id: id.to_owned(),
            resources: Some(resources),
            ..Default::default()
        };
        self.repeat("update task", id, || {
            let (mut service, request) = (self.tasks_service(), self.request(message.clone()));
            async move { service.update(request).await }
        })
        .await
    }

    /// What the task uses, from its cgroup.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound) without a task.
    pub async fn metrics(&self, id: &str) -> Result<Metric> {
        let message = MetricsRequest { filters: vec![format!("id=={id}")] };
        let answer = self
            .repeat("metrics of", id, || {
                let (mut service, request) = (self.tasks_service(), self.request(message.clone()));
                async move { service.metrics(request).await }
            })
            .await?;
        answer
            .metrics
            .into_iter()
            .next()
            .ok_or_else(|| Error::new("metrics of", id, tonic::Status::not_found("no metrics")))
    }

    /// Waits for a process' end; repeated over broken connections.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound) without such a process.
    pub async fn wait(&self, id: &str, exec_id: &str) -> Result<Exit> {
        let message = WaitRequest { container_id: id.to_owned(), exec_id: exec_id.to_owned() };
        let answer = self
            .repeat("wait for", id, || {
                let (mut service, request) = (self.tasks_service(), self.request(message.clone()));
                async move { service.wait(request).await }
            })
            .await?;
        Ok(Exit {
            status: answer.exit_status,
            at: answer.exited_at.and_then(|time| SystemTime::try_from(time).ok()),
        })
    }
}
