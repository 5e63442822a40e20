//! `delete`: what a dead shim left behind, and how its container ended. Also run after every normal end, when
//! nothing is left; then it does nothing.

use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use prost::Message;
use proto::containerd::task::v2::DeleteResponse;

use crate::args::Args;
use crate::exit_record::{Exit, now};
use crate::files::read_pid;
use crate::options::Options;
use crate::rootfs;
use crate::runtime::Runtime;

/// The daemon gives us 5 s in all.
const PATIENCE: Duration = Duration::from_secs(4);

/// Cleans up and prints a `DeleteResponse`. The bundle itself is the daemon's to remove.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.id.is_empty() || args.namespace.is_empty() {
        bail!("delete needs -namespace and -id");
    }
    // The bundle, which is our directory too, may be gone already.
    let bundle =
        args.bundle.clone().or_else(|| std::env::current_dir().ok()).unwrap_or_else(|| PathBuf::from("/"));
    std::env::set_current_dir("/").context("leave the bundle")?;
    let pid = read_pid(&bundle.join("init.pid"));
    let exit = Exit::load(&bundle);
    // After a normal end the bundle may be gone. Of a damaged one, any of these says that there was a container.
    if ["config.json", "init.pid", "options.json"].iter().any(|name| bundle.join(name).exists()) {
        let runtime = Runtime::new(&Options::load(&bundle), &args.namespace, &bundle);
        force_delete(&runtime, &args.id);
        rootfs::disassemble(&bundle);
    }
    remove_stale_socket(&bundle);
    let response = DeleteResponse {
        pid: pid.unwrap_or(0) as u32,
        exit_status: exit.map_or(137, |exit| exit.status),
        exited_at: Some(exit.map_or_else(now, |exit| exit.time())),
    };
    let mut stdout = std::fs::File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    stdout.write_all(&response.encode_to_vec()).context("print the response")
}

/// A shim that was killed left its socket. One that answers has containers of a group to serve yet.
fn remove_stale_socket(bundle: &Path) {
    let address = std::fs::read_to_string(bundle.join("address")).unwrap_or_default();
    if let Some(socket) = address.strip_prefix("unix:///").map(|path| Path::new("/").join(path))
        && UnixStream::connect(&socket).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
    {
        drop(std::fs::remove_file(socket));
    }
}

/// Kills and removes the container; one that is gone is fine, and so is a runtime that is.
fn force_delete(runtime: &Runtime, id: &str) {
    let mut command = runtime.command(&["delete", "--force", id]);
    let Ok(mut child) = command.stderr(Stdio::null()).spawn() else { return };
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            _ => return,
        }
    }
    drop(child.kill());
}
