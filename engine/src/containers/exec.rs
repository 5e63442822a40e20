//! Further processes in a running container.
//!
//! ```text
//! EXEC/containers/ID/exec/EXECID-{stdin,stdout,stderr}    fifos, there while the process runs
//! ```
//! They are known as long as the daemon lives, and five minutes after their end.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use containerd_client::Stdio;
use proto::containerd::v1::types::Status as TaskStatus;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};

use super::state::Status;
use super::stop::not_running;
use super::streams::{Output, make_fifo, open_reader};
use super::{Container, Containers, spec};
use crate::error::{Error, Result};

/// How long an ended one can be inspected.
const KEPT: Duration = Duration::from_secs(300);
/// How long output of a background child is waited for after the end.
const LINGER: Duration = Duration::from_secs(2);

/// What a client asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ExecRequest {
    /// `name|uid[:group|gid]`; empty: the container's.
    pub user: String,
    /// All capabilities.
    pub privileged: bool,
    /// A terminal.
    pub tty: bool,
    /// Input is wanted.
    pub attach_stdin: bool,
    /// Output is wanted.
    pub attach_stdout: bool,
    /// Errors are wanted.
    pub attach_stderr: bool,
    /// Keys that detach.
    pub detach_keys: String,
    /// `KEY=VALUE` over the container's.
    pub env: Vec<String>,
    /// Directory; empty: the container's.
    pub working_dir: String,
    /// The command.
    pub cmd: Vec<String>,
    /// Rows and columns of the terminal.
    pub console_size: Option<[u32; 2]>,
}

/// Where an exec stands.
#[derive(Clone, Debug, Default)]
pub struct ExecState {
    /// Somebody has started it.
    pub started: bool,
    /// It runs.
    pub running: bool,
    /// Its code, once it has ended or failed to start.
    pub exit_code: Option<i64>,
    /// On the host.
    pub pid: u32,
}

/// One exec.
#[derive(Debug)]
pub struct Exec {
    /// 64 hex digits.
    pub id: String,
    /// The container.
    pub container: Arc<Container>,
    /// What was asked for.
    pub request: ExecRequest,
    state: watch::Sender<ExecState>,
}

impl Exec {
    /// Where it stands.
    pub fn state(&self) -> ExecState {
        self.state.borrow().clone()
    }

    fn command(&self) -> String {
        self.request.cmd.join(" ")
    }
}

/// All execs of this daemon's life.
#[derive(Clone, Debug, Default)]
pub struct Execs(Arc<Mutex<HashMap<String, Arc<Exec>>>>);

impl Execs {
    /// One by id.
    ///
    /// # Errors
    /// 404 without it.
    pub fn get(&self, id: &str) -> Result<Arc<Exec>> {
        self.lock().get(id).cloned().ok_or_else(|| Error::not_found(format!("No such exec instance: {id}")))
    }

    /// Ids of those that run in a container.
    pub fn running_in(&self, container: &str) -> Vec<String> {
        let all = self.lock();
        let mut ids: Vec<String> = all
            .values()
            .filter(|exec| exec.container.id == container && exec.state().running)
            .map(|exec| exec.id.clone())
            .collect();
        ids.sort();
        ids
    }

    pub(super) fn forget(&self, container: &str) {
        self.lock().retain(|_, exec| exec.container.id != container);
    }

    /// The container's end is the end of all its processes; one whose own end wasn't told got killed.
    pub(super) fn container_ended(&self, container: &str) {
        for exec in self.lock().values().filter(|exec| exec.container.id == container) {
            exec.state.send_if_modified(|state| {
                let running = state.running;
                if running {
                    (state.running, state.exit_code) = (false, state.exit_code.or(Some(137)));
                }
                running
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Exec>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The live streams of an exec.
#[derive(Debug)]
pub struct ExecIo {
    /// Takes input; dropping it is not the end of input, see [`Containers::exec_close_stdin`].
    pub stdin: Option<pipe::Sender>,
    /// Output; its end comes after the exit code is known.
    pub output: mpsc::Receiver<(Output, Bytes)>,
}

impl Containers {
    /// Makes an exec; it runs when started.
    ///
    /// # Errors
    /// 409 when the container doesn't run, 400 without a command or with an unknown user.
    pub async fn exec_create(
        &self,
        container: &Arc<Container>,
        reference: &str,
        request: ExecRequest,
    ) -> Result<Arc<Exec>> {
        if request.cmd.is_empty() {
            return Err(Error::invalid("No exec command specified"));
        }
        self.check_exec(container, reference)?;
        let record = container.record();
        if !request.user.is_empty() {
            self.exec_user(&record, &request.user).await?;
        }
        let exec = Arc::new(Exec {
            id: crate::id::random(),
            container: container.clone(),
            request,
            state: watch::Sender::default(),
        });
        self.execs.lock().insert(exec.id.clone(), exec.clone());
        self.event(container, format!("exec_create: {}", exec.command()), &[("execID", exec.id.clone())]);
        Ok(exec)
    }

    fn check_exec(&self, container: &Container, reference: &str) -> Result<()> {
        match container.state().status {
            Status::Running => Ok(()),
            Status::Paused => Err(Error::conflict(format!(
                "Container {reference} is paused, unpause the container before exec"
            ))),
            Status::Restarting => Err(Error::conflict(format!(
                "Container {} is restarting, wait until the container is running",
                container.id
            ))),
            _ => Err(not_running(container)),
        }
    }

    /// Says that a start is allowed, and that it is this caller's.
    ///
    /// # Errors
    /// 409 for a second start or a container that has ended.
    pub fn exec_claim(&self, exec: &Exec) -> Result<()> {
        self.check_exec(&exec.container, &exec.container.id)?;
        let first = exec.state.send_if_modified(|state| !std::mem::replace(&mut state.started, true));
        if first { Ok(()) } else { Err(Error::conflict(format!("exec command {} has already run", exec.id))) }
    }

    /// Starts a claimed exec. `attached`: its streams are wanted.
    ///
    /// # Errors
    /// The runtime's words, as docker's clients know them; the exit code is set to 126 or 127.
    pub async fn exec_start(&self, exec: &Arc<Exec>, attached: bool) -> Result<ExecIo> {
        let started = self.exec_launch(exec, attached).await;
        if let Err(error) = &started {
            let text = error.full_text();
            let code = if ["executable file not found", "no such file or directory"]
                .iter()
                .any(|part| text.contains(part))
            {
                127
            } else {
                126
            };
            exec.state.send_modify(|state| (state.running, state.exit_code) = (false, Some(code)));
            self.exec_tidy(exec);
        }
        started
    }

    async fn exec_launch(&self, exec: &Arc<Exec>, attached: bool) -> Result<ExecIo> {
        let (record, request) = (exec.container.record(), &exec.request);
        let user_text = if request.user.is_empty() {
            record.config.user.clone().unwrap_or_default()
        } else {
            request.user.clone()
        };
        let user = self.exec_user(&record, &user_text).await?;
        let env = spec::environment(&record, &user, &request.env, request.tty);
        let privileged = request.privileged || record.host_config.privileged == Some(true);
        let cwd = if request.working_dir.is_empty() {
            record.config.working_dir.clone().unwrap_or_default()
        } else {
            request.working_dir.clone()
        };
        let mut process = spec::process(&record, &user, &request.cmd, &cwd, env, request.tty, privileged);
        if let Some([height, width]) =
            request.console_size.filter(|[height, width]| request.tty && *height > 0 && *width > 0)
        {
            process["consoleSize"] = serde_json::json!({ "height": height, "width": width });
        }
        let process =
            serde_json::to_vec(&process).map_err(|source| Error::caused("encode the process", source))?;
        let any = prost_types::Any { type_url: proto::typeurl::PROCESS.to_owned(), value: process };
        let (stdio, stdin, readers) = self
            .exec_fifos(exec, attached)
            .map_err(|source| Error::caused(format!("make the fifos of exec {}", exec.id), source))?;
        let id = record.id.as_str();
        let words = |error: containerd_client::Error| {
            let text = error.message();
            let text = match text.find("OCI runtime exec failed") {
                Some(at) => text[at..].to_owned(),
                None => format!("OCI runtime exec failed: {text}"),
            };
            let text = if text.ends_with(": unknown") { text } else { format!("{text}: unknown") };
            let command = request.cmd.first().map_or("", String::as_str);
            Error::new(crate::runtimes::start_failure(&text, command).1, text)
        };
        // As docker, before the process is there: a short one's end would be told first.
        self.event(
            &exec.container,
            format!("exec_start: {}", exec.command()),
            &[("execID", exec.id.clone())],
        );
        self.client.exec(id, &exec.id, stdio, any).await.map_err(words)?;
        exec.state.send_modify(|state| state.running = true);
        let pid = match self.client.start_task(id, &exec.id).await {
            Ok(pid) => pid,
            Err(error) => {
                // Not started, so there may be nothing to delete.
                let _ = self.client.delete_process(id, &exec.id).await;
                return Err(words(error));
            }
        };
        exec.state.send_modify(|state| state.pid = pid);
        let (sender, output) = mpsc::channel(16);
        let mut state = exec.state.subscribe();
        tokio::spawn(async move {
            let readers: Vec<_> = readers
                .into_iter()
                .map(|(kind, fifo)| tokio::spawn(read_out(fifo, kind, sender.clone(), state.clone())))
                .collect();
            for reader in readers {
                // Its work is done or the runtime goes down.
                let _ = reader.await;
            }
            // The code is final before the stream ends.
            let _ = state.wait_for(|state| !state.running).await;
            drop(sender);
        });
        Ok(ExecIo { stdin, output })
    }

    fn exec_dir_of(&self, exec: &Exec) -> PathBuf {
        self.exec_dir(&exec.container.id).join("exec")
    }

    #[allow(clippy::type_complexity, reason = "three parts that are taken apart at once")]
    fn exec_fifos(
        &self,
        exec: &Exec,
        attached: bool,
    ) -> std::io::Result<(Stdio, Option<pipe::Sender>, Vec<(Output, pipe::Receiver)>)> {
        let dir = self.exec_dir_of(exec);
        std::fs::create_dir_all(&dir)?;
        let path = |name: &str| dir.join(format!("{}-{name}", exec.id));
        let mut stdio = Stdio { terminal: exec.request.tty, ..Stdio::default() };
        let mut stdin = None;
        if exec.request.attach_stdin && attached {
            make_fifo(&path("stdin"))?;
            // For reading too: so that it opens before the shim does.
            stdin = Some(pipe::OpenOptions::new().read_write(true).open_sender(path("stdin"))?);
            stdio.stdin = path("stdin").display().to_string();
        }
        let mut readers = Vec::new();
        let mut output = |kind, name: &str| -> std::io::Result<String> {
            make_fifo(&path(name))?;
            readers.push((kind, open_reader(&path(name))?));
            Ok(path(name).display().to_string())
        };
        stdio.stdout = output(Output::Stdout, "stdout")?;
        if !exec.request.tty {
            stdio.stderr = output(Output::Stderr, "stderr")?;
        }
        Ok((stdio, stdin, readers))
    }

    /// Tells the process that no more input comes.
    pub async fn exec_close_stdin(&self, exec: &Exec) {
        if let Err(error) = self.client.close_stdin(&exec.container.id, &exec.id).await {
            tracing::debug!(exec = exec.id, %error, "its input is closed already");
        }
    }

    /// Sets the size of an exec's terminal.
    ///
    /// # Errors
    /// It has ended.
    pub async fn exec_resize(&self, exec: &Exec, height: u32, width: u32) -> Result<()> {
        if !exec.state().running {
            return Err(Error::system("cannot resize a stopped container: unknown"));
        }
        self.client.resize(&exec.container.id, &exec.id, width, height).await.map_err(Into::into)
    }

    /// An exec's end, told by containerd.
    pub(super) fn exec_ended(&self, container: &str, id: &str, code: i64) {
        let exec = self.execs.lock().get(id).cloned();
        let containers = self.clone();
        let (container, id) = (container.to_owned(), id.to_owned());
        tokio::spawn(async move {
            if let Err(error) = containers.client.delete_process(&container, &id).await {
                tracing::debug!(container, exec = id, %error, "an ended exec is gone already");
            }
        });
        let Some(exec) = exec else { return };
        let first = exec.state.send_if_modified(|state| {
            let first = state.exit_code.is_none();
            if first {
                (state.running, state.exit_code) = (false, Some(code));
            }
            first
        });
        if first {
            self.event(
                &exec.container,
                "exec_die",
                &[("execID", exec.id.clone()), ("exitCode", code.to_string())],
            );
            self.exec_tidy(&exec);
        }
    }

    /// Ends that got lost while containerd was away.
    pub(super) async fn compare_execs(&self) {
        let running: Vec<Arc<Exec>> =
            self.execs.lock().values().filter(|exec| exec.state().running).cloned().collect();
        for exec in running {
            match self.client.task(&exec.container.id, &exec.id).await {
                Ok(process) if process.status == TaskStatus::Stopped as i32 => {
                    self.exec_ended(&exec.container.id, &exec.id, process.exit_status.into())
                }
                Err(error) if error.is_not_found() => self.exec_ended(&exec.container.id, &exec.id, 255),
                _ => {}
            }
        }
    }

    /// Takes the fifos away now, the exec itself later.
    fn exec_tidy(&self, exec: &Arc<Exec>) {
        for name in ["stdin", "stdout", "stderr"] {
            // Those that weren't made aren't there.
            let _ = std::fs::remove_file(self.exec_dir_of(exec).join(format!("{}-{name}", exec.id)));
        }
        let (execs, id) = (self.execs.clone(), exec.id.clone());
        tokio::spawn(async move {
            tokio::time::sleep(KEPT).await;
            execs.lock().remove(&id);
        });
    }
}

async fn read_out(
    mut fifo: pipe::Receiver,
    kind: Output,
    sender: mpsc::Sender<(Output, Bytes)>,
    mut state: watch::Receiver<ExecState>,
) {
    let lingered = async {
        if state.wait_for(|state| !state.running).await.is_ok() {
            tokio::time::sleep(LINGER).await;
        }
    };
    let mut lingered = std::pin::pin!(lingered);
    let mut gone = false;
    loop {
        let mut buffer = BytesMut::with_capacity(32 << 10);
        tokio::select! {
            read = fifo.read_buf(&mut buffer) => match read {
                Ok(0) | Err(_) => break,
                // Who has gone must not stop the process: its output is read on and dropped.
                Ok(_) => gone = gone || sender.send((kind, buffer.freeze())).await.is_err(),
            },
            () = &mut lingered => break,
        }
    }
}
