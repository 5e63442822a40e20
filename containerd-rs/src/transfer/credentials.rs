//! Credentials asked of the client, on its own stream.

use futures::FutureExt;
use futures::future::BoxFuture;
use proto::containerd::types::transfer::{AuthRequest, AuthResponse, AuthType};
use proto::typeurl;
use registry::{Credential, CredentialSource};
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

    async fn ask(&self, host: &str, challenge: &str) -> Option<Credential> {
        let mut stream = self.stream.lock().await;
        let request = AuthRequest {
            host: host.to_owned(),
            reference: self.reference.clone(),
            wwwauthenticate: vec![challenge.to_owned()],
        };
        stream.send.send(Ok(typeurl::pack(&request))).await.ok()?;
        let answer: AuthResponse = typeurl::unpack(&stream.receive.recv().await?).ok()?;
        match answer.auth_type() {
            AuthType::None => None,
            AuthType::Credentials => {
                Some(Credential::Basic { username: answer.username, password: answer.secret })
            }
            AuthType::Refresh => Some(Credential::Refresh(answer.secret)),
            AuthType::Header => Some(Credential::Header(answer.secret)),
        }
    }
}

impl CredentialSource for AskingClient {
    fn credential<'a>(&'a self, host: &'a str, challenge: &'a str) -> BoxFuture<'a, Option<Credential>> {
        self.ask(host, challenge).boxed()
    }
}
