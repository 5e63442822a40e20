//! `start`: a shim of its own for a container, or the address of the one that its group has.

use std::fs::{self, DirBuilder, File};
use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use prost::Message;
use prost_types::Any;
use proto::containerd::runtime::bootstrap::v1::BootstrapParams;
use proto::containerd::types::{RuntimeInfo, RuntimeVersion};
use sha2::{Digest, Sha256};

use crate::args::Args;
use crate::container::Config;
use crate::descriptors;
use crate::files::write_atomic;
use crate::options::Options;
use crate::spawn::{Extras, spawn};

/// Where sockets are unless the daemon names another directory.
const SOCKET_DIR: &str = "/run/containerd/s";

/// Starts the shim of the bundle we are in and prints its address.
pub(crate) fn start(args: &Args) -> anyhow::Result<()> {
    if args.id.is_empty() || args.namespace.is_empty() {
        bail!("start needs -namespace and -id");
    }
    let params = Params::read(args);
    let bundle = std::env::current_dir().context("find the bundle")?;
    let config = Config::load(&bundle);
    let name = config.group().unwrap_or(&args.id);
    let dir = params.socket_dir.clone().unwrap_or_else(|| PathBuf::from(SOCKET_DIR));
    make_private(&dir)?;
    let hash = Sha256::digest(format!("{}/{}/{name}", args.address, args.namespace));
    let mut socket = dir.join(hex::encode(hash));
    if socket.as_os_str().len() > 106 {
        // The kernel takes no longer path; a shorter name is as good.
        socket = dir.join(hex::encode(&hash[..16]));
    }
    let address = format!("unix://{}", socket.display());
    // Before there is a socket: whoever clears away after us must know what to look for.
    write_atomic(&bundle.join("address"), address.as_bytes(), 0o600).context("write the address file")?;
    // A member of a group whose shim runs; without a group, the id's own shim that was started twice.
    if UnixStream::connect(&socket).is_err() {
        drop(fs::remove_file(&socket));
        let listener =
            UnixListener::bind(&socket).with_context(|| format!("listen on {}", socket.display()))?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).context("protect the socket")?;
        let started = launch(args, &address, &listener);
        if let Err(error) = started.and_then(|pid| place(pid, &params.options)) {
            drop(fs::remove_file(&socket));
            return Err(error);
        }
    }
    let mut stdout = std::io::stdout();
    stdout.write_all(address.as_bytes()).and_then(|()| stdout.flush()).context("print the address")
}

/// The long-lived process: the same binary without an action. It must not inherit our stdout and stderr, for the
/// daemon reads those to their end.
fn launch(args: &Args, address: &str, listener: &UnixListener) -> anyhow::Result<i32> {
    let exe = std::env::current_exe().context("find the shim's own binary")?;
    let mut command = Command::new(exe);
    command.args(["-namespace", &args.namespace, "-id", &args.id, "-address", address]);
    if args.debug {
        command.arg("-debug");
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let pass = vec![(listener.as_fd(), descriptors::LISTENER)];
    spawn(&mut command, Extras { pass, session: true }).context("start the shim")
}

/// The out-of-memory score, one worse than the daemon's, and the cgroup that the options ask for.
fn place(pid: i32, options: &Options) -> anyhow::Result<()> {
    let parent = nix::unistd::getppid();
    let score = fs::read_to_string(format!("/proc/{parent}/oom_score_adj")).unwrap_or_default();
    if let Ok(score) = score.trim().parse::<i32>() {
        let worse = (score + 1).min(1000).to_string();
        // May be refused to a daemon in a user namespace; the shim works all the same.
        let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), worse);
    }
    if !options.shim_cgroup.is_empty() {
        let procs = shim_cgroup_dir(&options.shim_cgroup).join("cgroup.procs");
        fs::write(&procs, pid.to_string())
            .with_context(|| format!("put the shim into {}", procs.display()))?;
    }
    Ok(())
}

fn shim_cgroup_dir(path: &str) -> PathBuf {
    let root = Path::new("/sys/fs/cgroup");
    let root = if root.join("cgroup.controllers").exists() { root.to_owned() } else { root.join("systemd") };
    PathBuf::from(format!("{}/{}", root.display(), path.trim_start_matches('/')))
}

/// Makes the sockets' directory, for us alone.
fn make_private(dir: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o711).create(dir.parent().unwrap_or(dir));
    made.with_context(|| format!("create {}", dir.display()))?;
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        other => return other.with_context(|| format!("create {}", dir.display())),
    }
    let meta = fs::symlink_metadata(dir).with_context(|| format!("examine {}", dir.display()))?;
    if !meta.is_dir() || meta.uid() != nix::unistd::geteuid().as_raw() {
        bail!("{} isn't a directory of ours", dir.display());
    }
    if meta.mode() & 0o777 != 0o700 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
            .context("protect the socket directory")?;
    }
    Ok(())
}

/// What the daemon wrote to stdin: its parameters (from 2.3 on), or just the runtime options.
#[derive(Default)]
struct Params {
    socket_dir: Option<PathBuf>,
    options: Options,
}

impl Params {
    fn read(args: &Args) -> Self {
        let mut bytes = Vec::new();
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            drop(stdin.lock().take(1 << 20).read_to_end(&mut bytes));
        }
        if let Ok(params) = BootstrapParams::decode(bytes.as_slice())
            && params.instance_id == args.id
            && params.namespace == args.namespace
        {
            let values = params.extensions.iter().filter_map(|e| e.value.as_ref());
            let options = values.filter_map(|any| Options::from_any(Some(any)).ok());
            return Self {
                socket_dir: params.socket_dir.filter(|dir| dir.starts_with('/')).map(PathBuf::from),
                options: options.into_iter().find(|o| *o != Options::default()).unwrap_or_default(),
            };
        }
        let any = Any::decode(bytes.as_slice()).ok();
        Self { socket_dir: None, options: Options::from_any(any.as_ref()).unwrap_or_default() }
    }
}

/// `-info`: who we are, as a `RuntimeInfo` on stdout.
pub(crate) fn info() -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    if !std::io::stdin().is_terminal() {
        drop(std::io::stdin().lock().take(1 << 20).read_to_end(&mut bytes));
    }
    let info = RuntimeInfo {
        name: "io.containerd.runcrs.v2".into(),
        version: Some(RuntimeVersion { version: env!("CARGO_PKG_VERSION").into(), revision: String::new() }),
        options: Any::decode(bytes.as_slice()).ok().filter(|any| !any.type_url.is_empty()),
        ..RuntimeInfo::default()
    };
    let mut stdout = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    stdout.write_all(&info.encode_to_vec()).context("print the info")
}
