//! Requests to the daemon. Each has a connection of its own: commands make few, and an attached one keeps it.

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderName, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpStream, UnixStream};

use crate::error::{ApiError, ConnectError};
use crate::host::Host;

/// The newest API this client knows.
const NEWEST: (u32, u32) = (1, 51);

/// A query: names and values.
pub(crate) type Query<'a> = &'a [(&'a str, String)];

/// A daemon that answered a ping.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    host: Host,
    /// `v1.51`, or lower if the daemon is older.
    version: String,
}

impl Client {
    /// Asks the daemon for its version.
    ///
    /// # Errors
    /// [`ConnectError`] if nobody listens.
    pub(crate) async fn connect(host: Host) -> anyhow::Result<Self> {
        let mut client = Self { host, version: String::new() };
        let answer = client.send(Method::HEAD, "/_ping", &[], &[], None).await?;
        let theirs = answer.headers().get("api-version").and_then(|v| v.to_str().ok()).unwrap_or("1.24");
        let parsed = theirs.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let (major, minor) = parsed.unwrap_or((1, 24)).min(NEWEST);
        client.version = format!("/v{major}.{minor}");
        Ok(client)
    }

    /// `1.51`.
    pub(crate) fn api_version(&self) -> &str {
        self.version.trim_start_matches("/v")
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) async fn get(&self, path: &str, query: Query<'_>) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.get_text(path, query).await?)?)
    }

    pub(crate) async fn get_text(&self, path: &str, query: Query<'_>) -> anyhow::Result<String> {
        text(self.send(Method::GET, path, query, &[], None).await?).await
    }

    /// Null for an empty answer.
    pub(crate) async fn post(
        &self,
        path: &str,
        query: Query<'_>,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        parse(&text(self.send(Method::POST, path, query, &[], body).await?).await?)
    }

    pub(crate) async fn delete(&self, path: &str, query: Query<'_>) -> anyhow::Result<Value> {
        parse(&text(self.send(Method::DELETE, path, query, &[], None).await?).await?)
    }

    /// A request whose answer is read piece by piece. Answers as soon as the head is here.
    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        query: Query<'_>,
        headers: &[(HeaderName, String)],
    ) -> anyhow::Result<Incoming> {
        Ok(self.send(method, path, query, headers, None).await?.into_body())
    }

    /// Turns the connection into a raw stream in both directions.
    pub(crate) async fn hijack(
        &self,
        path: &str,
        query: Query<'_>,
        body: Option<&Value>,
    ) -> anyhow::Result<TokioIo<Upgraded>> {
        let headers =
            [(http::header::CONNECTION, "Upgrade".to_owned()), (http::header::UPGRADE, "tcp".to_owned())];
        let answer = self.send(Method::POST, path, query, &headers, body).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            anyhow::bail!("unable to upgrade to tcp, received {}", answer.status().as_u16());
        }
        Ok(TokioIo::new(hyper::upgrade::on(answer).await.context("take over the connection")?))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: Query<'_>,
        headers: &[(HeaderName, String)],
        body: Option<&Value>,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut target = format!("{}{path}", self.version);
        if !query.is_empty() {
            let pairs = query.iter().map(|(k, v)| (*k, v.as_str()));
            let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
            target = format!("{target}?{encoded}");
        }
        let mut request = Request::builder().method(method).uri(target).header(http::header::HOST, "engine");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let body = match body {
            Some(value) => {
                request = request.header(http::header::CONTENT_TYPE, "application/json");
                Bytes::from(serde_json::to_vec(value)?)
            }
            None => Bytes::new(),
        };
        let mut sender = self.dial().await?;
        let answer = sender.send_request(request.body(Full::new(body))?).await.context("ask the daemon")?;
        if answer.status().is_client_error() || answer.status().is_server_error() {
            return Err(refusal(answer).await.into());
        }
        Ok(answer)
    }

    async fn dial(&self) -> anyhow::Result<hyper::client::conn::http1::SendRequest<Full<Bytes>>> {
        let failed = |source| ConnectError { host: self.host.to_string(), source };
        match &self.host {
            Host::Unix(path) => handshake(UnixStream::connect(path).await.map_err(failed)?).await,
            Host::Tcp(address) => handshake(TcpStream::connect(address).await.map_err(failed)?).await,
        }
    }
}

async fn handshake<T>(io: T) -> anyhow::Result<hyper::client::conn::http1::SendRequest<Full<Bytes>>>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await?;
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}

async fn text(answer: Response<Incoming>) -> anyhow::Result<String> {
    let bytes = answer.into_body().collect().await.context("read the daemon's answer")?.to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn parse(text: &str) -> anyhow::Result<Value> {
    if text.trim().is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(text)?) }
}

async fn refusal(answer: Response<Incoming>) -> ApiError {
    let status = answer.status();
    let body = text(answer).await.unwrap_or_default();
    let message = match serde_json::from_str::<Value>(&body) {
        Ok(value) => value["message"].as_str().unwrap_or(body.trim()).to_owned(),
        Err(_) if body.trim().is_empty() => status.to_string(),
        Err(_) => body,
    };
    ApiError { status: status.as_u16(), message: message.trim_end().to_owned() }
}

/// A name or id as part of a path. Slashes of image names stay.
pub(crate) fn segment(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/:@".contains(&b);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::segment;

    #[test]
    fn names_are_safe_in_a_path() {
        assert_eq!(segment("library/busybox:1@sha256:ab"), "library/busybox:1@sha256:ab");
        assert_eq!(segment("a b?c#d%"), "a%20b%3Fc%23d%25");
    }
}
