//! The connection, the headers of each call, and calls repeated over a broken connection.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use proto_services::MAX_MESSAGE_SIZE;
use tokio::net::UnixStream;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::error::{Error, Result, is_transport};

/// How often a call that may be repeated is sent again after the connection broke.
const REPEATS: u32 = 4;

/// A connection to containerd in one namespace.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    namespace: MetadataValue<Ascii>,
    lease: Option<MetadataValue<Ascii>>,
    socket: PathBuf,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("socket", &self.socket)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

macro_rules! service {
    ($(#[$doc:meta])* $name:ident, $client:ty) => {
        $(#[$doc])*
        pub(crate) fn $name(&self) -> $client {
            <$client>::new(self.channel.clone())
                .max_decoding_message_size(MAX_MESSAGE_SIZE)
                .max_encoding_message_size(MAX_MESSAGE_SIZE)
        }
    };
}

use proto_services::containerd::services as grpc;

impl Client {
    /// A client of the daemon at `socket`, in `namespace`. Nothing is sent yet: the first call
    /// connects. While nobody listens, calls wait up to `patience`.
    ///
    /// # Errors
    /// The namespace holds characters that a header can't.
    pub fn new(socket: &Path, namespace: &str, patience: Duration) -> Result<Self> {
        let header = namespace.parse().map_err(|_| {
            Error::new(
                "connect",
                socket.display().to_string(),
                Status::invalid_argument(format!("bad namespace {namespace:?}")),
            )
        })?;
        let path = socket.to_path_buf();
        // The authority must not be the socket's path: h2 refuses it.
        let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(
            tower::service_fn(move |_| {
                let path = path.clone();
                async move { dial(&path, patience).await.map(TokioIo::new) }
            }),
        );
        Ok(Self { channel, namespace: header, lease: None, socket: socket.to_path_buf() })
    }

    /// The same connection; what its calls create belongs to the lease `id`.
    #[must_use]
    pub fn under_lease(&self, id: &str) -> Self {
        Self { lease: id.parse().ok(), ..self.clone() }
    }

    /// The daemon's socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("containerd-namespace", self.namespace.clone());
        if let Some(lease) = &self.lease {
            request.metadata_mut().insert("containerd-lease", lease.clone());
        }
        request
    }

    /// Sends a call that does no harm when sent twice; repeats it when the connection breaks.
    pub(crate) async fn repeat<T, F>(
        &self,
        call: &'static str,
        object: &str,
        mut send: impl FnMut() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut tries = 0;
        loop {
            match send().await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) if is_transport(&status) && tries < REPEATS => {
                    tries += 1;
                    tracing::debug!(call, object, tries, %status, "the connection broke; asking again");
                    tokio::time::sleep(Duration::from_millis(50) * tries).await;
                }
                Err(status) => return Err(Error::new(call, object, status)),
            }
        }
    }

    /// Sends a call once.
    pub(crate) async fn once<T>(
        &self,
        call: &'static str,
        object: &str,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T> {
        answer.await.map(Response::into_inner).map_err(|status| Error::new(call, object, status))
    }

    service!(containers_service, grpc::containers::v1::containers_client::ContainersClient<Channel>);
    service!(content_service, grpc::content::v1::content_client::ContentClient<Channel>);
    service!(diff_service, grpc::diff::v1::diff_client::DiffClient<Channel>);
    service!(events_service, grpc::events::v1::events_client::EventsClient<Channel>);
    service!(images_service, grpc::images::v1::images_client::ImagesClient<Channel>);
    service!(
        introspection_service,
        grpc::introspection::v1::introspection_client::IntrospectionClient<Channel>
    );
    service!(leases_service, grpc::leases::v1::leases_client::LeasesClient<Channel>);
    service!(namespaces_service, grpc::namespaces::v1::namespaces_client::NamespacesClient<Channel>);
    service!(snapshots_service, grpc::snapshots::v1::snapshots_client::SnapshotsClient<Channel>);
    service!(streaming_service, grpc::streaming::v1::streaming_client::StreamingClient<Channel>);
    service!(tasks_service, grpc::tasks::v1::tasks_client::TasksClient<Channel>);
    service!(transfer_service, grpc::transfer::v1::transfer_client::TransferClient<Channel>);
    service!(version_service, grpc::version::v1::version_client::VersionClient<Channel>);
    service!(health_service, proto_services::grpc::health::v1::health_client::HealthClient<Channel>);
}

/// Connects, waiting for a socket that isn't there yet or has nobody behind it.
async fn dial(path: &Path, patience: Duration) -> std::io::Result<UnixStream> {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_millis(5);
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                let may_come = matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound
                        | std::io::ErrorKind::ConnectionRefused
                        | std::io::ErrorKind::WouldBlock
                );
                if !may_come || Instant::now() + pause > deadline {
                    return Err(error);
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}
