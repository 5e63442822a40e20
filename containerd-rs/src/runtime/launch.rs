//! Starting and cleaning up shims: the binary behind a runtime's name, its command line, its answer.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use prost::Message;
use prost_types::Any;
use proto::containerd::runtime::bootstrap::v1::BootstrapResult;
use proto::containerd::task::v2::DeleteResponse;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::error::{Error, Kind, Result};

/// Time a shim's `start` may take.
const START_LIMIT: Duration = Duration::from_secs(100);
/// Time a shim's `delete` may take.
const DELETE_LIMIT: Duration = Duration::from_secs(10);
/// Longest answer of a shim that is read as an error's text, in bytes.
const MAX_TEXT: usize = 16 << 10;

/// How to reach a shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bootstrap {
    /// Version of the task service it speaks: 2 or 3.
    pub(super) version: i32,
    /// `unix://` and a path.
    pub(super) address: String,
    /// `ttrpc`.
    pub(super) protocol: String,
}

impl Bootstrap {
    /// Reads a shim's answer: protobuf (2.3's shims), JSON (2.0's), or a bare address (all before).
    ///
    /// # Errors
    /// It is none of these.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        if let Ok(result) = BootstrapResult::decode(bytes)
            && result.version > 0
            && !result.address.is_empty()
            && !result.protocol.is_empty()
        {
            return Ok(Self { version: result.version, address: result.address, protocol: result.protocol });
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Error::caused("read the shim's answer to start", error))?
            .trim();
        if text.starts_with('{') {
            return serde_json::from_str(text)
                .map_err(|error| Error::caused(format!("read the shim's answer {text:?}"), error));
        }
        if text.is_empty() {
            return Err(Error::new(Kind::Unknown, "the shim's start printed no address"));
        }
        Ok(Self { version: 2, address: text.to_owned(), protocol: "ttrpc".to_owned() })
    }
}

/// Runs shim binaries.
#[derive(Clone, Debug)]
pub struct Launcher {
    grpc: PathBuf,
    ttrpc: PathBuf,
    debug: bool,
}

impl Launcher {
    /// A launcher for the daemon that listens on these sockets.
    pub fn new(grpc: &Path, ttrpc: &Path, debug: bool) -> Self {
        Self { grpc: grpc.to_owned(), ttrpc: ttrpc.to_owned(), debug }
    }

    /// The shim binary behind a runtime's name (`io.containerd.runc.v2` → `containerd-shim-runc-v2`):
    /// an absolute path as it is, else looked for on PATH and beside the daemon.
    ///
    /// # Errors
    /// The name is none, or its binary isn't installed.
    pub(super) fn resolve(&self, runtime: &str) -> Result<PathBuf> {
        if runtime.starts_with('/') {
            let path = PathBuf::from(runtime);
            return if path.is_file() { Ok(path) } else { Err(not_installed(runtime, runtime)) };
        }
        let parts: Vec<&str> = runtime.split('.').collect();
        let [.., name, version] = parts.as_slice() else {
            return Err(Error::invalid(format!(
                "invalid runtime name {runtime}, correct runtime name should be either format like `io.containerd.runc.v2` or a full path to the binary"
            )));
        };
        if runtime.contains('/') || parts.iter().any(|part| part.is_empty()) {
            return Err(Error::invalid(format!("invalid runtime name {runtime}")));
        }
        let binary = format!("containerd-shim-{name}-{version}");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
        std::env::split_paths(&path)
            .chain(beside)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(&binary))
            .find(|candidate| candidate.is_file())
            .ok_or_else(|| not_installed(runtime, &binary))
    }

    fn command(&self, binary: &Path, namespace: &str, id: &str, bundle: &Path) -> Command {
        let itself = std::env::current_exe().unwrap_or_else(|_| "containerd-rs".into());
        let mut command = Command::new(binary);
        command.arg("-namespace").arg(namespace).arg("-address").arg(&self.grpc);
        command.arg("-publish-binary").arg(itself).arg("-id").arg(id);
        if self.debug {
            command.arg("-debug");
        }
        command
            .current_dir(bundle)
            .env("GOMAXPROCS", "2")
            .env("MAX_SHIM_VERSION", "2")
            .env("TTRPC_ADDRESS", &self.ttrpc)
            .env("GRPC_ADDRESS", &self.grpc)
            .env("NAMESPACE", namespace)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs a shim's `start`; its socket listens when this returns.
    ///
    /// # Errors
    /// The binary can't be run, fails, takes too long, or answers rubbish.
    pub(super) async fn start(
        &self,
        binary: &Path,
        namespace: &str,
        id: &str,
        bundle: &Path,
        options: Option<&Any>,
    ) -> Result<Bootstrap> {
        let mut command = self.command(binary, namespace, id, bundle);
        command.arg("start");
        let input = options.map(Message::encode_to_vec).unwrap_or_default();
        let output = run(command, input, START_LIMIT).await.map_err(|error| {
            Error::caused(format!("failed to start shim: run {} start", binary.display()), error)
        })?;
        let mut said = output.stdout;
        if !output.status.success() {
            said.extend(output.stderr);
            said.truncate(MAX_TEXT);
            let text = String::from_utf8_lossy(&said).trim().to_owned();
            return Err(Error::new(
                Kind::Unknown,
                format!("failed to start shim: start failed: {text}: {}", output.status),
            ));
        }
        if !output.stderr.is_empty() {
            tracing::warn!(id, said = %String::from_utf8_lossy(&output.stderr), "the shim's start said");
        }
        Bootstrap::parse(&said)
    }

    /// Runs a shim's `delete`, which removes what is left of the container. Its answer is when and
    /// how the container ended.
    ///
    /// # Errors
    /// The binary can't be run, fails, takes too long, or answers rubbish.
    pub(super) async fn delete(
        &self,
        binary: &Path,
        namespace: &str,
        id: &str,
        bundle: &Path,
    ) -> Result<DeleteResponse> {
        let mut command = self.command(binary, namespace, id, bundle);
        command.arg("-bundle").arg(bundle).arg("delete");
        let step = || format!("clean up after the shim of {id}");
        let output = run(command, Vec::new(), DELETE_LIMIT).await.map_err(|e| Error::caused(step(), e))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(Error::new(Kind::Unknown, format!("{}: {}: {}", step(), said.trim(), output.status)));
        }
        if !said.trim().is_empty() {
            tracing::warn!(id, %said, "the shim's delete said");
        }
        DeleteResponse::decode(output.stdout.as_slice()).map_err(|error| Error::caused(step(), error))
    }
}

fn not_installed(runtime: &str, binary: &str) -> Error {
    Error::new(
        Kind::Unknown,
        format!(
            "failed to resolve runtime path: runtime {runtime:?} binary not installed {binary:?}: file does not exist: no such file or directory"
        ),
    )
}

async fn run(mut command: Command, input: Vec<u8>, limit: Duration) -> std::io::Result<std::process::Output> {
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A shim that doesn't read its options closes the pipe: no failure.
        let _ = stdin.write_all(&input).await;
    }
    tokio::time::timeout(limit, child.wait_with_output())
        .await
        .unwrap_or_else(|_| Err(std::io::Error::other(format!("no answer within {limit:?}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_answers_of_shims_are_understood() {
        let bare = Bootstrap::parse(b"unix:///run/containerd/s/ab").expect("bare");
        assert_eq!((bare.version, bare.protocol.as_str()), (2, "ttrpc"));
        let json = br#"{"version":3,"address":"unix:///run/s","protocol":"ttrpc"}"#;
        assert_eq!(Bootstrap::parse(json).expect("JSON").version, 3);
        let result = BootstrapResult {
            version: 3,
            address: "unix:///run/s".into(),
            protocol: "ttrpc".into(),
            ..Default::default()
        };
        assert_eq!(Bootstrap::parse(&result.encode_to_vec()).expect("protobuf").address, "unix:///run/s");
        for rubbish in [b"".as_slice(), b"{", b"\xff\xfe"] {
            Bootstrap::parse(rubbish).expect_err("rubbish");
        }
    }

    #[test]
    fn runtime_names_become_binaries_or_clear_errors() {
        let launcher = Launcher::new(Path::new("/g"), Path::new("/t"), false);
        let error = launcher.resolve("io.containerd.nosuch.v9").expect_err("not installed");
        assert!(error.to_string().contains("\"containerd-shim-nosuch-v9\""), "{error}");
        assert_eq!(launcher.resolve("nosuch").expect_err("no name").kind(), Kind::InvalidArgument);
        launcher.resolve("/no/such/shim").expect_err("no such file");
        assert_eq!(launcher.resolve("/bin/sh").expect("a file"), Path::new("/bin/sh"));
    }
}
