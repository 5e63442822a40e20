//! The daemon's settings: dockerd's flags and daemon.json.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use clap::Parser;
use serde::Deserialize;

/// The Docker Engine API over containerd
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "engined", version, about)]
pub struct Args {
    /// Daemon socket(s) to listen on (unix://PATH, tcp://HOST:PORT, fd://)
    #[arg(short = 'H', long = "host", value_name = "ADDRESS")]
    pub hosts: Vec<String>,
    /// Root directory of persistent state
    #[arg(long)]
    pub data_root: Option<PathBuf>,
    /// Root directory of run time state
    #[arg(long)]
    pub exec_root: Option<PathBuf>,
    /// File for the daemon's pid
    #[arg(short, long)]
    pub pidfile: Option<PathBuf>,
    /// Configuration file
    #[arg(long)]
    pub config_file: Option<PathBuf>,
    /// Socket of the containerd to use; without it containerd-rs is used, and started if need be
    #[arg(long)]
    pub containerd: Option<PathBuf>,
    /// containerd namespace of the containers
    #[arg(long)]
    pub containerd_namespace: Option<String>,
    /// Register a further OCI runtime
    #[arg(long, value_name = "NAME=PATH")]
    pub add_runtime: Vec<String>,
    /// Runtime of containers that don't ask for one
    #[arg(long)]
    pub default_runtime: Option<String>,
    /// Mirror of Docker Hub
    #[arg(long, value_name = "URL")]
    pub registry_mirror: Vec<String>,
    /// Registry that may be spoken to without TLS or with an unknown certificate
    #[arg(long, value_name = "HOST")]
    pub insecure_registry: Vec<String>,
    /// Certificates of registries (DIR/HOST:PORT/ca.crt, client.cert, client.key)
    #[arg(long, value_name = "DIR", default_value = "/etc/docker/certs.d")]
    pub registry_certs_dir: PathBuf,
    /// Address pool for networks (base=CIDR,size=N)
    #[arg(long, value_name = "POOL")]
    pub default_address_pool: Vec<String>,
    /// Address of the default bridge (CIDR)
    #[arg(long)]
    pub bip: Option<String>,
    /// Log driver of containers that don't ask for one
    #[arg(long)]
    pub log_driver: Option<String>,
    /// Option of the default log driver
    #[arg(long = "log-opt", value_name = "KEY=VALUE")]
    pub log_opts: Vec<String>,
    /// Group of the Unix socket
    #[arg(short = 'G', long)]
    pub group: Option<String>,
    /// Use TLS
    #[arg(long)]
    pub tls: bool,
    /// Use TLS and check clients
    #[arg(long)]
    pub tlsverify: bool,
    /// Certificates of authorities for clients
    #[arg(long)]
    pub tlscacert: Option<PathBuf>,
    /// The daemon's certificate
    #[arg(long)]
    pub tlscert: Option<PathBuf>,
    /// The key of the certificate
    #[arg(long)]
    pub tlskey: Option<PathBuf>,
    /// Log more
    #[arg(short = 'D', long)]
    pub debug: bool,
}

/// A runtime of daemon.json.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeEntry {
    /// The binary, by path or name.
    pub path: String,
    /// Arguments before the command.
    #[serde(rename = "runtimeArgs")]
    pub args: Vec<String>,
    /// A shim in place of a binary.
    #[serde(rename = "runtimeType")]
    pub shim: String,
}

/// One address pool.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PoolEntry {
    /// The whole range, CIDR.
    pub base: String,
    /// Prefix length of each network.
    pub size: u8,
}

/// daemon.json. An unknown key is an error.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct File {
    hosts: Vec<String>,
    data_root: Option<PathBuf>,
    exec_root: Option<PathBuf>,
    pidfile: Option<PathBuf>,
    containerd: Option<PathBuf>,
    containerd_namespace: Option<String>,
    runtimes: BTreeMap<String, RuntimeEntry>,
    default_runtime: Option<String>,
    registry_mirrors: Vec<String>,
    insecure_registries: Vec<String>,
    default_address_pools: Vec<PoolEntry>,
    bip: Option<String>,
    log_driver: Option<String>,
    log_opts: HashMap<String, String>,
    group: Option<String>,
    debug: bool,
    labels: Vec<String>,
}

/// The settings in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen.
    pub hosts: Vec<String>,
    /// Persistent state.
    pub data_root: PathBuf,
    /// State that a reboot may take.
    pub exec_root: PathBuf,
    /// File for the pid.
    pub pidfile: Option<PathBuf>,
    /// containerd's socket; none: containerd-rs, found or started.
    pub containerd: Option<PathBuf>,
    /// containerd's namespace.
    pub namespace: String,
    /// Runtimes added to the known ones.
    pub runtimes: BTreeMap<String, RuntimeEntry>,
    /// Runtime of containers that don't ask for one.
    pub default_runtime: String,
    /// Mirrors of Docker Hub.
    pub registry_mirrors: Vec<String>,
    /// Registries without (proper) TLS.
    pub insecure_registries: Vec<String>,
    /// Certificates by registry.
    pub registry_certificates: PathBuf,
    /// Pools for networks; empty: docker's.
    pub address_pools: Vec<PoolEntry>,
    /// Address of the default bridge.
    pub bip: Option<String>,
    /// Log driver by default.
    pub log_driver: String,
    /// Options of the default log driver.
    pub log_opts: HashMap<String, String>,
    /// Group of the Unix socket.
    pub group: Option<String>,
    /// The daemon's labels, shown by info.
    pub labels: Vec<String>,
    /// Log more.
    pub debug: bool,
}

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("read configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no JSON, has an unknown key or a wrong type.
    #[error("unable to configure the engine with file {}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A flag's value is wrong.
    #[error("{0}")]
    Flag(String),
}

impl Config {
    /// Flags over file over defaults.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(args: Args) -> Result<Self, ConfigError> {
        let file = read_file(args.config_file.as_deref())?;
        if args.tls
            || args.tlsverify
            || args.tlscacert.is_some()
            || args.tlscert.is_some()
            || args.tlskey.is_some()
        {
            return Err(ConfigError::Flag(
                "TLS is not supported by this version: use a Unix socket, or a proxy in front of it".into(),
            ));
        }
        let mut runtimes = file.runtimes;
        for text in &args.add_runtime {
            let (name, path) = pair(text, "add-runtime")?;
            runtimes.insert(name, RuntimeEntry { path, ..RuntimeEntry::default() });
        }
        let mut log_opts = file.log_opts;
        for text in &args.log_opts {
            let (key, value) = pair(text, "log-opt")?;
            log_opts.insert(key, value);
        }
        let mut address_pools = file.default_address_pools;
        for text in &args.default_address_pool {
            address_pools.push(parse_pool(text)?);
        }
        let hosts = if args.hosts.is_empty() { file.hosts } else { args.hosts };
        Ok(Self {
            hosts: if hosts.is_empty() { vec!["unix:///run/engined.sock".into()] } else { hosts },
            data_root: args.data_root.or(file.data_root).unwrap_or_else(|| "/var/lib/engine".into()),
            exec_root: args.exec_root.or(file.exec_root).unwrap_or_else(|| "/run/engine".into()),
            pidfile: args.pidfile.or(file.pidfile),
            containerd: args.containerd.or(file.containerd),
            namespace: args
                .containerd_namespace
                .or(file.containerd_namespace)
                .unwrap_or_else(|| "engine".into()),
            runtimes,
            default_runtime: args
                .default_runtime
                .or(file.default_runtime)
                .unwrap_or_else(|| "runc-rs".into()),
            registry_mirrors: [file.registry_mirrors, args.registry_mirror].concat(),
            insecure_registries: [file.insecure_registries, args.insecure_registry].concat(),
            registry_certificates: args.registry_certs_dir,
            address_pools,
            bip: args.bip.or(file.bip),
            log_driver: args.log_driver.or(file.log_driver).unwrap_or_else(|| "json-file".into()),
            log_opts,
            group: args.group.or(file.group),
            labels: file.labels,
            debug: args.debug || file.debug,
        })
    }
}

fn read_file(path: Option<&Path>) -> Result<File, ConfigError> {
    let default = Path::new("/etc/engine/daemon.json");
    let text = match std::fs::read(path.unwrap_or(default)) {
        Ok(text) => text,
        // Only a file that was asked for must be there.
        Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(File::default());
        }
        Err(source) => return Err(ConfigError::Read { path: path.unwrap_or(default).into(), source }),
    };
    serde_json::from_slice(&text)
        .map_err(|source| ConfigError::Parse { path: path.unwrap_or(default).into(), source })
}

fn pair(text: &str, flag: &str) -> Result<(String, String), ConfigError> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(ConfigError::Flag(format!(
            "invalid argument {text:?} for \"--{flag}\": NAME=VALUE is wanted"
        ))),
    }
}

fn parse_pool(text: &str) -> Result<PoolEntry, ConfigError> {
    let bad = || {
        ConfigError::Flag(format!(
            "invalid argument {text:?} for \"--default-address-pool\": base=CIDR,size=N is wanted"
        ))
    };
    let (mut base, mut size) = (None, None);
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("base", value)) => base = Some(value.to_owned()),
            Some(("size", value)) => size = value.parse().ok(),
            _ => return Err(bad()),
        }
    }
    Ok(PoolEntry { base: base.ok_or_else(bad)?, size: size.ok_or_else(bad)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file_and_lists_join() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("daemon.json");
        std::fs::write(&path, r#"{"data-root":"/a","exec-root":"/e","registry-mirrors":["x"],"runtimes":{"crun":{"path":"crun","runtimeArgs":["--q"]}}}"#).expect("write");
        let args = Args::parse_from([
            "engined",
            "--config-file",
            path.to_str().expect("utf-8"),
            "--data-root",
            "/b",
            "--registry-mirror",
            "y",
            "--add-runtime",
            "mine=/bin/mine",
        ]);
        let config = Config::load(args).expect("load");
        assert_eq!(
            (config.data_root.as_path(), config.exec_root.as_path()),
            (Path::new("/b"), Path::new("/e"))
        );
        assert_eq!(config.registry_mirrors, ["x", "y"]);
        assert_eq!(config.runtimes["crun"].args, ["--q"]);
        assert_eq!(config.runtimes["mine"].path, "/bin/mine");
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("daemon.json");
        std::fs::write(&path, r#"{"bogus":1}"#).expect("write");
        let args = Args { config_file: Some(path), ..Args::default() };
        assert!(matches!(Config::load(args), Err(ConfigError::Parse { .. })));
    }

    #[test]
    fn a_missing_file_is_an_error_only_when_asked_for() {
        assert!(Config::load(Args { config_file: Some("/nonexistent".into()), ..Args::default() }).is_err());
        assert!(Config::load(Args { add_runtime: vec!["noequals".into()], ..Args::default() }).is_err());
    }
}
