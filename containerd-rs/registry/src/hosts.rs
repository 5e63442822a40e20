//! Which hosts serve a domain's images: containerd's `hosts.toml` directories, Docker's certificate
//! files, and the defaults.
//!
//! ```text
//! DIR/<host[:port]>/hosts.toml      or DIR/<host_port_>/hosts.toml, or DIR/_default/hosts.toml
//!                  /*.crt           further authorities
//!                  /*.cert *.key    a client's certificate and key
//! ```

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue};
use toml::{Table, Value};
use url::Url;

use crate::error::{RegistryError, Result};

/// Largest `hosts.toml`, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// One host that serves a domain.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Host {
    /// `https` or `http`; none: https if it answers, else http.
    pub(crate) scheme: Option<String>,
    /// Host and port.
    pub(crate) authority: String,
    /// Path of the API, `/v2` unless overridden.
    pub(crate) path: String,
    pub(crate) can_pull: bool,
    pub(crate) can_resolve: bool,
    pub(crate) can_push: bool,
    /// Sent with every request to this host.
    pub(crate) headers: HeaderMap,
    pub(crate) authorities: Vec<PathBuf>,
    /// Certificate and key; the key may be in the same file.
    pub(crate) identity: Option<(PathBuf, Option<PathBuf>)>,
    pub(crate) skip_verify: bool,
}

impl Host {
    fn plain(authority: &str) -> Self {
        Self {
            authority: authority.to_owned(),
            path: "/v2".to_owned(),
            can_pull: true,
            can_resolve: true,
            can_push: true,
            ..Self::default()
        }
    }

    /// The API's root when spoken to by `scheme`.
    pub(crate) fn base(&self, scheme: &str) -> Result<Url> {
        let text = format!("{scheme}://{}{}/", self.authority, self.path.trim_end_matches('/'));
        Url::parse(&text).map_err(|source| bad(format!("host {text:?}"), source))
    }
}

/// The hosts of `domain`, first choice first.
pub(crate) fn of_domain(
    domain: &str,
    dir: Option<&Path>,
    default_scheme: Option<&str>,
    is_insecure: bool,
) -> Result<Vec<Host>> {
    let mut default =
        Host::plain(if domain == oci::reference::DEFAULT_DOMAIN { "registry-1.docker.io" } else { domain });
    let is_lenient = is_insecure || is_loopback(domain);
    default.skip_verify = is_lenient;
    default.scheme = match default_scheme {
        Some(scheme) => Some(scheme.to_owned()),
        None if is_lenient => None,
        None => Some("https".to_owned()),
    };
    let Some(folder) = dir.and_then(|dir| folder_of(dir, domain)) else { return Ok(vec![default]) };
    take_certificates(&mut default, &folder)?;
    let file = folder.join("hosts.toml");
    match std::fs::metadata(&file) {
        Ok(meta) if meta.len() <= MAX_FILE => {}
        Ok(_) => {
            return Err(RegistryError::Configuration {
                what: format!("{} is too large", file.display()),
                source: None,
            });
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![default]),
        Err(error) => return Err(bad(format!("read {}", file.display()), error)),
    }
    let text =
        std::fs::read_to_string(&file).map_err(|error| bad(format!("read {}", file.display()), error))?;
    let table: Table = text.parse().map_err(|error| bad(format!("parse {}", file.display()), error))?;
    from_table(&table, default, &folder)
}

/// Whether a domain is this machine: plain HTTP is fine there, and certificates prove nothing.
pub(crate) fn is_loopback(domain: &str) -> bool {
    let host = match domain.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => domain.rsplit_once(':').map_or(domain, |(host, _)| host),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn folder_of(dir: &Path, domain: &str) -> Option<PathBuf> {
    // A domain has no slash by its grammar, so it stays below `dir`.
    let with_port = domain.rsplit_once(':').map(|(host, port)| format!("{host}_{port}_"));
    [Some(domain.to_owned()), with_port, Some("_default".to_owned())]
        .into_iter()
        .flatten()
        .map(|name| dir.join(name))
        .find(|folder| folder.is_dir())
}

fn take_certificates(host: &mut Host, folder: &Path) -> Result<()> {
    let step = |error| bad(format!("read {}", folder.display()), error);
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(step)? {
        files.push(entry.map_err(step)?.path());
    }
    files.sort();
    for file in files {
        match file.extension().and_then(|e| e.to_str()) {
            Some("crt") => host.authorities.push(file),
            Some("cert") => {
                let key = file.with_extension("key");
                host.identity = Some((file, Some(key)));
            }
            _ => {}
        }
    }
    Ok(())
}

fn from_table(table: &Table, default: Host, folder: &Path) -> Result<Vec<Host>> {
    let mut hosts = Vec::new();
    if let Some(named) = table.get("host").and_then(Value::as_table) {
        for (url, settings) in named {
            let settings = settings.as_table().ok_or_else(|| RegistryError::Configuration {
                what: format!("host {url:?} is no table"),
                source: None,
            })?;
            hosts.push(host(url, settings, folder)?);
        }
    }
    let last = match table.get("server").and_then(Value::as_str) {
        Some(server) => host(server, table, folder)?,
        None => {
            let mut last = default;
            apply_settings(&mut last, table, folder)?;
            last
        }
    };
    hosts.push(last);
    Ok(hosts)
}

fn host(text: &str, settings: &Table, folder: &Path) -> Result<Host> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&with_scheme).map_err(|source| bad(format!("host {text:?}"), source))?;
    let name = url
        .host_str()
        .ok_or_else(|| RegistryError::Configuration { what: format!("host {text:?}"), source: None })?;
    let authority = url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
    let mut host = Host { scheme: Some(url.scheme().to_owned()), ..Host::plain(&authority) };
    host.skip_verify = is_loopback(&authority);
    let path = url.path().trim_end_matches('/');
    let overrides = settings.get("override_path").and_then(Value::as_bool).unwrap_or(false);
    host.path = if overrides || path.ends_with("/v2") { path.to_owned() } else { format!("{path}/v2") };
    apply_settings(&mut host, settings, folder)?;
    Ok(host)
}

fn apply_settings(host: &mut Host, settings: &Table, folder: &Path) -> Result<()> {
    if let Some(list) = settings.get("capabilities").and_then(Value::as_array) {
        let has = |name: &str| list.iter().any(|v| v.as_str() == Some(name));
        (host.can_pull, host.can_resolve, host.can_push) = (has("pull"), has("resolve"), has("push"));
    }
    if let Some(skip) = settings.get("skip_verify").and_then(Value::as_bool) {
        host.skip_verify = skip;
    }
    for file in texts(settings.get("ca")) {
        host.authorities.push(folder.join(file));
    }
    match settings.get("client") {
        Some(Value::String(file)) => host.identity = Some((folder.join(file), None)),
        Some(Value::Array(list)) => match list.first() {
            Some(Value::String(file)) => host.identity = Some((folder.join(file), None)),
            Some(Value::Array(pair)) => {
                let files: Vec<PathBuf> =
                    pair.iter().filter_map(Value::as_str).map(|file| folder.join(file)).collect();
                host.identity = files.first().map(|cert| (cert.clone(), files.get(1).cloned()));
            }
            _ => {}
        },
        _ => {}
    }
    if let Some(headers) = settings.get("header").and_then(Value::as_table) {
        for (name, value) in headers {
            let parsed: HeaderName =
                name.parse().map_err(|source| bad(format!("header {name:?}"), source))?;
            for value in texts(Some(value)) {
                let mut value =
                    HeaderValue::from_str(value).map_err(|source| bad(format!("header {name:?}"), source))?;
                value.set_sensitive(true);
                host.headers.append(parsed.clone(), value);
            }
        }
    }
    Ok(())
}

fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

pub(crate) fn bad(
    what: String,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> RegistryError {
    RegistryError::Configuration { what, source: Some(source.into()) }
}
