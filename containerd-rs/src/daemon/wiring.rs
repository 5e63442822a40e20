//! Which part is made from which, and which service speaks for it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use proto_services::containerd::services::events::v1::events_server::EventsServer;
use proto_services::containerd::services::introspection::v1::introspection_server::IntrospectionServer;
use proto_services::containerd::services::tasks::v1::tasks_server::TasksServer;
use proto_services::containerd::services::version::v1::version_server::VersionServer;
use proto_services::grpc::health::v1::health_server::HealthServer;
use tonic::service::Routes;

use super::guard::unknown_service;
use crate::blocking::blocking;
use crate::config::Config;
use crate::events::Exchange;
use crate::metadata::Db;
use crate::runtime::{Exits, Launcher, Layout, Manager};
use crate::services::events::EventsService;
use crate::services::health::HealthService;
use crate::services::introspection::{IntrospectionService, Part};
use crate::services::tasks::TasksService;
use crate::services::version::VersionService;

/// What the daemon holds open.
pub(super) struct Parts {
    pub(super) exchange: Exchange,
    pub(super) exits: Arc<Exits>,
    pub(super) manager: Manager,
    pub(super) db: Arc<Db>,
}

/// Opens everything under the daemon's directories.
pub(super) async fn open(config: &Config) -> anyhow::Result<Parts> {
    let exchange = Exchange::default();
    let (path, events) = (config.root.join("io.containerd.metadata.v1.redb/meta.db"), exchange.clone());
    let db = blocking(move || Db::open(&path, events)).await.context("open the metadata")?;
    let layout = Layout::new(&config.root, &config.state);
    let exits = Arc::new(Exits::new(exchange.clone(), layout.clone()));
    let launcher = Launcher {
        address: config.grpc.address.clone(),
        ttrpc_address: config.ttrpc.address.clone(),
        daemon: own_binary().context("find the daemon's own binary")?,
        debug: matches!(config.debug.level.as_str(), "debug" | "trace"),
    };
    let manager = Manager::new(layout, launcher, exits.clone());
    Ok(Parts { exchange, exits, manager, db: Arc::new(db) })
}

/// The path of this program, where a new build may have taken its place.
fn own_binary() -> std::io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let text = path.to_string_lossy();
    Ok(text.strip_suffix(" (deleted)").map_or_else(|| path.clone(), PathBuf::from))
}

/// The services, with the sizes of messages that the configuration allows.
pub(super) fn routes(config: &Config, parts: &Parts) -> anyhow::Result<Routes> {
    macro_rules! sized {
        ($server:ident, $service:expr) => {
            $server::new($service)
                .max_decoding_message_size(config.grpc.max_recv_message_size)
                .max_encoding_message_size(config.grpc.max_send_message_size)
        };
    }
    let introspection = IntrospectionService::open(&config.root, shown(config))
        .context("open the daemon's identity")?;
    let routes = Routes::default()
        .add_service(sized!(HealthServer, HealthService))
        .add_service(sized!(VersionServer, VersionService))
        .add_service(sized!(IntrospectionServer, introspection))
        .add_service(sized!(EventsServer, EventsService::new(parts.exchange.clone(), parts.exits.clone())))
        .add_service(sized!(TasksServer, TasksService::new(parts.db.clone(), parts.manager.clone())));
    let router = routes.into_axum_router().fallback(unknown_service);
    Ok(Routes::from(router))
}

/// The parts that clients are shown as plugins.
fn shown(config: &Config) -> Vec<Part> {
    let root = |name: &str| Some(config.root.join(name));
    vec![
        Part::new("io.containerd.content.v1", "content", root("io.containerd.content.v1.content")),
        Part::new("io.containerd.snapshotter.v1", "native", root("io.containerd.snapshotter.v1.native")),
        Part::new("io.containerd.snapshotter.v1", "overlayfs", root("io.containerd.snapshotter.v1.overlayfs")),
        Part::new("io.containerd.metadata.v1", "redb", root("io.containerd.metadata.v1.redb")),
        Part::new("io.containerd.differ.v1", "walking", None),
        Part::new("io.containerd.event.v1", "exchange", None),
        Part::new("io.containerd.gc.v1", "scheduler", None),
        Part::new("io.containerd.runtime.v2", "task", root("io.containerd.runtime.v2.task")),
        Part::new("io.containerd.runtime.v2", "shim", None),
        Part::new("io.containerd.lease.v1", "manager", None),
        Part::new("io.containerd.streaming.v1", "manager", None),
        Part::new("io.containerd.transfer.v1", "local", None),
    ]
}
