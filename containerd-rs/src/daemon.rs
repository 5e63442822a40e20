//! The daemon: what is opened, wired and served, in which order, and how it stops.
//!
//! ```text
//! ROOT   0700  daemon.lock  io.containerd.*      what lasts
//! STATE  0711  io.containerd.runtime.v2.task/    bundles
//! ADDRESS 0660, ADDRESS.ttrpc 0660               the sockets
//! ```

mod guard;
mod log;
mod socket;
mod wiring;

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::fcntl::{Flock, FlockArg};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

use self::socket::Socket;
use crate::config::Config;
use crate::services::events_ttrpc;

/// Window of one stream and of a connection, in bytes: blobs are written in chunks of 1 to 8 MiB.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// How long requests may take to end when the daemon stops.
const GRACE: Duration = Duration::from_millis(500);

/// Runs the daemon until a signal stops it. Shims and their containers live on.
///
/// # Errors
/// It can't start: another runs on the same root or address, or a part can't be opened.
pub fn main(config: Config) -> anyhow::Result<()> {
    log::init(&config.debug)?;
    for key in &config.unknown {
        tracing::warn!(key, "the configuration has a key that means nothing here");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(&config));
    // A thread that blocks on a file doesn't hold up the end.
    runtime.shutdown_timeout(GRACE);
    served
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    make_directory(&config.root, 0o700)?;
    make_directory(&config.state, 0o711)?;
    for address in [&config.grpc.address, &config.ttrpc.address] {
        if let Some(parent) = address.parent() {
            make_parent(parent)?;
        }
    }
    let _lock = lock(&config.root)?;
    if config.oom_score != 0 {
        std::fs::write("/proc/self/oom_score_adj", config.oom_score.to_string())
            .context("set the daemon's oom_score_adj")?;
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // A client that goes away is no reason to die.
    let _pipe = signal(SignalKind::pipe())?;

    let parts = wiring::open(config).await?;
    let (uid, gid) = (config.grpc.uid, config.grpc.gid);
    let (_ttrpc_socket, ttrpc) = Socket::bind(&config.ttrpc.address, uid, gid)?;
    let (_grpc_socket, grpc) = Socket::bind(&config.grpc.address, uid, gid)?;
    let found = parts.manager.find().context("look for tasks")?;
    tracing::info!(address = %config.grpc.address.display(), tasks = found.count(), "serving");
    let db = parts.db.clone();
    let recovery = tokio::spawn(found.recover(move |namespace, id| {
        db.containers().get(namespace, id).ok().and_then(|container| container.runtime).map(|r| r.name)
    }));
    let events = tokio::spawn(events_ttrpc::serve(ttrpc, parts.exits.clone()));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = Server::builder()
        .layer(guard::PanicGuard)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .add_routes(wiring::routes(config, &parts)?)
        .serve_with_incoming_shutdown(UnixListenerStream::new(grpc), async {
            let _ = stopped.await;
        });
    let mut server = std::pin::pin!(server);
    let _ = sd_notify::notify(&[NotifyState::Ready]);

    let served = tokio::select! {
        served = &mut server => served.context("serve the gRPC socket"),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    tracing::info!("stopping; running containers live on");
    let _ = stop.send(());
    // Streams of events and those who wait for a process never end by themselves.
    let _ = tokio::time::timeout(GRACE, server).await;
    events.abort();
    recovery.abort();
    served
}

fn make_directory(path: &Path, mode: u32) -> anyhow::Result<()> {
    let step = || format!("make the directory {}", path.display());
    DirBuilder::new().mode(mode).recursive(true).create(path).with_context(step)?;
    std::fs::set_permissions(path, Permissions::from_mode(mode)).with_context(step)
}

/// A socket's directory needn't be ours: only what is missing is made.
fn make_parent(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .mode(0o711)
        .recursive(true)
        .create(path)
        .with_context(|| format!("make the directory {}", path.display()))
}

fn lock(root: &Path) -> anyhow::Result<Flock<File>> {
    let path = root.join("daemon.lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("open {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
            bail!("another daemon runs on {}", root.display())
        }
        Err((_, error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}
