//! The daemon: parts put together, in the order of start and stop.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use containerd_client::Client;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::api::{Daemon, router};
use crate::config::{Args, Config};
use crate::containers::{Containers, Registry};
use crate::events::Events;
use crate::images::{self, Images, Use};
use crate::networks::{self, Networks, Pool, default_pools};
use crate::server::{self, Listener};
use crate::store::Store;
use crate::volumes::Volumes;

/// How long calls wait for a containerd that is away.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// It can't start.
pub fn run(args: Args) -> anyhow::Result<()> {
    let config = Config::load(args)?;
    let default = if config.debug { "engine=debug,info" } else { "info" };
    let filter = EnvFilter::try_from_env("ENGINE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(serve(config))?;
    // Readers of logs and events may sit in threads; they end with the process.
    runtime.shutdown_background();
    Ok(())
}

async fn serve(config: Config) -> anyhow::Result<()> {
    // Signals first: one that comes while starting must not kill half-way.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    for dir in [&config.data_root, &config.exec_root] {
        make_dir(dir, 0o711)?;
    }
    for dir in ["containers", "volumes"] {
        make_dir(&config.data_root.join(dir), 0o711)?;
    }
    let _locks =
        [lock(&config.data_root, "--data-root").await?, lock(&config.exec_root, "--exec-root").await?];
    for host in &config.hosts {
        // Asked before anything is touched that another daemon may use.
        server::check_free(host)?;
    }
    let pidfile = PidFile::write(config.pidfile.clone())?;
    let daemon = start(config).await?;
    let mut listeners = Vec::new();
    for host in &daemon.config.hosts {
        listeners.push(Listener::bind(host, daemon.config.group.as_deref()).await?);
    }
    let sockets: Vec<PathBuf> = listeners
        .iter()
        .filter_map(|listener| match listener {
            Listener::Unix(_, path) => Some(path.clone()),
            Listener::Tcp(_) => None,
        })
        .collect();
    let service = router::service(&daemon);
    for listener in listeners {
        tokio::spawn(listener.serve(service.clone()));
    }
    // Nobody listening (no systemd) is fine.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!(hosts = ?daemon.config.hosts, "the engine serves");
    daemon.containers.revive();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("the engine stops; containers go on");
    for socket in sockets {
        // Somebody may have replaced it.
        let _ = std::fs::remove_file(socket);
    }
    drop(pidfile);
    Ok(())
}

async fn start(config: Config) -> anyhow::Result<Daemon> {
    let config = Arc::new(config);
    let store = Store::open(&config.data_root.join("engine.redb"))
        .map_err(|error| anyhow::anyhow!(error.full_text()))?;
    let socket = {
        let config = config.clone();
        tokio::task::spawn_blocking(move || crate::containerd::ensure(&config))
            .await
            .context("look for containerd")??
    };
    let containerd = Client::new(&socket, &config.namespace, PATIENCE)?;
    containerd
        .ensure_namespace(&config.namespace, std::collections::BTreeMap::new())
        .await
        .with_context(|| format!("containerd at {}", socket.display()))?;
    let snapshotter = choose_snapshotter(&containerd).await;
    let events = Events::default();
    let plain = |error: crate::error::Error| anyhow::anyhow!(error.full_text());
    let registry = Arc::new(Registry::load(store.clone(), &config.exec_root).map_err(plain)?);
    let networks = Networks::open(network_config(&config)?).await?;
    let volumes = {
        let registry = registry.clone();
        Volumes::open(&config.data_root, Arc::new(move |name| registry.using_volume(name)), events.clone())
            .map_err(plain)?
    };
    let images = {
        let registry = registry.clone();
        let users: images::Users = Arc::new(move |image| {
            let user = |container: Arc<crate::containers::Container>| Use {
                container: container.id.clone(),
                running: container.state().status.has_process(),
            };
            registry.using_image(image).into_iter().map(user).collect()
        });
        Images::new(images::Config {
            client: containerd.clone(),
            events: events.clone(),
            snapshotter: snapshotter.clone(),
            hosts: images::Hosts {
                insecure: config.insecure_registries.clone(),
                mirrors: config.registry_mirrors.clone(),
                dir: config.exec_root.join("registries"),
                certificates: config.registry_certificates.clone(),
            },
            users,
        })
    };
    let containers = Containers::new(
        containerd.clone(),
        config.clone(),
        events.clone(),
        registry,
        networks.clone(),
        volumes.clone(),
        snapshotter,
    );
    // Subscribed before comparing: no end falls between the two.
    let (ready, subscribed) = tokio::sync::oneshot::channel();
    tokio::spawn(containers.clone().monitor(ready));
    subscribed.await.context("subscribe to containerd's events")?;
    containers.reconcile().await.map_err(plain)?;
    let id = daemon_id(&store).map_err(plain)?;
    Ok(Daemon { config, id, containerd, events, containers, images, volumes, networks })
}

fn daemon_id(store: &Store) -> crate::error::Result<String> {
    if let Some(id) = store.get::<String>("daemon", "id")? {
        return Ok(id);
    }
    let id = crate::id::random();
    store.put("daemon", "id", &id)?;
    Ok(id)
}

/// overlayfs where it works, else native.
async fn choose_snapshotter(containerd: &Client) -> String {
    let filter = "type==io.containerd.snapshotter.v1,id==overlayfs".to_owned();
    match containerd.plugins(&[filter]).await {
        Ok(plugins) if plugins.iter().any(|plugin| plugin.init_err.is_some()) => {
            tracing::warn!("the overlayfs snapshotter does not work here: native is used, which copies");
            "native".into()
        }
        _ => "overlayfs".into(),
    }
}

fn network_config(config: &Config) -> anyhow::Result<networks::Config> {
    let mut pools = Vec::new();
    for pool in &config.address_pools {
        let base = pool.base.parse().with_context(|| format!("default address pool {}", pool.base))?;
        pools.push(Pool { base, size: pool.size });
    }
    Ok(networks::Config {
        data_root: config.data_root.clone(),
        exec_root: config.exec_root.clone(),
        pools: if pools.is_empty() { default_pools() } else { pools },
        bip: config.bip.as_ref().map(|bip| bip.parse().with_context(|| format!("bip {bip}"))).transpose()?,
        device: "engine0".into(),
    })
}

fn make_dir(path: &Path, mode: u32) -> anyhow::Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("make {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .with_context(|| format!("set the mode of {}", path.display()))
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
            Err((file, Errno::EWOULDBLOCK)) if Instant::now() < deadline => file,
            Err((_, Errno::EWOULDBLOCK)) => {
                bail!("another daemon uses {}: stop it, or give another {flag}", dir.display())
            }
            Err((_, error)) => return Err(error).with_context(|| format!("lock {}", path.display())),
        };
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The pid file; removed at the end.
struct PidFile(Option<PathBuf>);

impl PidFile {
    fn write(path: Option<PathBuf>) -> anyhow::Result<Self> {
        if let Some(path) = &path {
            if let Ok(text) = std::fs::read_to_string(path)
                && let Ok(pid) = text.trim().parse::<u32>()
                && pid != std::process::id()
                && std::fs::read_link(format!("/proc/{pid}/exe"))
                    .is_ok_and(|exe| exe.file_name().is_some_and(|name| name == "engined"))
            {
                bail!("process with PID {pid} is still running: {}", path.display());
            }
            std::fs::write(path, std::process::id().to_string())
                .with_context(|| format!("write {}", path.display()))?;
        }
        Ok(Self(path))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Gone already is as good.
            let _ = std::fs::remove_file(path);
        }
    }
}
