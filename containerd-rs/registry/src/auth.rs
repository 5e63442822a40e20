//! Proving who asks: challenges, basic credentials, bearer tokens by scope.
//!
//! Tokens are kept per host and scope. Credentials go to the host itself or to the token server that
//! it names, and to nobody else.

mod challenge;

use std::collections::HashMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use http::HeaderValue;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use crate::error::{self, RegistryError, Result, shown};
use challenge::{Challenge, Scheme};

/// Largest answer of a token server, in bytes.
const MAX_TOKEN: usize = 1 << 20;

/// What proves who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user and a password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        secret: String,
    },
    /// A refresh token (Docker's identity token).
    Refresh(String),
    /// The value of an Authorization header.
    Header(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// Where credentials come from.
pub trait CredentialSource: Send + Sync + fmt::Debug {
    /// The credentials for `host` (host and port), which answered with these `challenges`; none to
    /// ask anonymously.
    fn credentials<'a>(
        &'a self,
        host: &'a str,
        challenges: &'a [String],
    ) -> BoxFuture<'a, Option<Credentials>>;
}

/// Asks anonymously.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCredentials;

impl CredentialSource for NoCredentials {
    fn credentials<'a>(&'a self, _: &'a str, _: &'a [String]) -> BoxFuture<'a, Option<Credentials>> {
        Box::pin(std::future::ready(None))
    }
}

/// The same credentials whenever a host asks for some.
#[derive(Clone, Debug)]
pub struct StaticCredentials(pub Credentials);

impl CredentialSource for StaticCredentials {
    fn credentials<'a>(&'a self, _: &'a str, _: &'a [String]) -> BoxFuture<'a, Option<Credentials>> {
        Box::pin(std::future::ready(Some(self.0.clone())))
    }
}

/// What one host was shown already.
#[derive(Debug, Default)]
pub(crate) struct Authorizer {
    headers: Mutex<HashMap<String, HeaderValue>>,
}

impl Authorizer {
    /// The header for a request of this scope, if the host is known to want one.
    pub(crate) async fn header(&self, scope: &str) -> Option<HeaderValue> {
        let headers = self.headers.lock().await;
        headers.get(scope).or_else(|| headers.get("")).cloned()
    }

    /// Answers a host's challenges.
    pub(crate) async fn answer(
        &self,
        http: &reqwest::Client,
        source: &dyn CredentialSource,
        base: &Url,
        scope: &str,
        challenges: &[String],
        rejected: Option<&HeaderValue>,
    ) -> Result<Answered> {
        let mut headers = self.headers.lock().await;
        // Another request has answered meanwhile.
        if let Some(known) = headers.get(scope).or_else(|| headers.get(""))
            && Some(known) != rejected
        {
            return Ok(Answered::New);
        }
        headers.remove(scope);
        let host = authority(base);
        let credentials = source.credentials(&host, challenges).await;
        if let Some(Credentials::Header(value)) = &credentials {
            return Ok(insert(&mut headers, "", value, rejected));
        }
        let mut answered = Answered::Nothing;
        for challenge in challenge::parse(challenges) {
            match challenge.scheme {
                Scheme::Bearer => {
                    let token = token(http, base, &challenge, scope, credentials.as_ref()).await?;
                    return Ok(insert(&mut headers, scope, &format!("Bearer {token}"), rejected));
                }
                Scheme::Basic => {
                    if let Some(Credentials::Basic { username, secret }) = &credentials {
                        let value = format!("Basic {}", STANDARD.encode(format!("{username}:{secret}")));
                        return Ok(insert(&mut headers, "", &value, rejected));
                    }
                    answered = Answered::NoCredentials;
                }
            }
        }
        Ok(answered)
    }
}

/// What could be shown to a host that asks who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// Something that it hasn't rejected yet.
    New,
    /// Nothing new.
    Nothing,
    /// It wants a user and a password, and there are none.
    NoCredentials,
}

fn insert(
    headers: &mut HashMap<String, HeaderValue>,
    scope: &str,
    value: &str,
    rejected: Option<&HeaderValue>,
) -> Answered {
    let Ok(mut value) = HeaderValue::from_str(value) else { return Answered::Nothing };
    value.set_sensitive(true);
    if Some(&value) == rejected {
        headers.remove(scope);
        return Answered::Nothing;
    }
    headers.insert(scope.to_owned(), value);
    Answered::New
}

pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

async fn token(
    http: &reqwest::Client,
    base: &Url,
    challenge: &Challenge,
    scope: &str,
    credentials: Option<&Credentials>,
) -> Result<String> {
    let bad = |what: &str| RegistryError::BadAnswer { url: shown(base), what: what.to_owned() };
    let realm = challenge.parameters.get("realm").ok_or_else(|| bad("bearer challenge without realm"))?;
    let mut url = Url::parse(realm).map_err(|_| bad("bearer challenge with a bad realm"))?;
    if !matches!(url.scheme(), "https" | "http") || base.scheme() == "https" && url.scheme() != "https" {
        return Err(bad("bearer challenge that names a token server without TLS"));
    }
    let service = challenge.parameters.get("service").map(String::as_str).unwrap_or_default();
    let scopes: Vec<&str> = scope.split(' ').filter(|scope| !scope.is_empty()).collect();
    let request = if let Some(Credentials::Refresh(secret)) = credentials {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("service", service)
            .append_pair("scope", scope)
            .append_pair("client_id", "containerd-client")
            .append_pair("refresh_token", secret)
            .finish();
        http.post(url.clone()).header("content-type", "application/x-www-form-urlencoded").body(form)
    } else {
        {
            let mut query = url.query_pairs_mut();
            if !service.is_empty() {
                query.append_pair("service", service);
            }
            for scope in scopes {
                query.append_pair("scope", scope);
            }
        }
        let request = http.get(url.clone());
        match credentials {
            Some(Credentials::Basic { username, secret }) => request.basic_auth(username, Some(secret)),
            _ => request,
        }
    };
    let mut answer = request.send().await.map_err(|source| error::unreachable("token", &url, &source))?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_TOKEN {
            return Err(RegistryError::TooLarge { object: shown(&url), limit: MAX_TOKEN as u64 });
        }
    }
    if !status.is_success() {
        let cause = match error::words(&body) {
            told if !told.is_empty() => told,
            _ if status == http::StatusCode::UNAUTHORIZED => {
                "unauthorized: authentication required".to_owned()
            }
            _ => format!("failed to fetch a token from {}: {status}", shown(&url)),
        };
        return Err(RegistryError::Unauthorized { cause });
    }
    let token: Token = serde_json::from_slice(&body).map_err(|_| RegistryError::BadAnswer {
        url: shown(&url),
        what: "no token in the answer".to_owned(),
    })?;
    let text = if token.token.is_empty() { token.access_token } else { token.token };
    if text.is_empty() {
        return Err(RegistryError::BadAnswer { url: shown(&url), what: "no token in the answer".to_owned() });
    }
    Ok(text)
}
