//! Signals: their names, and who gets them.

use std::str::FromStr;

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::state::State;
use super::status::Status;
use super::store::Entry;
use crate::error::Refusal;

/// `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`.
pub(crate) fn parse(text: &str) -> anyhow::Result<i32> {
    let unknown = || format!("unknown signal {text:?}");
    if let Ok(number) = text.parse::<i32>() {
        if !(0..=64).contains(&number) {
            bail!(unknown());
        }
        return Ok(number);
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    // As containers' programs count them: the C library keeps the first ones for itself.
    let (min, max) = (34, 64);
    if let Some(rest) = name.strip_prefix("RTMIN") {
        let more = if rest.is_empty() {
            0
        } else {
            rest.trim_start_matches('+').parse::<i32>().with_context(unknown)?
        };
        return if (0..=max - min).contains(&more) { Ok(min + more) } else { bail!(unknown()) };
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        let less = if rest.is_empty() {
            0
        } else {
            rest.trim_start_matches('-').parse::<i32>().with_context(unknown)?
        };
        return if (0..=max - min).contains(&less) { Ok(max - less) } else { bail!(unknown()) };
    }
    match name {
        "IOT" => Ok(libc::SIGABRT),
        "CLD" => Ok(libc::SIGCHLD),
        "POLL" => Ok(libc::SIGIO),
        _ => {
            Signal::from_str(&format!("SIG{name}")).map(|s| s as i32).map_err(|_| anyhow::anyhow!(unknown()))
        }
    }
}

/// Sends to the init, or to every process of the container.
pub(crate) fn send(entry: &Entry, state: &State, signal: i32, all: bool) -> anyhow::Result<()> {
    let status = Status::of(entry, state);
    if all {
        return send_all(state, signal);
    }
    let Some(init) = state.init.as_ref().filter(|_| status != Status::Stopped) else {
        return Err(Refusal::NotRunning.into());
    };
    raise(init.pid, signal).context("unable to signal init")?;
    thaw_killed(state, status, signal)
}

/// Frozen processes of v1 die only once they may run.
fn thaw_killed(state: &State, status: Status, signal: i32) -> anyhow::Result<()> {
    if status == Status::Paused && signal == libc::SIGKILL {
        state.cgroup.thaw()?;
    }
    Ok(())
}

fn send_all(state: &State, signal: i32) -> anyhow::Result<()> {
    if signal == libc::SIGKILL {
        return Ok(state.cgroup.kill_all()?);
    }
    for pid in state.cgroup.pids()? {
        raise(pid, signal).context("unable to signal a process")?;
    }
    Ok(())
}

/// Any number, also real-time ones; a process that is gone meanwhile is no error.
fn raise(pid: i32, signal: i32) -> nix::Result<()> {
    match crate::sys::signals::send(Pid::from_raw(pid), signal) {
        Err(Errno::ESRCH) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGKILL", 9),
            ("sighup", 1),
            ("0", 0),
            ("64", 64),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
        ] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
        for text in ["", "65", "-1", "SIGNONE", "RTMIN+99", "RTMIN-1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
