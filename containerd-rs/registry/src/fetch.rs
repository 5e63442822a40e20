//! Blobs: from any offset, going on where a connection broke.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http::header::CONTENT_RANGE;
use http::{Method, StatusCode};
use oci::{Descriptor, media_type};
use reqwest::Response;
use url::Url;

use crate::client::{Ask, Endpoint, Repository};
use crate::error::{RegistryError, Result, deepest, shown};
use crate::refusal::refusal;
use crate::retry;

/// The bytes of a blob from an offset on: exactly as many as the descriptor says, or an error. The
/// digest is the reader's to check.
pub struct Body {
    repository: Repository,
    wanted: Descriptor,
    position: u64,
    stream: Option<BoxStream<'static, reqwest::Result<Bytes>>>,
    /// Bytes to throw away: the server sent the whole although a part was asked for.
    skip: u64,
    failures: u32,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Body({} at {})", self.wanted.digest, self.position)
    }
}

impl Repository {
    /// Opens a blob (or a manifest as a blob) at `offset`.
    ///
    /// # Errors
    /// Nobody has it or answers.
    pub async fn blob(&self, wanted: &Descriptor, offset: u64) -> Result<Body> {
        let mut body = Body {
            repository: self.clone(),
            wanted: wanted.clone(),
            position: offset,
            stream: None,
            skip: 0,
            failures: 0,
        };
        if offset < wanted.size {
            body.open().await?;
        }
        Ok(body)
    }

    async fn blob_at(&self, endpoint: &Endpoint, wanted: &Descriptor, offset: u64) -> Result<Response> {
        let scope = self.pull_scope();
        let is_manifest =
            media_type::is_manifest(&wanted.media_type) || media_type::is_index(&wanted.media_type);
        let kind = if is_manifest { "manifests" } else { "blobs" };
        let mut ask = Ask::new(Method::GET, format!("{}/{kind}/{}", self.inner.path, wanted.digest), &scope);
        ask.headers = crate::headers::range(offset);
        if is_manifest {
            ask.headers.extend(crate::headers::accept());
        }
        let mut answer = endpoint.send(ask).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            for url in &wanted.urls {
                let Ok(url) = Url::parse(url) else { continue };
                if !matches!(url.scheme(), "http" | "https") {
                    continue;
                }
                let elsewhere = endpoint.foreign(&url, offset).await?;
                if elsewhere.status().is_success() {
                    answer = elsewhere;
                    break;
                }
            }
        }
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(refusal(answer, &Method::GET, &self.named(wanted.digest.as_str())).await)
    }
}

impl Body {
    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// The blob is shorter or longer than its descriptor says, or the connection broke too often
    /// without any progress in between.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.stream.is_none() {
                if self.position >= self.wanted.size {
                    return Ok(None);
                }
                self.open().await?;
            }
            let Some(stream) = &mut self.stream else { continue };
            match stream.next().await {
                Some(Ok(bytes)) => {
                    if let Some(bytes) = self.take(bytes)? {
                        self.failures = 0;
                        return Ok(Some(bytes));
                    }
                }
                None if self.position == self.wanted.size => {
                    self.stream = None;
                    return Ok(None);
                }
                None => {
                    self.broken(RegistryError::Truncated {
                        object: self.wanted.digest.to_string(),
                        got: self.position,
                        size: self.wanted.size,
                    })
                    .await?
                }
                Some(Err(error)) => {
                    let cause = format!(
                        "unexpected EOF after {} of {} bytes: {}",
                        self.position,
                        self.wanted.size,
                        deepest(&error)
                    );
                    let url = error.url().map(shown).unwrap_or_else(|| self.wanted.digest.to_string());
                    self.broken(RegistryError::Unreachable { method: "Get".to_owned(), url, cause }).await?;
                }
            }
        }
    }

    fn take(&mut self, mut bytes: Bytes) -> Result<Option<Bytes>> {
        if self.skip > 0 {
            let skipped = self.skip.min(bytes.len() as u64);
            let _ = bytes.split_to(skipped as usize);
            self.skip -= skipped;
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        self.position += bytes.len() as u64;
        if self.position > self.wanted.size {
            return Err(RegistryError::TooLarge {
                object: self.wanted.digest.to_string(),
                limit: self.wanted.size,
            });
        }
        Ok(Some(bytes))
    }

    async fn broken(&mut self, error: RegistryError) -> Result<()> {
        self.stream = None;
        self.failures += 1;
        if self.failures >= retry::TRIES {
            return Err(error);
        }
        tracing::debug!(%error, position = self.position, "going on with a blob");
        retry::pause(self.failures).await;
        Ok(())
    }

    async fn open(&mut self) -> Result<()> {
        let (repository, wanted, offset) = (&self.repository, &self.wanted, self.position);
        let answer = repository
            .with_hosts(
                |host| host.can_pull,
                |endpoint| Box::pin(repository.blob_at(endpoint, wanted, offset)),
            )
            .await?;
        self.skip = match answer.status() {
            StatusCode::PARTIAL_CONTENT if start_of_range(&answer) == Some(offset) => 0,
            StatusCode::PARTIAL_CONTENT => {
                let what = "answered with another range than it was asked for".to_owned();
                return Err(RegistryError::BadAnswer { url: shown(answer.url()), what });
            }
            _ => offset,
        };
        self.stream = Some(answer.bytes_stream().boxed());
        Ok(())
    }
}

/// The first number of `bytes 5-9/10`.
fn start_of_range(answer: &Response) -> Option<u64> {
    let text = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
