//! How requests reach a registry: scheme, certificates, authorization, redirects, repetition.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use oci::Reference;
use reqwest::Response;
use tokio::sync::OnceCell;
use url::Url;

use crate::auth::{Answered, Authorizer, CredentialSource, NoCredentials};
use crate::error::{RegistryError, Result, deepest, shown, unreachable};
use crate::hosts::{self, Host, bad};
use crate::refusal::{challenges, of_request, title};
use crate::retry;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest silence in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_REDIRECTS: usize = 10;

/// How registries are to be reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Directory of `hosts.toml` folders.
    pub hosts_dir: Option<PathBuf>,
    /// `http` or `https` for hosts that no file configures; none: https, or for loopback and
    /// insecure registries whatever answers.
    pub default_scheme: Option<String>,
    /// Whether plain HTTP and unknown certificates are fine.
    pub is_insecure: bool,
    /// Sent to the registry's hosts with every request.
    pub headers: HeaderMap,
    /// Who we say we are.
    pub user_agent: String,
    /// Where credentials come from.
    pub credentials: Arc<dyn CredentialSource>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hosts_dir: None,
            default_scheme: None,
            is_insecure: false,
            headers: HeaderMap::new(),
            user_agent: concat!("containerd-rs/", env!("CARGO_PKG_VERSION")).to_owned(),
            credentials: Arc::new(NoCredentials),
        }
    }
}

/// A client of registries.
#[derive(Clone, Debug)]
pub struct Client {
    settings: Arc<Settings>,
}

impl Client {
    /// A client with these settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings) }
    }

    /// The repository that a reference names. Connects to nobody yet.
    ///
    /// # Errors
    /// The hosts' configuration or a certificate can't be used.
    pub fn repository(&self, reference: &Reference) -> Result<Repository> {
        let endpoints = self.endpoints(reference.domain())?;
        let inner = Inner { name: reference.name(), path: reference.path().to_owned(), endpoints };
        Ok(Repository { inner: Arc::new(inner) })
    }

    /// The hosts of a domain, first choice first.
    pub(crate) fn endpoints(&self, domain: &str) -> Result<Vec<Endpoint>> {
        let settings = &self.settings;
        let hosts = hosts::of_domain(
            domain,
            settings.hosts_dir.as_deref(),
            settings.default_scheme.as_deref(),
            settings.is_insecure,
        )?;
        hosts.into_iter().map(|host| Endpoint::new(host, settings)).collect()
    }
}

/// One repository of one registry, by whichever of its hosts. Cheap to clone; tokens are kept.
#[derive(Clone, Debug)]
pub struct Repository {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    /// Domain and path, for people.
    pub(crate) name: String,
    /// Path within the registry.
    pub(crate) path: String,
    pub(crate) endpoints: Vec<Endpoint>,
}

impl Repository {
    pub(crate) fn pull_scope(&self) -> String {
        format!("repository:{}:pull", self.inner.path)
    }

    /// Asks each host that may do the job until one succeeds. The last failure is told, but that a
    /// host doesn't have it only if nobody could tell more.
    pub(crate) async fn with_hosts<'a, T>(
        &'a self,
        may: impl Fn(&Host) -> bool,
        ask: impl Fn(&'a Endpoint) -> BoxFuture<'a, Result<T>>,
    ) -> Result<T> {
        let mut failure: Option<RegistryError> = None;
        for endpoint in self.inner.endpoints.iter().filter(|endpoint| may(&endpoint.host)) {
            match ask(endpoint).await {
                Ok(done) => return Ok(done),
                Err(error) => {
                    tracing::debug!(host = endpoint.host.authority, %error, "registry host failed");
                    if failure.is_none() || !matches!(error, RegistryError::NotFound { .. }) {
                        failure = Some(error);
                    }
                }
            }
        }
        Err(failure.unwrap_or_else(|| RegistryError::Configuration {
            what: format!("no host of {} may do this", self.inner.name),
            source: None,
        }))
    }
}

/// A request, ready to be sent more than once.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Below the API's root, or absolute.
    pub(crate) path: String,
    pub(crate) scope: &'a str,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<&'a (dyn Fn() -> BoxFuture<'a, Result<reqwest::Body>> + Sync)>,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(method: Method, path: String, scope: &'a str) -> Self {
        Self { method, path, scope, headers: HeaderMap::new(), body: None }
    }
}

/// One host and what is known of it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) host: Host,
    http: reqwest::Client,
    base: OnceCell<Url>,
    auth: Authorizer,
    settings: Arc<Settings>,
}

impl Endpoint {
    fn new(host: Host, settings: &Arc<Settings>) -> Result<Self> {
        let http = http_client(&host, settings)?;
        Ok(Self {
            host,
            http,
            base: OnceCell::new(),
            auth: Authorizer::default(),
            settings: settings.clone(),
        })
    }

    /// The API's root. Where both schemes are allowed, the host is asked which one it speaks.
    pub(crate) async fn base(&self) -> Result<&Url> {
        let probe = async {
            let scheme = match &self.host.scheme {
                Some(scheme) => scheme.as_str(),
                None => {
                    let https = self.host.base("https")?;
                    match self.http.get(https).send().await {
                        Ok(_) => "https",
                        Err(error) if deepest(&error).contains("Connection refused") => "http",
                        Err(error) => {
                            tracing::debug!(%error, host = self.host.authority, "no TLS; plain HTTP is tried");
                            "http"
                        }
                    }
                }
            };
            self.host.base(scheme)
        };
        self.base.get_or_try_init(|| probe).await
    }

    /// Sends a request and answers challenges; any status but 401 may come back, and 401 too if
    /// nothing more can be shown.
    pub(crate) async fn send(&self, ask: Ask<'_>) -> Result<Response> {
        let base = self.base().await?.clone();
        let url = base.join(&ask.path).map_err(|_| RegistryError::BadAnswer {
            url: shown(&base),
            what: format!("bad location {:?}", ask.path),
        })?;
        let is_safe = matches!(ask.method, Method::GET | Method::HEAD);
        let mut challenged = 0;
        let mut failed = 0;
        loop {
            let authorization = self.auth.header(ask.scope).await;
            let answer = self.send_once(&ask, &base, url.clone(), authorization.as_ref()).await;
            match answer {
                Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED && challenged < 2 => {
                    challenged += 1;
                    let challenges = challenges(&answer);
                    let credentials = self.settings.credentials.as_ref();
                    let rejected = authorization.as_ref();
                    let answered = self
                        .auth
                        .answer(&self.http, credentials, &base, ask.scope, &challenges, rejected)
                        .await
                        .map_err(|error| of_request(&ask.method, &url, error))?;
                    match answered {
                        Answered::New => {}
                        Answered::Nothing => return Ok(answer),
                        Answered::NoCredentials => {
                            let cause = "no basic auth credentials".to_owned();
                            let error = RegistryError::Unauthorized { cause };
                            return Err(of_request(&ask.method, &url, error));
                        }
                    }
                }
                Ok(answer) if is_safe && retry::may_pass(answer.status()) && failed + 1 < retry::TRIES => {
                    failed += 1;
                    retry::pause(failed).await;
                }
                Err(Failure::Passing(error)) if is_safe && failed + 1 < retry::TRIES => {
                    failed += 1;
                    tracing::debug!(%error, "a request is repeated");
                    retry::pause(failed).await;
                }
                Ok(answer) => return Ok(answer),
                Err(Failure::Passing(error) | Failure::Final(error)) => return Err(error),
            }
        }
    }

    /// Follows redirects by hand: what is secret stays with the origin it was meant for.
    async fn send_once(
        &self,
        ask: &Ask<'_>,
        base: &Url,
        mut url: Url,
        authorization: Option<&http::HeaderValue>,
    ) -> Result<Response, Failure> {
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.http.request(ask.method.clone(), url.clone()).headers(ask.headers.clone());
            if url.origin() == base.origin() {
                request = request.headers(self.settings.headers.clone()).headers(self.host.headers.clone());
                if let Some(value) = authorization {
                    request = request.header(AUTHORIZATION, value.clone());
                }
            }
            if let Some(body) = ask.body {
                request = request.body(body().await.map_err(Failure::Final)?);
            }
            let answer = request.send().await.map_err(|error| {
                let failure = unreachable(&title(&ask.method), &url, &error);
                // A refused or unknown host will not be there in a moment; a broken line may.
                if error.is_connect() { Failure::Final(failure) } else { Failure::Passing(failure) }
            })?;
            let may_follow =
                matches!(ask.method, Method::GET | Method::HEAD) && answer.status().is_redirection();
            let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            match location {
                Some(location) if may_follow => {
                    let bad = |what: &str| {
                        Failure::Final(RegistryError::BadAnswer { url: shown(&url), what: what.to_owned() })
                    };
                    let next = url.join(location).map_err(|_| bad("redirect to a bad location"))?;
                    if !matches!(next.scheme(), "http" | "https")
                        || url.scheme() == "https" && next.scheme() == "http"
                    {
                        return Err(bad("redirect away from TLS"));
                    }
                    url = next;
                }
                _ => return Ok(answer),
            }
        }
        Err(Failure::Final(RegistryError::BadAnswer {
            url: shown(&url),
            what: "too many redirects".to_owned(),
        }))
    }

    /// Asks a URL that is not the registry's: nothing of ours but the user agent goes along.
    pub(crate) async fn foreign(&self, url: &Url, offset: u64) -> Result<Response> {
        let nobody = Endpoint {
            host: Host { scheme: Some(url.scheme().to_owned()), ..Host::default() },
            http: self.http.clone(),
            base: OnceCell::new_with(Some(url.clone())),
            auth: Authorizer::default(),
            settings: Arc::new(Settings {
                user_agent: self.settings.user_agent.clone(),
                ..Settings::default()
            }),
        };
        let mut ask = Ask::new(Method::GET, url.to_string(), "");
        ask.headers = crate::headers::range(offset);
        Box::pin(nobody.send(ask)).await
    }
}

enum Failure {
    /// May be gone in a moment.
    Passing(RegistryError),
    Final(RegistryError),
}

fn http_client(host: &Host, settings: &Settings) -> Result<reqwest::Client> {
    // Fails only if somebody else has installed one, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let read =
        |path: &PathBuf| std::fs::read(path).map_err(|error| bad(format!("read {}", path.display()), error));
    let mut authorities = Vec::new();
    for file in &host.authorities {
        let parsed = reqwest::Certificate::from_pem_bundle(&read(file)?);
        authorities.extend(parsed.map_err(|error| bad(format!("certificate {}", file.display()), error))?);
    }
    let identity = match &host.identity {
        None => None,
        Some((cert, key)) => {
            let mut pem = read(cert)?;
            if let Some(key) = key {
                pem.push(b'\n');
                pem.extend(read(key)?);
            }
            let parsed = reqwest::Identity::from_pem(&pem);
            Some(parsed.map_err(|error| bad(format!("client certificate {}", cert.display()), error))?)
        }
    };
    let builder = || {
        let mut builder = reqwest::Client::builder()
            .user_agent(&settings.user_agent)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .tls_danger_accept_invalid_certs(host.skip_verify);
        if hosts::is_loopback(&host.authority) {
            builder = builder.no_proxy();
        }
        if let Some(identity) = identity.clone() {
            builder = builder.identity(identity);
        }
        builder
    };
    let full =
        if authorities.is_empty() { builder() } else { builder().tls_certs_merge(authorities.clone()) };
    full.build()
        // A machine without any certificates can still speak plain HTTP, or trust the given ones.
        .or_else(|_| builder().tls_certs_only(authorities).build())
        .map_err(|error| bad(format!("HTTP client for {}", host.authority), error))
}
