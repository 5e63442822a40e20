//! Credentials asked of the client, on its own stream.

use futures::FutureExt;
use futures::future::BoxFuture;
use proto::containerd::types::transfer::{AuthRequest, AuthResponse, AuthType};
use proto::typeurl;
use registry::{CredentialSource, Credentials};
use tokio::sync::Mutex;

use super::streams::Open;

/// A client that is asked for credentials, one question at a time.
#[derive(Debug)]
pub(super) struct AskingClient {
    stream: Mutex<Open>,
    reference: String,
}

impl AskingClient {
    pub(super) fn new(stream: Open, reference: &str) -> Self {
        Self { stream: Mutex::new(stream), reference: reference.to_owned() }
    }

    async fn ask(&self, host: &str, challenges: &[String]) -> Option<Credentials> {
        let mut stream = self.stream.lock().await;
        let request = AuthRequest {
            host: host.to_owned(),
            reference: self.reference.clone(),
            wwwauthenticate: challenges.to_vec(),
        };
        stream.send.send(Ok(typeurl::pack(&request))).await.ok()?;
        let answer: AuthResponse = typeurl::unpack(&stream.receive.recv().await?).ok()?;
        match answer.auth_type() {
            AuthType::None => None,
            AuthType::Credentials => {
                Some(Credentials::Basic { username: answer.username, secret: answer.secret })
            }
            AuthType::Refresh => Some(Credentials::Refresh(answer.secret)),
            AuthType::Header => Some(Credentials::Header(answer.secret)),
        }
    }
}

impl CredentialSource for AskingClient {
    fn credentials<'a>(
        &'a self,
        host: &'a str,
        challenges: &'a [String],
    ) -> BoxFuture<'a, Option<Credentials>> {
        self.ask(host, challenges).boxed()
    }
}
