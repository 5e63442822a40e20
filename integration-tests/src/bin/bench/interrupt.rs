//! Ctrl-C ends a bench between two samples, so that every guard cleans up behind it.
//!
//! A terminal sends it to the whole process group, daemons under test included, which the guards still
//! need. So the bench runs as a child in a group of its own; the parent passes the wish on.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

/// Set in the child's environment.
const INSIDE: &str = "BENCH_INSIDE";

static ASKED: AtomicBool = AtomicBool::new(false);

/// In the parent: runs the bench as its child and gives the child's exit code. In the child: takes SIGINT
/// and SIGTERM over and gives nothing. Call it before any thread is started; children get an empty mask.
///
/// # Errors
/// The kernel refuses the mask, or the child can't be started.
pub(crate) fn shield() -> Result<Option<ExitCode>> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGINT);
    set.add(Signal::SIGTERM);
    set.thread_block()?;
    if std::env::var_os(INSIDE).is_none() {
        let program = std::env::current_exe().context("find the bench")?;
        let mut child = Command::new(program).env(INSIDE, "1").process_group(0).spawn()?;
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        std::thread::spawn(move || {
            while set.wait().is_ok() {
                let _ = kill(pid, Signal::SIGTERM);
            }
        });
        let code = child.wait()?.code().and_then(|code| u8::try_from(code).ok());
        return Ok(Some(code.map_or(ExitCode::FAILURE, ExitCode::from)));
    }
    std::thread::spawn(move || {
        while set.wait().is_ok() {
            if !ASKED.swap(true, Ordering::Relaxed) {
                eprintln!("\nbench: stopping after this sample, then cleaning up");
            }
        }
    });
    Ok(None)
}

/// Fails once an end was asked for.
///
/// # Errors
/// Somebody pressed ctrl-C or sent SIGTERM.
pub(crate) fn check() -> Result<()> {
    if ASKED.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}
