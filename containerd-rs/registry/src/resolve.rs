//! From a tag or digest to a descriptor, and to the bytes of a manifest.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method};
use oci::image::MAX_DOCUMENT;
use oci::{Descriptor, Digest, Hasher};
use reqwest::Response;

use crate::client::{Ask, Endpoint, Repository};
use crate::error::{RegistryError, Result, shown};
use crate::refusal::refusal;

const DOCKER_CONTENT_DIGEST: &str = "docker-content-digest";

impl Repository {
    /// What a tag or digest names.
    ///
    /// # Errors
    /// Nobody answers, the registry doesn't have it, or won't tell.
    pub async fn resolve(&self, object: &str) -> Result<Descriptor> {
        self.with_hosts(
            |host| host.can_resolve,
            |endpoint| Box::pin(async move { self.resolve_at(endpoint, object).await }),
        )
        .await
    }

    async fn resolve_at(&self, endpoint: &Endpoint, object: &str) -> Result<Descriptor> {
        let asked: Option<Digest> = object.parse().ok();
        let answer = self.manifest_request(endpoint, Method::HEAD, object).await?;
        if answer.status().is_success()
            && let Some(found) = described(&answer, asked.as_ref())?
        {
            return Ok(found);
        }
        // Some registries can't HEAD, and a refusal's words come with GET only.
        let answer = self.manifest_request(endpoint, Method::GET, object).await?;
        let media_type = content_type(&answer);
        let bytes = self.body_of(answer, object, MAX_DOCUMENT as u64).await?;
        let found = Descriptor::of(&media_type, &bytes);
        match asked {
            Some(expected) if expected.algorithm() != found.digest.algorithm() => {
                Ok(Descriptor { digest: expected, ..found })
            }
            Some(expected) if expected != found.digest => {
                Err(RegistryError::WrongDigest { object: object.to_owned(), expected, actual: found.digest })
            }
            _ => Ok(found),
        }
    }

    async fn manifest_request(&self, endpoint: &Endpoint, method: Method, object: &str) -> Result<Response> {
        let scope = self.pull_scope();
        let path = format!("{}/manifests/{object}", self.inner.path);
        let mut ask = Ask::new(method.clone(), path, &scope);
        ask.headers = crate::headers::accept();
        let answer = endpoint.send(ask).await?;
        if method == Method::GET && !answer.status().is_success() {
            return Err(refusal(answer, &method, &self.named(object)).await);
        }
        Ok(answer)
    }

    /// The bytes of a manifest or index, checked against the descriptor.
    ///
    /// # Errors
    /// It can't be fetched, is larger than a document may be, or isn't what the digest names.
    pub async fn manifest(&self, wanted: &Descriptor) -> Result<Bytes> {
        let object = self.named(wanted.digest.as_str());
        if wanted.size > MAX_DOCUMENT as u64 {
            return Err(RegistryError::TooLarge { object, limit: MAX_DOCUMENT as u64 });
        }
        let bytes = self
            .with_hosts(
                |host| host.can_pull,
                |endpoint| {
                    let object = object.clone();
                    Box::pin(async move {
                        let answer =
                            self.manifest_request(endpoint, Method::GET, wanted.digest.as_str()).await?;
                        let bytes = self.body_of(answer, &object, wanted.size).await?;
                        let mut hasher = Hasher::new(wanted.digest.algorithm());
                        hasher.update(&bytes);
                        let actual = hasher.finish();
                        if bytes.len() as u64 != wanted.size {
                            let got = bytes.len() as u64;
                            return Err(RegistryError::Truncated { object, got, size: wanted.size });
                        }
                        if actual != wanted.digest {
                            return Err(RegistryError::WrongDigest {
                                object,
                                expected: wanted.digest.clone(),
                                actual,
                            });
                        }
                        Ok(bytes)
                    })
                },
            )
            .await?;
        Ok(bytes)
    }

    pub(crate) fn named(&self, object: &str) -> String {
        let separator = if object.contains(':') { '@' } else { ':' };
        format!("{}{separator}{object}", self.inner.name)
    }

    async fn body_of(&self, mut answer: Response, object: &str, limit: u64) -> Result<Bytes> {
        let url = answer.url().clone();
        let mut bytes = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => return Ok(bytes.into()),
                Err(error) => return Err(crate::error::unreachable("Get", &url, &error)),
            }
            if bytes.len() as u64 > limit {
                return Err(RegistryError::TooLarge { object: object.to_owned(), limit });
            }
        }
    }
}

/// The descriptor that the headers give, if they are complete.
fn described(answer: &Response, asked: Option<&Digest>) -> Result<Option<Descriptor>> {
    let header = |name| answer.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let Some(size) = header(CONTENT_LENGTH.as_str()).and_then(|text| text.parse::<u64>().ok()) else {
        return Ok(None);
    };
    let told: Option<Digest> = match header(DOCKER_CONTENT_DIGEST) {
        None => None,
        Some(text) => Some(text.parse().map_err(|error| RegistryError::BadAnswer {
            url: shown(answer.url()),
            what: format!("{DOCKER_CONTENT_DIGEST}: {error}"),
        })?),
    };
    if let (Some(asked), Some(told)) = (asked, &told)
        && asked != told
    {
        return Err(RegistryError::WrongDigest {
            object: shown(answer.url()),
            expected: asked.clone(),
            actual: told.clone(),
        });
    }
    let media_type = content_type(answer);
    let digest = asked.cloned().or(told);
    Ok(digest.filter(|_| !media_type.is_empty()).map(|digest| Descriptor::new(&media_type, digest, size)))
}

fn content_type(answer: &Response) -> String {
    let value = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_owned()
}
