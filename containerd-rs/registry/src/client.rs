//! Requests to one registry for one repository.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use oci::{Descriptor, Digest, Reference};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RANGE, WWW_AUTHENTICATE,
};
use reqwest::{Method, Response, StatusCode};

use crate::auth::{Challenge, Credential, CredentialSource, Token};
use crate::error::{RegistryError, Result};

const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, */*";
/// Longest text of an error that is read, in bytes.
const MAX_DETAIL: usize = 8 << 10;
/// Largest manifest that is fetched to learn its digest, in bytes.
const MAX_MANIFEST: u64 = 8 << 20;
const MAX_REDIRECTS: usize = 5;

/// How a registry is spoken to.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `http` or `https`; empty for https, or what a loopback host speaks.
    pub default_scheme: String,
    /// Where credentials come from.
    pub credentials: Option<Arc<dyn CredentialSource>>,
    /// Further headers of every request to the registry.
    pub headers: Vec<(String, String)>,
}

/// A client for one repository.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    host: String,
    name: String,
    options: Options,
    /// Authorization header that was accepted last.
    authorization: Mutex<Option<String>>,
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Client {
    /// A client for the repository of `reference`. A loopback host is asked which scheme it speaks.
    ///
    /// # Errors
    /// The HTTP client can't be set up.
    pub async fn new(reference: &Reference, options: Options) -> Result<Self> {
        let host = match reference.domain() {
            "docker.io" => "registry-1.docker.io".to_owned(),
            other => other.to_owned(),
        };
        let loopback = is_loopback(&host);
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(30))
            .read_timeout(Duration::from_secs(120))
            .danger_accept_invalid_certs(loopback)
            .no_proxy()
            .build()
            .map_err(RegistryError::Setup)?;
        let scheme = match options.default_scheme.as_str() {
            "" if loopback => {
                let plain = http.get(format!("http://{host}/v2/")).send().await;
                // A TLS server tells plain HTTP off with 400.
                if plain.is_ok_and(|answer| answer.status() != StatusCode::BAD_REQUEST) {
                    "http"
                } else {
                    "https"
                }
            }
            "" => "https",
            scheme => scheme,
        };
        let base = format!("{scheme}://{host}/v2/{}", reference.path());
        Ok(Self { http, base, host, name: reference.name(), options, authorization: Mutex::new(None) })
    }

    /// Finds out what `reference` points to.
    ///
    /// # Errors
    /// Not found, unauthorized, unreachable, or a bad answer.
    pub async fn resolve(&self, reference: &Reference) -> Result<Descriptor> {
        let object = reference.object();
        let url = format!("{}/manifests/{object}", self.base);
        let answer = self.send(Method::HEAD, &url, 0).await?;
        let text = |name: &str| {
            answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let (media_type, digest) = (text(CONTENT_TYPE.as_str()), text("docker-content-digest"));
        let size = text(CONTENT_LENGTH.as_str()).parse().unwrap_or(0);
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
        if let (Ok(digest), true) = (digest.parse::<Digest>(), size > 0) {
            if reference.digest().is_some_and(|wanted| *wanted != digest) {
                return Err(RegistryError::Protocol { url, reason: format!("it answers with {digest}") });
            }
            return Ok(Descriptor::new(&media_type, digest, size));
        }
        // A registry that doesn't tell the digest: it is computed from the manifest itself.
        let mut answer = self.send(Method::GET, &url, 0).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|source| unreachable("GET", &url, source))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > MAX_MANIFEST {
                return Err(RegistryError::Protocol { url, reason: "the manifest is too large".into() });
            }
        }
        Ok(Descriptor::of(&media_type, &bytes))
    }

    /// Fetches a blob or manifest from `offset` on. Answers the offset that the bytes really begin
    /// at: 0 where the registry doesn't know ranges.
    ///
    /// # Errors
    /// Not found, unauthorized, unreachable; the stream's items fail when the connection breaks.
    pub async fn fetch(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes>>)> {
        let is_document = oci::media_type::is_manifest(&descriptor.media_type)
            || oci::media_type::is_index(&descriptor.media_type);
        let kind = if is_document { "manifests" } else { "blobs" };
        let url = format!("{}/{kind}/{}", self.base, descriptor.digest);
        let answer = self.send(Method::GET, &url, offset).await?;
        let begins = if answer.status() == StatusCode::PARTIAL_CONTENT { offset } else { 0 };
        let bytes =
            answer.bytes_stream().map(move |item| item.map_err(|source| unreachable("GET", &url, source)));
        Ok((begins, bytes.boxed()))
    }

    async fn send(&self, method: Method, url: &str, offset: u64) -> Result<Response> {
        let mut answered_challenge = false;
        loop {
            let answer = self.send_once(&method, url, offset).await?;
            let status = answer.status();
            if status.is_success() {
                return Ok(answer);
            }
            let verb = verb(&method);
            if status == StatusCode::UNAUTHORIZED && !answered_challenge {
                answered_challenge = true;
                let challenges: Vec<String> = answer
                    .headers()
                    .get_all(WWW_AUTHENTICATE)
                    .iter()
                    .filter_map(|value| value.to_str().ok().map(str::to_owned))
                    .collect();
                if let Some(authorization) = self.answer(&challenges).await? {
                    *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(authorization);
                    continue;
                }
            }
            let mut detail = answer.text().await.unwrap_or_default();
            detail.truncate(detail.floor_char_boundary(MAX_DETAIL));
            return Err(match status {
                StatusCode::NOT_FOUND => RegistryError::NotFound(match url.split_once("/manifests/") {
                    Some((_, object)) if object.contains(':') => format!("{}@{object}", self.name),
                    Some((_, object)) => format!("{}:{object}", self.name),
                    None => url.to_owned(),
                }),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    RegistryError::Unauthorized { name: self.name.clone(), detail }
                }
                _ => RegistryError::Status {
                    method: verb,
                    url: url.to_owned(),
                    status: status.as_u16(),
                    detail,
                },
            });
        }
    }

    /// One request, its redirects followed; the Authorization header stays with the registry.
    async fn send_once(&self, method: &Method, url: &str, offset: u64) -> Result<Response> {
        let mut target = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.http.request(method.clone(), &target).header(ACCEPT, ACCEPTED);
            if offset > 0 {
                request = request.header(RANGE, format!("bytes={offset}-"));
            }
            if target.starts_with(&self.base) {
                for (key, value) in &self.options.headers {
                    request = request.header(key, value);
                }
                let authorization = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(authorization) = authorization {
                    request = request.header(AUTHORIZATION, authorization);
                }
            }
            let answer = request.send().await.map_err(|source| unreachable(verb(method), &target, source))?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            let location =
                answer.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let next = answer.url().join(location).map_err(|error| RegistryError::Protocol {
                url: target.clone(),
                reason: format!("redirect to {location:?}: {error}"),
            })?;
            target = next.into();
        }
        Err(RegistryError::Protocol { url: url.to_owned(), reason: "too many redirects".into() })
    }

    /// The Authorization header that answers the first challenge we can answer.
    async fn answer(&self, challenges: &[String]) -> Result<Option<String>> {
        for header in challenges {
            let credential = match &self.options.credentials {
                Some(source) => source.credential(&self.host, header).await,
                None => None,
            };
            match (Challenge::parse(header), credential) {
                (_, Some(Credential::Header(value))) => return Ok(Some(value)),
                (Some(Challenge::Basic), Some(Credential::Basic { username, password })) => {
                    return Ok(Some(basic(&username, &password)));
                }
                (Some(Challenge::Bearer { realm, service, scope }), credential) => {
                    return self.token(&realm, &service, &scope, credential).await.map(Some);
                }
                _ => {}
            }
        }
        Ok(None)
    }

    async fn token(
        &self,
        realm: &str,
        service: &str,
        scope: &str,
        credential: Option<Credential>,
    ) -> Result<String> {
        let asked = format!("repository:{}:pull", self.base.split_once("/v2/").map_or("", |(_, path)| path));
        let scope = if scope.is_empty() { asked.as_str() } else { scope };
        let mut url = url::Url::parse(realm).map_err(|error| RegistryError::Protocol {
            url: self.base.clone(),
            reason: format!("token server {realm:?}: {error}"),
        })?;
        let request = if let Some(Credential::Refresh(token)) = &credential {
            let form: String = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs([
                    ("grant_type", "refresh_token"),
                    ("refresh_token", token),
                    ("service", service),
                    ("scope", scope),
                    ("client_id", "containerd-rs"),
                ])
                .finish();
            self.http.post(url.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
        } else {
            url.query_pairs_mut().append_pair("service", service).append_pair("scope", scope);
            let request = self.http.get(url.clone());
            match &credential {
                Some(Credential::Basic { username, password }) => {
                    request.header(AUTHORIZATION, basic(username, password))
                }
                _ => request,
            }
        };
        let answer = request.send().await.map_err(|source| unreachable("GET", realm, source))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|source| unreachable("GET", realm, source))?;
        if !status.is_success() {
            return Err(RegistryError::Unauthorized { name: self.name.clone(), detail: text });
        }
        let token = serde_json::from_str::<Token>(&text).ok().and_then(Token::value);
        token.map(|token| format!("Bearer {token}")).ok_or_else(|| RegistryError::Protocol {
            url: realm.to_owned(),
            reason: "the token server gave no token".into(),
        })
    }
}

fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}")))
}

fn verb(method: &Method) -> &'static str {
    if *method == Method::HEAD { "HEAD" } else { "GET" }
}

fn unreachable(method: &'static str, url: &str, source: reqwest::Error) -> RegistryError {
    RegistryError::Unreachable { method, url: url.to_owned(), source: source.without_url() }
}
