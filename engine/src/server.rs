//! Sockets, and HTTP on them.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use axum::extract::Request;
use axum::response::Response;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

/// A socket that clients connect to.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket; its file is removed at the end.
    Unix(UnixListener, PathBuf),
    /// A TCP port without TLS.
    Tcp(TcpListener),
}

impl Listener {
    /// Binds an address of `-H`. A stale socket file is replaced, a live one is an error.
    ///
    /// # Errors
    /// The address is bad or in use.
    pub async fn bind(address: &str, group: Option<&str>) -> anyhow::Result<Self> {
        if let Some(path) = unix_path(address) {
            check_free(address)?;
            let listener =
                bind_unix(&path, group).with_context(|| format!("listen on {}", path.display()))?;
            return Ok(Self::Unix(listener, path));
        }
        if let Some(host) = address.strip_prefix("tcp://") {
            tracing::warn!(host, "whoever reaches this port is root on this machine: there is no TLS");
            return Ok(Self::Tcp(
                TcpListener::bind(host).await.with_context(|| format!("listen on {host}"))?,
            ));
        }
        bail!("invalid bind address ({address}): unix://PATH or tcp://HOST:PORT is wanted")
    }

    /// Serves connections for ever.
    pub async fn serve<S>(self, service: S)
    where
        S: tower::Service<Request, Response = Response, Error = std::convert::Infallible, Future: Send>
            + Clone
            + Send
            + 'static,
    {
        loop {
            let accepted = match &self {
                Self::Unix(listener, _) => {
                    listener.accept().await.map(|(stream, _)| serve(stream, service.clone()))
                }
                Self::Tcp(listener) => {
                    listener.accept().await.map(|(stream, _)| serve(stream, service.clone()))
                }
            };
            if let Err(error) = accepted {
                tracing::warn!(%error, "a connection can't be accepted");
                // Out of descriptors: some come free by waiting.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

/// The path of a Unix socket's address.
fn unix_path(address: &str) -> Option<PathBuf> {
    let path = address.strip_prefix("unix://").or(Some(address).filter(|address| address.starts_with('/')))?;
    Some(PathBuf::from(path))
}

/// Refuses an address of `-H` where somebody listens already, or where something lies that is no socket.
///
/// # Errors
/// Says what is there.
pub fn check_free(address: &str) -> anyhow::Result<()> {
    let Some(path) = unix_path(address) else { return Ok(()) };
    let step = || format!("listen on {}", path.display());
    match std::fs::symlink_metadata(&path) {
        Ok(found) if !found.file_type().is_socket() => {
            bail!("{}: a file that is no socket is in the way", step())
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(&path).is_ok() => {
            bail!("{}: another daemon listens there: stop it, or give another --host", step())
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).with_context(step),
        _ => Ok(()),
    }
}

fn bind_unix(path: &Path, group: Option<&str>) -> anyhow::Result<UnixListener> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context("remove a stale socket");
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).context("bind")?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).context("set its mode")?;
    if let Some(name) = group {
        let gid = match name.parse::<u32>() {
            Ok(gid) => gid,
            Err(_) => nix::unistd::Group::from_name(name)
                .context("look up its group")?
                .with_context(|| format!("group {name} not found"))?
                .gid
                .as_raw(),
        };
        std::os::unix::fs::chown(path, None, Some(gid)).context("set its group")?;
    }
    Ok(listener)
}

fn serve<I, S>(stream: I, service: S)
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: tower::Service<Request, Response = Response, Error = std::convert::Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
{
    let service = tower::ServiceExt::<Request>::map_request(
        service,
        |request: hyper::Request<hyper::body::Incoming>| request.map(axum::body::Body::new),
    );
    tokio::spawn(async move {
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).title_case_headers(true);
        let connection =
            http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).with_upgrades();
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection broke");
        }
    });
}
