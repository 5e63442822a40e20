//! Where the daemon is: `-H`, `ENGINE_HOST`, `DOCKER_HOST`, else our socket.

use std::path::PathBuf;

use anyhow::bail;

/// The daemon's default socket.
pub(crate) const DEFAULT: &str = "unix:///run/engined.sock";

/// A daemon's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    Unix(PathBuf),
    /// host:port, without TLS.
    Tcp(String),
}

impl Host {
    /// The address of this command line.
    pub(crate) fn choose(flag: Option<&str>) -> anyhow::Result<Self> {
        let from = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
        let text = flag.map(str::to_owned).or_else(|| from("ENGINE_HOST")).or_else(|| from("DOCKER_HOST"));
        Self::parse(text.as_deref().unwrap_or(DEFAULT))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        match text.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(("tcp" | "http", rest)) if !rest.is_empty() => {
                let rest = rest.trim_end_matches('/');
                let port = rest.rsplit(':').next().is_some_and(|p| !p.is_empty() && p.parse::<u16>().is_ok());
                Ok(Self::Tcp(if port { rest.to_owned() } else { format!("{rest}:2375") }))
            }
            _ => bail!("unable to parse docker host `{text}`"),
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_docker_reads_them() {
        assert_eq!(Host::parse("unix:///a/b").unwrap(), Host::Unix("/a/b".into()));
        assert_eq!(Host::parse("tcp://1.2.3.4").unwrap(), Host::Tcp("1.2.3.4:2375".into()));
        assert_eq!(Host::parse("tcp://h:99").unwrap(), Host::Tcp("h:99".into()));
        assert!(Host::parse("rubbish").is_err());
    }
}
