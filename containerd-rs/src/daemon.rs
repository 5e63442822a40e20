//! The daemon: its parts wired together, started and stopped in order.

mod guard;
mod log;
mod socket;

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::fcntl::{Flock, FlockArg};
use proto_services::containerd::services as api;
use proto_services::grpc::health::v1::health_server::HealthServer;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::Routes;

use crate::config::Config;
use crate::content::{Sharing, Store};
use crate::events::Exchange;
use crate::gc::{self, Collector};
use crate::metadata::Db;
use crate::runtime::{Exits, Launcher, Layout, Manager};
use crate::services::introspection::Part;
use crate::services::{
    containers, content, diff, events, events_ttrpc, health, images, introspection, leases, namespaces,
    snapshots, streaming, tasks, transfer, version,
};
use crate::snapshots::{Native, Overlayfs, Snapshots, Snapshotter};
use crate::transfer::{Copier, Streams, end_cut_off};

const CONTENT: &str = "io.containerd.content.v1.content";
const METADATA: &str = "io.containerd.metadata.v1.redb";
/// Windows of one stream and of a connection, in bytes: blobs are written in chunks of 1 to 8 MiB.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// How long requests may take to end when the daemon stops.
const GRACE: Duration = Duration::from_millis(500);

/// Runs the daemon until it is told to stop. Shims and their containers live on.
///
/// # Errors
/// A directory, the database or a socket can't be used, or another daemon has the root.
pub fn main(config: Config) -> anyhow::Result<()> {
    log::init(&config.debug)?;
    for key in &config.unknown {
        tracing::warn!(key, "a key of the configuration means nothing here");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(run(config));
    // A thread that blocks on a file doesn't hold up the end.
    runtime.shutdown_timeout(GRACE);
    ended
}

/// The path of this program, where a new build may have taken its place.
fn own_binary() -> std::io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let text = path.to_string_lossy();
    Ok(text.strip_suffix(" (deleted)").map_or_else(|| path.clone(), PathBuf::from))
}

fn directory(path: &Path, mode: u32) -> anyhow::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)))
        .with_context(|| format!("make the directory {}", path.display()))
}

/// How long a daemon that was killed may take to let go: the kernel closes its sockets before its locks.
const LETTING_GO: Duration = Duration::from_secs(2);

/// Keeps a second daemon off a directory.
async fn lock(dir: &Path, flag: &str) -> anyhow::Result<Flock<File>> {
    let path = dir.join("lock");
    let mut file = File::create(&path).with_context(|| format!("open {}", path.display()))?;
    let deadline = Instant::now() + LETTING_GO;
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((file, nix::errno::Errno::EWOULDBLOCK)) if Instant::now() < deadline => file,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                bail!("another daemon uses {}: stop it, or give another {flag}", dir.display())
            }
            Err((_, error)) => return Err(error).with_context(|| format!("lock {}", path.display())),
        };
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Everything that lasts longer than a request.
struct Parts {
    exchange: Exchange,
    db: Db,
    store: Store,
    snapshots: Snapshots,
    collector: Collector,
    manager: Manager,
    exits: Arc<Exits>,
}

fn open(config: &Config) -> anyhow::Result<(Parts, Vec<Part>)> {
    let root = &config.root;
    let exchange = Exchange::default();
    directory(&root.join(METADATA), 0o700)?;
    let db = Db::open(&root.join(METADATA).join("meta.db"), exchange.clone())?;
    let store = Store::open(&root.join(CONTENT), db.clone(), Sharing::Shared)?;
    let mut parts = vec![
        Part::new("io.containerd.content.v1", "content", Some(root.join(CONTENT))),
        Part::new("io.containerd.metadata.v1", "redb", Some(root.join(METADATA))),
        Part::new("io.containerd.runtime.v2", "task", None),
        Part::new("io.containerd.gc.v1", "scheduler", None),
    ];
    let mut snapshotters: Vec<Arc<dyn Snapshotter>> = Vec::new();
    let overlay = root.join("io.containerd.snapshotter.v1.overlayfs");
    let mut part = Part::new("io.containerd.snapshotter.v1", "overlayfs", Some(overlay.clone()));
    match Overlayfs::open(&overlay) {
        Ok(overlayfs) => snapshotters.push(Arc::new(overlayfs)),
        Err(error) => {
            tracing::warn!(%error, "overlayfs can't be used here");
            part.failure = Some(error.to_string());
        }
    }
    parts.push(part);
    let native = root.join("io.containerd.snapshotter.v1.native");
    snapshotters.push(Arc::new(Native::open(&native)?));
    parts.push(Part::new("io.containerd.snapshotter.v1", "native", Some(native)));
    let snapshots = Snapshots::open(db.clone(), snapshotters)?;
    end_cut_off(&db)?;
    let collector = Collector::new(db.clone(), store.clone(), snapshots.clone());
    let layout = Layout::new(root, &config.state);
    let exits = Arc::new(Exits::new(exchange.clone(), layout.clone()));
    let debug = matches!(config.debug.level.as_str(), "debug" | "trace");
    let launcher = Launcher {
        address: config.grpc.address.clone(),
        ttrpc_address: config.ttrpc.address.clone(),
        daemon: own_binary().context("find the daemon's own binary")?,
        debug,
    };
    let manager = Manager::new(layout, launcher, exits.clone());
    for service in [
        "containers",
        "content",
        "diff",
        "events",
        "healthcheck",
        "images",
        "introspection",
        "leases",
        "namespaces",
        "snapshots",
        "streaming",
        "tasks",
        "transfer",
        "version",
    ] {
        parts.push(Part::new("io.containerd.grpc.v1", service, None));
    }
    Ok((Parts { exchange, db, store, snapshots, collector, manager, exits }, parts))
}

fn routes(config: &Config, parts: &Parts, shown: Vec<Part>) -> anyhow::Result<Routes> {
    let (receive, send) = (config.grpc.max_recv_message_size, config.grpc.max_send_message_size);
    let mut routes = Routes::default();
    macro_rules! serve {
        ($($server:path = $service:expr;)+) => {
            $(routes = routes.add_service(
                <$server>::new($service).max_decoding_message_size(receive).max_encoding_message_size(send),
            );)+
        };
    }
    let streams = Streams::default();
    let copier = Copier::new(parts.db.clone(), parts.store.clone(), parts.snapshots.clone());
    let introspection = introspection::IntrospectionService::open(&config.root, shown)?;
    serve! {
        HealthServer<_> = health::HealthService;
        api::version::v1::version_server::VersionServer<_> = version::VersionService;
        api::introspection::v1::introspection_server::IntrospectionServer<_> = introspection;
        api::namespaces::v1::namespaces_server::NamespacesServer<_> =
            namespaces::NamespacesService::new(parts.db.clone());
        api::containers::v1::containers_server::ContainersServer<_> =
            containers::ContainersService::new(parts.db.clone());
        api::content::v1::content_server::ContentServer<_> = content::ContentService::new(parts.store.clone());
        api::diff::v1::diff_server::DiffServer<_> = diff::DiffService::new(parts.store.clone());
        api::images::v1::images_server::ImagesServer<_> =
            images::ImagesService::new(parts.db.clone(), parts.collector.clone());
        api::leases::v1::leases_server::LeasesServer<_> =
            leases::LeasesService::new(parts.db.clone(), parts.collector.clone());
        api::snapshots::v1::snapshots_server::SnapshotsServer<_> =
            snapshots::SnapshotsService::new(parts.snapshots.clone());
        api::streaming::v1::streaming_server::StreamingServer<_> =
            streaming::StreamingService::new(streams.clone());
        api::transfer::v1::transfer_server::TransferServer<_> =
            transfer::TransferService::new(parts.db.clone(), copier, streams);
        api::tasks::v1::tasks_server::TasksServer<_> =
            tasks::TasksService::new(parts.db.clone(), parts.manager.clone());
        api::events::v1::events_server::EventsServer<_> =
            events::EventsService::new(parts.exchange.clone(), parts.exits.clone());
    }
    let router = routes.into_axum_router().fallback_service(tower::service_fn(guard::unknown_service));
    Ok(Routes::from(router))
}

async fn run(config: Config) -> anyhow::Result<()> {
    directory(&config.root, 0o700)?;
    directory(&config.state, 0o711)?;
    let _locks = [lock(&config.root, "--root").await?, lock(&config.state, "--state").await?];
    if config.oom_score != 0 {
        std::fs::write("/proc/self/oom_score_adj", config.oom_score.to_string())
            .with_context(|| format!("set oom_score_adj to {}", config.oom_score))?;
    }
    let (parts, shown) = open(&config)?;
    let routes = routes(&config, &parts, shown)?;
    for address in [&config.grpc.address, &config.ttrpc.address] {
        if let Some(folder) = address.parent().filter(|folder| !folder.exists()) {
            directory(folder, 0o711)?;
        }
    }
    let (uid, gid) = (config.grpc.uid, config.grpc.gid);
    let (_ttrpc_socket, ttrpc) = socket::Socket::bind(&config.ttrpc.address, uid, gid)?;
    let (_grpc_socket, grpc) = socket::Socket::bind(&config.grpc.address, uid, gid)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Entered before anybody can ask; reached while the sockets are served already.
    let found = parts.manager.find().context("look for tasks")?;
    let db = parts.db.clone();
    if db.is_fresh() {
        found.record(&db, &parts.snapshots)?;
        db.settle()?;
    }
    tracing::info!(tasks = found.count(), "tasks of an earlier daemon");
    tokio::spawn(found.recover(move |namespace, id| {
        let container = db.containers().get(namespace, id).ok()?;
        container.runtime.map(|runtime| runtime.name)
    }));
    tokio::spawn(events_ttrpc::serve(ttrpc, parts.exits.clone()));
    tokio::spawn(gc::schedule(parts.db.clone(), parts.collector.clone()));
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!(address = %config.grpc.address.display(), "containerd-rs serves");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tonic::transport::Server::builder()
        .layer(guard::PanicGuard)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .add_routes(routes)
        .serve_with_incoming_shutdown(UnixListenerStream::new(grpc), async {
            let _ = stopped.await;
        });
    let mut server = std::pin::pin!(server);
    tokio::select! {
        ended = &mut server => ended.context("serve gRPC")?,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    tracing::info!("stopping; the shims and their containers live on");
    let _ = stop.send(());
    // Streams of events and those who wait for a process never end by themselves.
    let _ = tokio::time::timeout(GRACE, server).await;
    Ok(())
}
