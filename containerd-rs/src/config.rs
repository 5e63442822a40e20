//! The configuration: containerd's TOML file (versions 2 to 4), then the flags.
//!
//! Keys that don't apply are named in a warning and otherwise ignored, so that a file written for
//! the original loads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// Where the file is looked for; it need not exist there.
pub const DEFAULT_PATH: &str = "/etc/containerd-rs/config.toml";
const DEFAULT_ROOT: &str = "/var/lib/containerd-rs";
const DEFAULT_STATE: &str = "/run/containerd-rs";
const SOCKET_NAME: &str = "containerd.sock";
const VERSIONS: std::ops::RangeInclusive<u32> = 2..=4;
/// Largest configuration file that is read, in bytes.
const MAX_SIZE: u64 = 4 << 20;

/// Flags that win over the configuration file.
#[derive(Debug, clap::Args)]
pub(crate) struct Overrides {
    /// Path of the configuration file
    #[arg(long, short = 'c', value_name = "PATH", default_value = DEFAULT_PATH)]
    pub(crate) config: PathBuf,
    /// Address of the gRPC socket
    #[arg(long, short = 'a', value_name = "PATH", global = true)]
    pub(crate) address: Option<PathBuf>,
    /// Directory of what lasts
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Directory of what a reboot may take
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// trace, debug, info, warn or error (fatal and panic show errors alone)
    #[arg(long, short = 'l', value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
}

/// What the daemon runs with.
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    /// Version of the format.
    pub version: u32,
    /// Directory of what lasts: content, metadata, snapshots.
    pub root: PathBuf,
    /// Directory of what a reboot may take: sockets, bundles.
    pub state: PathBuf,
    /// The daemon's own `oom_score_adj`; 0 leaves it as it is.
    pub oom_score: i32,
    /// The gRPC socket.
    pub grpc: Grpc,
    /// The socket that shims forward their events to.
    pub ttrpc: Ttrpc,
    /// Logging.
    pub debug: Debug,
    /// Limits of time by name, such as `io.containerd.timeout.shim.cleanup`, in Go's notation.
    pub timeouts: BTreeMap<String, String>,
    /// Tables by plugin (`io.containerd.gc.v1.scheduler`); each part reads its own.
    pub plugins: BTreeMap<String, toml::Value>,
    /// Full names of keys in the file that mean nothing here.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

/// The gRPC socket.
#[derive(Clone, Debug, Serialize)]
pub struct Grpc {
    /// Path of the socket.
    pub address: PathBuf,
    /// Owner of the socket.
    pub uid: u32,
    /// Group of the socket, which may use it.
    pub gid: u32,
    /// Largest message taken, in bytes.
    pub max_recv_message_size: usize,
    /// Largest message sent, in bytes.
    pub max_send_message_size: usize,
}

/// The ttrpc socket.
#[derive(Clone, Debug, Serialize)]
pub struct Ttrpc {
    /// Path of the socket; shims are told it.
    pub address: PathBuf,
}

/// Logging.
#[derive(Clone, Debug, Serialize)]
pub struct Debug {
    /// trace, debug, info, warn, error, fatal or panic.
    pub level: String,
    /// text or json.
    pub format: String,
}

/// The file as written. Every key that is missing keeps its default.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    version: Option<u32>,
    root: Option<PathBuf>,
    state: Option<PathBuf>,
    oom_score: Option<i32>,
    grpc: GrpcTable,
    ttrpc: TtrpcTable,
    debug: DebugTable,
    timeouts: BTreeMap<String, String>,
    plugins: BTreeMap<String, toml::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GrpcTable {
    address: Option<PathBuf>,
    uid: Option<u32>,
    gid: Option<u32>,
    max_recv_message_size: Option<usize>,
    max_send_message_size: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TtrpcTable {
    address: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DebugTable {
    level: Option<String>,
    format: Option<String>,
}

const KNOWN: &[(&str, &[&str])] = &[
    ("", &["version", "root", "state", "oom_score", "grpc", "ttrpc", "debug", "timeouts", "plugins"]),
    ("grpc", &["address", "uid", "gid", "max_recv_message_size", "max_send_message_size"]),
    ("ttrpc", &["address"]),
    ("debug", &["level", "format"]),
];

impl Default for Config {
    fn default() -> Self {
        Self::with_directories(DEFAULT_ROOT.into(), DEFAULT_STATE.into())
    }
}

impl Config {
    /// The defaults under other directories.
    pub fn with_directories(root: PathBuf, state: PathBuf) -> Self {
        let address = state.join(SOCKET_NAME);
        Self {
            version: 3,
            root,
            state,
            oom_score: 0,
            ttrpc: Ttrpc { address: ttrpc_address(&address) },
            grpc: Grpc {
                address,
                uid: 0,
                gid: 0,
                max_recv_message_size: proto_services::MAX_MESSAGE_SIZE,
                max_send_message_size: proto_services::MAX_MESSAGE_SIZE,
            },
            debug: Debug { level: "info".into(), format: "text".into() },
            timeouts: BTreeMap::new(),
            plugins: BTreeMap::new(),
            unknown: Vec::new(),
        }
    }

    /// Reads the file and puts the flags on top.
    ///
    /// # Errors
    /// The file can't be read (a missing one is an error only where a flag names it), isn't TOML,
    /// has a key of the wrong type, or is of a version this daemon doesn't know.
    pub(crate) fn load(flags: &Overrides) -> anyhow::Result<Self> {
        let file = read(&flags.config).with_context(|| format!("load {}", flags.config.display()))?;
        let (file, unknown) = match file {
            Some(text) => parse(&text).with_context(|| format!("load {}", flags.config.display()))?,
            None => (File::default(), Vec::new()),
        };
        let root = flags.root.clone().or(file.root).unwrap_or_else(|| DEFAULT_ROOT.into());
        let state = flags.state.clone().or(file.state).unwrap_or_else(|| DEFAULT_STATE.into());
        let mut config = Self::with_directories(std::path::absolute(root)?, std::path::absolute(state)?);
        if let Some(address) = flags.address.clone().or(file.grpc.address) {
            config.grpc.address = std::path::absolute(address)?;
            config.ttrpc.address = ttrpc_address(&config.grpc.address);
        }
        if let Some(address) = file.ttrpc.address.filter(|address| !address.as_os_str().is_empty()) {
            config.ttrpc.address = std::path::absolute(address)?;
        }
        config.oom_score = file.oom_score.unwrap_or(config.oom_score);
        config.grpc.uid = file.grpc.uid.unwrap_or(config.grpc.uid);
        config.grpc.gid = file.grpc.gid.unwrap_or(config.grpc.gid);
        let size = |value: Option<usize>, default| value.filter(|size| *size > 0).unwrap_or(default);
        config.grpc.max_recv_message_size =
            size(file.grpc.max_recv_message_size, config.grpc.max_recv_message_size);
        config.grpc.max_send_message_size =
            size(file.grpc.max_send_message_size, config.grpc.max_send_message_size);
        let text = |value: Option<String>, default| value.filter(|text| !text.is_empty()).unwrap_or(default);
        config.debug.level = text(flags.log_level.clone().or(file.debug.level), config.debug.level);
        config.debug.format = text(file.debug.format, config.debug.format);
        config.timeouts = file.timeouts;
        config.plugins = file.plugins;
        config.unknown = unknown;
        if config.root == config.state {
            bail!("root and state must be different directories, both are {}", config.root.display());
        }
        Ok(config)
    }

    /// The configuration as a file that [`Config::load`] reads back.
    ///
    /// # Errors
    /// A value that TOML can't hold (a path that isn't UTF-8).
    pub(crate) fn to_toml(&self) -> anyhow::Result<String> {
        toml::to_string(self).context("write the configuration as TOML")
    }
}

fn ttrpc_address(grpc: &Path) -> PathBuf {
    let mut address = grpc.as_os_str().to_owned();
    address.push(".ttrpc");
    address.into()
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > MAX_SIZE => bail!("it is larger than {MAX_SIZE} bytes"),
        Ok(_) => Ok(Some(std::fs::read_to_string(path)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && path == Path::new(DEFAULT_PATH) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn parse(text: &str) -> anyhow::Result<(File, Vec<String>)> {
    let table: toml::Table = toml::from_str(text)?;
    let unknown = unknown_keys(&table);
    let file: File = table.try_into()?;
    match file.version {
        Some(version) if VERSIONS.contains(&version) => Ok((file, unknown)),
        Some(version) => bail!("unsupported config version {version}: 2, 3 and 4 are known"),
        None if file.plugins.is_empty() => Ok((file, unknown)),
        None => bail!("the key version is missing: plugin tables of version 1 are not supported"),
    }
}

fn unknown_keys(table: &toml::Table) -> Vec<String> {
    let mut unknown = Vec::new();
    for (name, keys) in KNOWN {
        let part =
            if name.is_empty() { Some(table) } else { table.get(*name).and_then(toml::Value::as_table) };
        for key in part.into_iter().flat_map(toml::Table::keys) {
            if !keys.contains(&key.as_str()) {
                unknown.push(if name.is_empty() { key.clone() } else { format!("{name}.{key}") });
            }
        }
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, change: impl FnOnce(&mut Overrides)) -> anyhow::Result<Config> {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("config.toml");
        std::fs::write(&path, text).expect("write");
        let mut flags = Overrides { config: path, address: None, root: None, state: None, log_level: None };
        change(&mut flags);
        Config::load(&flags)
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let text = "version = 2\nroot = '/r'\nstate = '/s'\n[debug]\nlevel = 'debug'\n[grpc]\ngid = 7";
        let config = load(text, |flags| flags.state = Some("/t".into())).expect("valid");
        assert_eq!((config.root.to_str(), config.state.to_str()), (Some("/r"), Some("/t")));
        assert_eq!(config.grpc.address, Path::new("/t/containerd.sock"));
        assert_eq!(config.ttrpc.address, Path::new("/t/containerd.sock.ttrpc"));
        assert_eq!((config.grpc.gid, config.debug.level.as_str()), (7, "debug"));
    }

    #[test]
    fn keys_without_meaning_are_named_not_refused() {
        let text = "version = 3\nimports = []\n[grpc]\ntcp_address = ''\n[plugins.'a.b']\nx = 1";
        let config = load(text, |_| ()).expect("valid");
        assert_eq!(config.unknown, ["imports", "grpc.tcp_address"]);
        assert!(config.plugins.contains_key("a.b"));
    }

    #[test]
    fn what_is_printed_loads_again() {
        let printed = Config::default().to_toml().expect("printable");
        let config = load(&printed, |_| ()).expect("valid");
        assert_eq!(config.unknown, [""; 0]);
        assert_eq!(config.to_toml().expect("printable"), printed);
    }

    #[test]
    fn a_bad_file_is_refused_with_its_name() {
        for text in ["version = 9", "root = 1", "[", "[plugins.x]\na = 1"] {
            let error = load(text, |_| ()).expect_err(text);
            assert!(format!("{error:#}").contains("config.toml"), "{error:#}");
        }
        let missing = load("", |flags| flags.config = "/nonexistent/c.toml".into()).expect_err("missing");
        assert!(format!("{missing:#}").contains("/nonexistent/c.toml"), "{missing:#}");
    }
}
