//! Ctrl-C ends a bench between two samples, so that every guard cleans up behind it.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use nix::sys::signal::{SigSet, Signal};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Takes SIGINT and SIGTERM over; call it before any thread is started. Children get an empty mask.
///
/// # Errors
/// The kernel refuses the mask.
pub(crate) fn listen() -> Result<()> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGINT);
    set.add(Signal::SIGTERM);
    set.thread_block()?;
    std::thread::spawn(move || {
        while set.wait().is_ok() {
            if !ASKED.swap(true, Ordering::Relaxed) {
                eprintln!("\nbench: stopping after this sample, then cleaning up");
            }
        }
    });
    Ok(())
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
