//! Pulling by the daemon's Transfer service.
//!
//! Daemons without it (containerd 1.6) answer [`Kind::Unimplemented`](crate::Kind::Unimplemented):
//! the caller then fetches the blobs itself and writes them with [`Client::write_blob`].

use std::sync::Arc;

use proto::containerd::services::transfer::v1::{TransferOptions, TransferRequest};
use proto::containerd::types::Platform;
use proto::containerd::types::transfer::{
    AuthRequest, AuthResponse, AuthType, ImageStore, OciRegistry, Progress, RegistryResolver,
    UnpackConfiguration,
};
use proto::typeurl;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::Status;

use crate::connect::Client;
use crate::error::{Error, Result};
use crate::streaming::ByteStream;

/// How long the last reports are waited for when the pull itself has ended.
const LAST_REPORTS: std::time::Duration = std::time::Duration::from_secs(2);

/// A user's secret for a registry.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The user; empty with a refresh token.
    pub username: String,
    /// Password or refresh token.
    pub secret: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What to pull, and where to put it.
#[derive(Clone, Debug, Default)]
pub struct PullRequest {
    /// The full reference, `host/repo:tag` or `host/repo@digest`.
    pub reference: String,
    /// The platform whose layers are fetched and unpacked.
    pub platform: Platform,
    /// The snapshotter to unpack with.
    pub snapshotter: String,
    /// Sent when the registry asks.
    pub credentials: Option<Credentials>,
    /// `http` for a registry without TLS, else empty.
    pub default_scheme: String,
    /// A directory of `hosts.toml` files on the daemon's machine, else empty.
    pub host_dir: String,
}

/// A pull under way.
#[derive(Debug)]
pub struct Pulling {
    progress: mpsc::Receiver<Progress>,
    transfer: JoinHandle<Result<()>>,
    auth: Option<JoinHandle<()>>,
}

impl Pulling {
    /// The next report; none when no more come and [`end`](Self::end) will not wait long.
    pub async fn progress(&mut self) -> Option<Progress> {
        self.progress.recv().await
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// What the daemon says: registry unreachable, manifest unknown, digest wrong, disk full…
    pub async fn end(mut self) -> Result<()> {
        match (&mut self.transfer).await {
            Ok(result) => result,
            Err(_) => Err(Error::new("pull", "", Status::cancelled("the pull was given up"))),
        }
    }
}

impl Drop for Pulling {
    fn drop(&mut self) {
        self.transfer.abort();
        if let Some(auth) = &self.auth {
            auth.abort();
        }
    }
}

impl Client {
    /// Starts a pull. Dropping the answer gives it up.
    ///
    /// # Errors
    /// [`Kind::Unimplemented`](crate::Kind::Unimplemented) on daemons without Streaming; an old
    /// daemon may also say so only at [`Pulling::end`].
    pub async fn pull(&self, request: PullRequest) -> Result<Pulling> {
        let number =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let mut progress = self.open_stream(&format!("progress-{number}")).await?;
        let (auth_stream, auth) = match request.credentials {
            Some(credentials) => {
                let stream = self.open_stream(&format!("creds-{number}")).await?;
                (stream.id().to_owned(), Some(tokio::spawn(answer_auth(stream, Arc::new(credentials)))))
            }
            None => (String::new(), None),
        };
        let source = OciRegistry {
            reference: request.reference.clone(),
            resolver: Some(RegistryResolver {
                auth_stream,
                host_dir: request.host_dir,
                default_scheme: request.default_scheme,
                ..Default::default()
            }),
        };
        let destination = ImageStore {
            name: request.reference.clone(),
            platforms: vec![request.platform.clone()],
            unpacks: vec![UnpackConfiguration {
                platform: Some(request.platform),
                snapshotter: request.snapshotter,
            }],
            ..Default::default()
        };
        let message = TransferRequest {
            source: Some(typeurl::pack(&source)),
            destination: Some(typeurl::pack(&destination)),
            options: Some(TransferOptions { progress_stream: progress.id().to_owned() }),
        };
        let mut service = self.transfer_service();
        let call = self.request(message);
        let reference = request.reference;
        let (sender, receiver) = mpsc::channel(64);
        let transfer = tokio::spawn(async move {
            let reports = async {
                while let Ok(Some(value)) = progress.receive().await {
                    let Ok(report) = typeurl::unpack::<Progress>(&value) else { continue };
                    if sender.send(report).await.is_err() {
                        break;
                    }
                }
            };
            let mut transfer = std::pin::pin!(service.transfer(call));
            let mut reports = std::pin::pin!(reports);
            let answer = tokio::select! {
                answer = &mut transfer => {
                    // The last reports may still be on their way; the daemon ends the stream after them.
                    let _ = tokio::time::timeout(LAST_REPORTS, reports).await;
                    answer
                }
                () = &mut reports => transfer.await,
            };
            answer.map(drop).map_err(|status| Error::new("pull", reference, status))
        });
        Ok(Pulling { progress: receiver, transfer, auth })
    }
}

async fn answer_auth(mut stream: ByteStream, credentials: Arc<Credentials>) {
    while let Ok(Some(question)) = stream.receive().await {
        if !typeurl::is::<AuthRequest>(&question) {
            continue;
        }
        let kind = if credentials.username.is_empty() { AuthType::Refresh } else { AuthType::Credentials };
        let answer = AuthResponse {
            auth_type: kind as i32,
            secret: credentials.secret.clone(),
            username: credentials.username.clone(),
            expire_at: None,
        };
        if stream.send(typeurl::pack(&answer)).await.is_err() {
            break;
        }
    }
}
