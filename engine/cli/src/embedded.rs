//! Starting the daemon where none listens, so that a newcomer needs no set-up.
//!
//! The daemon is detached: a session of its own, its output in a log file, and it goes on after us. Two
//! commands at once start one daemon: a lock beside the socket decides who.
#![allow(unsafe_code, reason = "setsid between fork and exec")]

use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::client::Client;
use crate::error::ConnectError;
use crate::host::Host;

const PATIENCE: Duration = Duration::from_secs(30);
const LOG: &str = "/var/log/engined.log";

/// A client of the daemon, which is started if it is local, not there, and its program is.
/// `ENGINE_AUTOSTART=0` keeps it from being started.
pub(crate) async fn client(host: Host) -> anyhow::Result<Client> {
    let missing = match Client::connect(host.clone()).await {
        Ok(client) => return Ok(client),
        Err(e) => e,
    };
    let (Host::Unix(socket), true) = (&host, nobody_listens(&missing)) else { return Err(missing) };
    if std::env::var_os("ENGINE_AUTOSTART").is_some_and(|v| v == "0") {
        return Err(missing);
    }
    let Some(program) = program() else { return Err(missing) };
    if let Some(dir) = socket.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    }
    let lock = lock(socket)?;
    // Somebody else may have started it while we waited for the lock.
    let client = match Client::connect(host.clone()).await {
        Ok(client) => client,
        Err(_) => start(&program, &host).await?,
    };
    drop(lock);
    Ok(client)
}

fn nobody_listens(error: &anyhow::Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    error
        .downcast_ref::<ConnectError>()
        .is_some_and(|e| matches!(e.source.kind(), NotFound | ConnectionRefused))
}

/// `engined` beside this program, else on PATH.
fn program() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok()?.parent()?.join("engined");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("engined"));
    std::iter::once(beside).chain(on_path).find(|p| p.is_file())
}

fn lock(socket: &Path) -> anyhow::Result<File> {
    let path = socket.with_extension("start.lock");
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = open.with_context(|| format!("open {}", path.display()))?;
    file.lock().with_context(|| format!("lock {}", path.display()))?;
    Ok(file)
}

async fn start(program: &Path, host: &Host) -> anyhow::Result<Client> {
    let (log, log_path) = log_file(host)?;
    let begun = Instant::now();
    let mut daemon = spawn(program, host, &log)?;
    loop {
        if let Ok(client) = Client::connect(host.clone()).await {
            let millis = begun.elapsed().as_millis();
            eprintln!("engine: started engined on {host} in {millis} ms (log: {})", log_path.display());
            return Ok(client);
        }
        if let Some(status) = daemon.try_wait()? {
            bail!("engined ended at once ({status}); its log is {}", log_path.display());
        }
        if begun.elapsed() > PATIENCE {
            bail!(
                "engined does not answer after {} s; its log is {}",
                PATIENCE.as_secs(),
                log_path.display()
            );
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn spawn(program: &Path, host: &Host, log: &File) -> anyhow::Result<Child> {
    let mut command = Command::new(program);
    command.arg("-H").arg(host.to_string()).current_dir("/").stdin(Stdio::null());
    command.stdout(log.try_clone()?).stderr(log.try_clone()?);
    // SAFETY: setsid is async-signal-safe and touches no memory of ours.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            Ok(())
        });
    }
    command.spawn().with_context(|| format!("start {}", program.display()))
}

fn log_file(host: &Host) -> anyhow::Result<(File, PathBuf)> {
    let beside = match host {
        Host::Unix(socket) => socket.with_extension("log"),
        Host::Tcp(_) => PathBuf::from(LOG),
    };
    let first = if host.to_string() == crate::host::DEFAULT { PathBuf::from(LOG) } else { beside.clone() };
    for path in [first, beside] {
        if let Ok(file) = OpenOptions::new().create(true).append(true).open(&path) {
            return Ok((file, path));
        }
    }
    bail!("no place for engined's log")
}
