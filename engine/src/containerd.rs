//! The containerd below: the one asked for, the one that listens, or one of our own, started.

use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::config::Config;
use crate::runtimes::find_binary;

/// Where containerd-rs listens by default.
const DEFAULT_SOCKET: &str = "/run/containerd-rs/containerd.sock";
const PATIENCE: Duration = Duration::from_secs(20);

/// The socket of the containerd to use; started if need be. It outlives this daemon.
///
/// # Errors
/// None can be started.
pub fn ensure(config: &Config) -> anyhow::Result<PathBuf> {
    if let Some(socket) = &config.containerd {
        return Ok(socket.clone());
    }
    let socket = PathBuf::from(DEFAULT_SOCKET);
    if UnixStream::connect(&socket).is_ok() {
        return Ok(socket);
    }
    let binary = find_binary("containerd-rs").context(
        "containerd-rs is neither beside the engine nor in $PATH; name another one's socket by --containerd",
    )?;
    let log_path = Path::new("/var/log").join("containerd-rs.log");
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_path)
        .with_context(|| format!("open {}", log_path.display()))?;
    let mut command = Command::new(&binary);
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("share the log")?)
        .stderr(log)
        .current_dir("/");
    // A group of its own: signals for this daemon don't reach it, and it outlives it.
    command.process_group(0);
    let mut child = command.spawn().with_context(|| format!("start {}", binary.display()))?;
    tracing::info!(binary = %binary.display(), pid = child.id(), log = %log_path.display(), "containerd-rs started");
    let deadline = Instant::now() + PATIENCE;
    while UnixStream::connect(&socket).is_err() {
        if let Some(status) = child.try_wait().context("look after containerd-rs")? {
            bail!("containerd-rs ended with {status}; see {}", log_path.display());
        }
        if Instant::now() > deadline {
            bail!(
                "containerd-rs does not listen on {} after {} s; see {}",
                socket.display(),
                PATIENCE.as_secs(),
                log_path.display()
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // Reaped by a thread, so that its end leaves no zombie while we live.
    std::thread::spawn(move || child.wait());
    Ok(socket)
}
