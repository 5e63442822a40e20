//! Shims as programs: finding the binary, `start` and `delete`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use prost::Message;
use prost_types::Any;
use proto::containerd::task::v3::DeleteResponse;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::bootstrap::Bootstrap;
use super::bundle::Bundle;
use crate::error::{Error, Kind, Result};

/// How long a shim's `start` may take.
const START: Duration = Duration::from_secs(100);
/// How long a shim's `delete` may take.
const DELETE: Duration = Duration::from_secs(5);
/// How long the pipes of a program that ended may stay open.
const DRAIN: Duration = Duration::from_secs(1);
/// Bytes of a shim's output that are read.
const MAX_OUTPUT: u64 = 1 << 20;

/// How shims are started: what they are told of the daemon.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// The daemon's gRPC socket.
    pub address: PathBuf,
    /// The socket that takes shims' events.
    pub ttrpc_address: PathBuf,
    /// The daemon's own binary.
    pub daemon: PathBuf,
    /// Whether shims log in detail.
    pub debug: bool,
}

impl Launcher {
    /// Finds the binary of a runtime: a path as it is, `io.containerd.NAME.VERSION` as
    /// `containerd-shim-NAME-VERSION` in `$PATH` or beside the daemon.
    ///
    /// # Errors
    /// The name is malformed (invalid argument) or no such binary is there (not found).
    pub(super) fn resolve(&self, runtime: &str) -> Result<PathBuf> {
        let missing = |binary: &Path| {
            Error::new(
                Kind::Unknown,
                format!(
                    "runtime {runtime:?} binary not installed {binary:?}: file does not exist: no such file or directory"
                ),
            )
        };
        if runtime.starts_with('/') {
            let path = PathBuf::from(runtime);
            return if path.is_file() { Ok(path) } else { Err(missing(&path)) };
        }
        let parts: Vec<&str> = runtime.split('.').collect();
        if runtime.contains('/') || parts.len() < 2 || parts.iter().any(|part| part.is_empty()) {
            return Err(Error::invalid(format!(
                "invalid runtime name {runtime}, correct runtime name should be either format like `io.containerd.runc.v2` or a full path to the binary"
            )));
        }
        let name = format!("containerd-shim-{}-{}", parts[parts.len() - 2], parts[parts.len() - 1]);
        let search = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&search)
            .chain(self.daemon.parent().map(Path::to_owned))
            .map(|directory| directory.join(&name))
            .find(|path| path.is_absolute() && path.is_file())
            .ok_or_else(|| missing(Path::new(&name)))
    }

    /// Runs `start` of the shim `binary` for a bundle and reads its answer. `options` are the
    /// task's, as the client sent them.
    ///
    /// # Errors
    /// The binary can't be run, takes too long, fails (its output is the text), or answers rubbish.
    pub(super) async fn start(
        &self,
        binary: &Path,
        bundle: &Bundle,
        options: Option<&Any>,
    ) -> Result<Bootstrap> {
        let input = options.map(Message::encode_to_vec).unwrap_or_default();
        let output = self.run(binary, bundle, &[], "start", input, START).await?;
        if !output.success {
            return Err(Error::new(
                Kind::Unknown,
                format!("start failed: {}: {}", output.text(), output.exit),
            ));
        }
        Bootstrap::parse(&output.stdout)
    }

    /// Runs `delete` of the shim `binary`: it kills what runs and says how that ended.
    ///
    /// # Errors
    /// As [`Launcher::start`].
    pub(super) async fn delete(&self, binary: &Path, bundle: &Bundle) -> Result<DeleteResponse> {
        let path = bundle.path().display().to_string();
        let output = self.run(binary, bundle, &["-bundle", &path], "delete", Vec::new(), DELETE).await?;
        if !output.stderr.is_empty() {
            let text = String::from_utf8_lossy(&output.stderr);
            tracing::debug!(
                container = bundle.id,
                namespace = bundle.namespace,
                "the shim's delete said: {}",
                text.trim()
            );
        }
        if !output.success {
            return Err(Error::new(
                Kind::Unknown,
                format!("delete failed: {}: {}", output.text(), output.exit),
            ));
        }
        DeleteResponse::decode(output.stdout.as_slice())
            .map_err(|error| Error::caused("read the answer of the shim's delete", error))
    }

    async fn run(
        &self,
        binary: &Path,
        bundle: &Bundle,
        flags: &[&str],
        action: &str,
        input: Vec<u8>,
        limit: Duration,
    ) -> Result<Output> {
        let step = || format!("run {} {action}", binary.display());
        let mut command = Command::new(binary);
        command
            .args(["-namespace", &bundle.namespace, "-address"])
            .arg(&self.address)
            .arg("-publish-binary")
            .arg(&self.daemon)
            .args(["-id", &bundle.id])
            .args(flags)
            .args(self.debug.then_some("-debug"))
            .arg(action)
            .current_dir(bundle.path())
            .process_group(0)
            .env("GOMAXPROCS", "2")
            .env("MAX_SHIM_VERSION", "2")
            .env("TTRPC_ADDRESS", &self.ttrpc_address)
            .env("GRPC_ADDRESS", &self.address)
            .env("NAMESPACE", &bundle.namespace)
            // systemd's socket is the daemon's, not its shims'.
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| Error::caused(step(), error))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let ended = tokio::sync::Notify::new();
        let talk = async {
            let write = async {
                if let Some(mut stdin) = stdin {
                    // A shim needn't read it.
                    let _ = stdin.write_all(&input).await;
                }
            };
            let wait = async {
                let status = child.wait().await;
                ended.notify_waiters();
                ended.notify_one();
                status
            };
            let read = async { tokio::join!(read_all(stdout), read_all(stderr)) };
            let bounded_read = async {
                // The answer ends with the pipe; a descendant that keeps it open is not waited for.
                let mut read = std::pin::pin!(read);
                tokio::select! {
                    output = &mut read => return Some(output),
                    () = ended.notified() => {}
                }
                tokio::time::timeout(DRAIN, read).await.ok()
            };
            let ((), status, output) = tokio::join!(write, wait, bounded_read);
            (status, output)
        };
        let (status, output) = tokio::time::timeout(limit, talk).await.map_err(|_| {
            Error::new(Kind::DeadlineExceeded, format!("{}: not done within {limit:?}", step()))
        })?;
        let status = status.map_err(|error| Error::caused(step(), error))?;
        let (stdout, stderr) = output.ok_or_else(|| {
            Error::new(Kind::Unknown, format!("{}: it ended, but left its output open", step()))
        })?;
        Ok(Output { success: status.success(), exit: status.to_string(), stdout, stderr })
    }
}

struct Output {
    success: bool,
    exit: String,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Output {
    fn text(&self) -> String {
        let both = [self.stdout.as_slice(), self.stderr.as_slice()].concat();
        String::from_utf8_lossy(&both).trim().to_owned()
    }
}

async fn read_all(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // What was read before an error is the best there is.
        let _ = stream.take(MAX_OUTPUT).read_to_end(&mut bytes).await;
    }
    bytes
}

#[cfg(test)]
#[path = "launch/tests.rs"]
mod tests;
