//! Blobs and manifests into a registry.

use std::io;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, StatusCode};
use oci::{Descriptor, Digest};
use url::Url;

use crate::client::{Ask, Endpoint, Repository};
use crate::error::{RegistryError, Result, shown};
use crate::refusal::refusal;
use crate::retry;

/// Where the bytes of a blob come from; opened anew for every try.
pub trait BlobSource: Send + Sync {
    /// The bytes from the beginning.
    fn open(&self) -> BoxFuture<'_, io::Result<BoxStream<'static, io::Result<Bytes>>>>;
}

/// How a blob came to be in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    Existed,
    /// The registry took it from this repository of its own.
    Mounted(String),
    /// It was sent.
    Uploaded,
}

impl Repository {
    fn push_scope(&self, mount_from: Option<&str>) -> String {
        let scope = format!("repository:{}:pull,push", self.inner.path);
        match mount_from {
            Some(other) => format!("{scope} repository:{other}:pull"),
            None => scope,
        }
    }

    /// Brings a blob into the repository: looks for it, tries to mount it from another repository of
    /// the same registry, else sends it.
    ///
    /// # Errors
    /// The registry refuses or can't be reached, or the source can't be read.
    pub async fn push_blob(
        &self,
        blob: &Descriptor,
        mount_from: Option<&str>,
        source: &dyn BlobSource,
    ) -> Result<Pushed> {
        let scope = self.push_scope(mount_from);
        let mut failures = 0;
        loop {
            let pushed = self
                .with_hosts(
                    |host| host.can_push,
                    |endpoint| {
                        let scope = scope.clone();
                        Box::pin(
                            async move { self.push_at(endpoint, &scope, blob, mount_from, source).await },
                        )
                    },
                )
                .await;
            let may_pass = match &pushed {
                Err(RegistryError::Status { status, .. }) => retry::may_pass(*status),
                Err(RegistryError::Unreachable { cause, .. }) => !cause.contains("refused"),
                _ => false,
            };
            failures += 1;
            if !may_pass || failures >= retry::TRIES {
                return pushed;
            }
            retry::pause(failures).await;
        }
    }

    async fn push_at(
        &self,
        endpoint: &Endpoint,
        scope: &str,
        blob: &Descriptor,
        mount_from: Option<&str>,
        source: &dyn BlobSource,
    ) -> Result<Pushed> {
        let path = &self.inner.path;
        let object = self.named(blob.digest.as_str());
        let head = Ask::new(Method::HEAD, format!("{path}/blobs/{}", blob.digest), scope);
        if endpoint.send(head).await?.status().is_success() {
            return Ok(Pushed::Existed);
        }
        let mut start = format!("{path}/blobs/uploads/");
        if let Some(other) = mount_from {
            let query = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("mount", blob.digest.as_str())
                .append_pair("from", other)
                .finish();
            start = format!("{start}?{query}");
        }
        let mut ask = Ask::new(Method::POST, start, scope);
        ask.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let answer = endpoint.send(ask).await?;
        match (answer.status(), mount_from) {
            (StatusCode::CREATED, Some(other)) => return Ok(Pushed::Mounted(other.to_owned())),
            (StatusCode::ACCEPTED | StatusCode::OK, _) => {}
            _ => return Err(refusal(answer, &Method::POST, &object).await),
        }
        let location = upload_location(&answer, &blob.digest)?;
        let open = || -> BoxFuture<'_, Result<reqwest::Body>> {
            Box::pin(async {
                let stream = source
                    .open()
                    .await
                    .map_err(|source| RegistryError::Source { object: blob.digest.to_string(), source })?;
                Ok(reqwest::Body::wrap_stream(stream))
            })
        };
        let mut ask = Ask::new(Method::PUT, location.to_string(), scope);
        ask.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        ask.headers.insert(CONTENT_LENGTH, HeaderValue::from(blob.size));
        ask.body = Some(&open);
        let answer = endpoint.send(ask).await?;
        if answer.status().is_success() {
            return Ok(Pushed::Uploaded);
        }
        Err(refusal(answer, &Method::PUT, &object).await)
    }

    /// Puts a manifest or index under `object`: a tag or its digest.
    ///
    /// # Errors
    /// The registry refuses or can't be reached.
    pub async fn push_manifest(&self, media_type: &str, bytes: Bytes, object: &str) -> Result<()> {
        let scope = self.push_scope(None);
        self.with_hosts(
            |host| host.can_push,
            |endpoint| {
                let (scope, bytes) = (scope.clone(), bytes.clone());
                Box::pin(async move {
                    let body = || -> BoxFuture<'_, Result<reqwest::Body>> {
                        Box::pin(std::future::ready(Ok(bytes.clone().into())))
                    };
                    let path = format!("{}/manifests/{object}", self.inner.path);
                    let mut ask = Ask::new(Method::PUT, path, &scope);
                    let value = HeaderValue::from_str(media_type).map_err(|_| RegistryError::BadAnswer {
                        url: self.named(object),
                        what: format!("media type {media_type:?}"),
                    })?;
                    ask.headers.insert(CONTENT_TYPE, value);
                    ask.body = Some(&body);
                    let answer = endpoint.send(ask).await?;
                    if answer.status().is_success() {
                        return Ok(());
                    }
                    Err(refusal(answer, &Method::PUT, &self.named(object)).await)
                })
            },
        )
        .await
    }
}

fn upload_location(answer: &reqwest::Response, digest: &Digest) -> Result<Url> {
    let bad = || RegistryError::BadAnswer {
        url: shown(answer.url()),
        what: "an upload without a good location".to_owned(),
    };
    let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok()).ok_or_else(bad)?;
    let mut url = answer.url().join(location).map_err(|_| bad())?;
    url.query_pairs_mut().append_pair("digest", digest.as_str());
    Ok(url)
}
