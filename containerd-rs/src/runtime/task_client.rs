//! The task service of a shim, versions 2 and 3: the same messages under two names.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prost::Message;
use proto::containerd::task::v3 as api;
use proto::status::Code;

use super::bootstrap::Bootstrap;
use super::ttrpc::{CallError, Client};
use crate::error::{Error, Kind, Result};

const V2: &str = "containerd.task.v2.Task";
const V3: &str = "containerd.task.v3.Task";

/// A shim's task service.
#[derive(Debug)]
pub(super) struct TaskClient {
    connection: Client,
    /// Whether version 3 is spoken; falls once a shim turns out not to know it.
    v3: AtomicBool,
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident = $method:literal($request:ty) -> $answer:ty;)+) => {
        $($(#[$doc])*
        pub(super) async fn $name(
            &self,
            request: &$request,
            limit: Option<Duration>,
        ) -> Result<$answer, CallError> {
            self.call($method, request, limit).await
        })+
    };
}

impl TaskClient {
    /// Connects to the shim that `bootstrap` describes.
    ///
    /// # Errors
    /// The shim speaks something else (not implemented), nobody listens (unavailable), or somebody who can't be
    /// reached (unknown).
    pub(super) async fn connect(bootstrap: &Bootstrap, namespace: &str, limit: Duration) -> Result<Self> {
        if bootstrap.protocol != "ttrpc" {
            return Err(Error::new(
                Kind::Unimplemented,
                format!("unsupported protocol of a shim: {:?}", bootstrap.protocol),
            ));
        }
        if !(2..=3).contains(&bootstrap.version) {
            return Err(Error::new(
                Kind::Unimplemented,
                format!("unsupported shim version ({})", bootstrap.version),
            ));
        }
        let connection = Client::connect(&bootstrap.address, namespace, limit).await.map_err(|error| {
            let kind = match error.kind() {
                ErrorKind::ConnectionRefused | ErrorKind::NotFound => Kind::Unavailable,
                // A full queue, for one: somebody is there and doesn't come to it.
                _ => Kind::Unknown,
            };
            Error::new(kind, format!("connect to the shim at {}: {error}", bootstrap.address))
        })?;
        Ok(Self { connection, v3: AtomicBool::new(bootstrap.version == 3) })
    }

    async fn call<A: Message + Default>(
        &self,
        method: &'static str,
        request: &impl Message,
        limit: Option<Duration>,
    ) -> Result<A, CallError> {
        let v3 = self.v3.load(Ordering::Relaxed);
        let service = if v3 { V3 } else { V2 };
        let mut answer = self.connection.call(service, method, request.encode_to_vec(), limit).await;
        if v3 && matches!(&answer, Err(CallError::Status { code: Code::Unimplemented, .. })) {
            let older = self.connection.call(V2, method, request.encode_to_vec(), limit).await;
            if !matches!(&older, Err(CallError::Status { code: Code::Unimplemented, .. })) {
                tracing::debug!(method, "the shim speaks version 2 of the task service");
                self.v3.store(false, Ordering::Relaxed);
                answer = older;
            }
        }
        A::decode(answer?.as_slice()).map_err(|error| CallError::Status {
            code: Code::Internal,
            message: format!("the shim's answer to {method} is damaged: {error}"),
        })
    }

    methods! {
        /// Makes the container.
        create = "Create"(api::CreateTaskRequest) -> api::CreateTaskResponse;
        /// Starts a process.
        start = "Start"(api::StartRequest) -> api::StartResponse;
        /// Removes a process that ended.
        delete = "Delete"(api::DeleteRequest) -> api::DeleteResponse;
        /// A process's state.
        state = "State"(api::StateRequest) -> api::StateResponse;
        /// The processes inside.
        pids = "Pids"(api::PidsRequest) -> api::PidsResponse;
        /// Freezes.
        pause = "Pause"(api::PauseRequest) -> ();
        /// Thaws.
        resume = "Resume"(api::ResumeRequest) -> ();
        /// Writes a checkpoint to a directory.
        checkpoint = "Checkpoint"(api::CheckpointTaskRequest) -> ();
        /// Sends a signal.
        kill = "Kill"(api::KillRequest) -> ();
        /// Adds a process.
        exec = "Exec"(api::ExecProcessRequest) -> ();
        /// Tells a terminal its size.
        resize_pty = "ResizePty"(api::ResizePtyRequest) -> ();
        /// Closes standard input.
        close_io = "CloseIO"(api::CloseIoRequest) -> ();
        /// Changes limits.
        update = "Update"(api::UpdateTaskRequest) -> ();
        /// Answers when a process ended.
        wait = "Wait"(api::WaitRequest) -> api::WaitResponse;
        /// Resources used.
        stats = "Stats"(api::StatsRequest) -> api::StatsResponse;
        /// Is anybody there?
        connected = "Connect"(api::ConnectRequest) -> api::ConnectResponse;
        /// Ends the shim if it holds no container any more.
        shutdown = "Shutdown"(api::ShutdownRequest) -> ();
    }

    /// Returns when the shim is gone.
    pub(super) async fn closed(&self) {
        self.connection.closed().await;
    }

    /// Ends the connection.
    pub(super) fn close(&self) {
        self.connection.close();
    }
}
