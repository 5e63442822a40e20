//! `events`: counters now and then, and kills for memory as they happen. One JSON document a line.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use cgroups::{OomEvent, OomWatch};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use super::{id_of, print};
use crate::cli::{Args, Flag, Global, option, switch};
use crate::container::state::State;
use crate::container::stats;
use crate::container::status::Status;
use crate::container::store::Entry;

pub(super) const FLAGS: &[Flag] = &[
    option("interval", "DURATION", "set the stats collection interval (default: 5s)"),
    switch("stats", "display the container's stats then exit"),
];

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<i32> {
    let id = id_of(args, "events")?;
    let interval = args.text("interval")?.map_or(Ok(Duration::from_secs(5)), duration)?;
    let entry = Entry::open(&global.root, &id)?;
    let state = entry.read()?;
    if Status::of(&entry, &state) == Status::Stopped {
        bail!("container with id {id} is not running");
    }
    if args.is_set("stats") {
        return Ok(i32::from(print(&counters(&state)?)));
    }
    let mut watch = OomWatch::new(&state.cgroup)?;
    let mut next = Instant::now() + interval;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let mut fds = [PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context("wait for events"),
        }
        let told = match watch.drain()? {
            OomEvent::Killed => Some(format!("{}\n", json!({"type": "oom", "id": id}))),
            // The cgroup goes with the container.
            OomEvent::Gone => return Ok(0),
            OomEvent::Nothing => None,
        };
        let due = Instant::now() >= next;
        if due {
            next += interval;
        }
        let line = match due.then(|| counters(&state)) {
            Some(Ok(line)) => Some(line),
            Some(Err(_)) if !state.cgroup.exists() => return Ok(0),
            Some(Err(error)) => return Err(error),
            None => None,
        };
        for text in told.into_iter().chain(line) {
            if print(&text) != 0 {
                return Ok(1);
            }
        }
        if !state.cgroup.exists() {
            return Ok(0);
        }
    }
}

fn counters(state: &State) -> anyhow::Result<String> {
    let data = stats::document(&state.cgroup.stats()?);
    Ok(format!("{}\n", json!({"type": "stats", "id": state.id, "data": data})))
}

/// Go's durations: `5s`, `1m30s`, `250ms`.
fn duration(text: &str) -> anyhow::Result<Duration> {
    let bad = || anyhow::anyhow!("invalid value {text:?} for flag -interval");
    let (mut sum, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let seconds = match &tail[..unit] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return Err(bad()),
        };
        sum += number.parse::<f64>().map_err(|_| bad())? * seconds;
        rest = &tail[unit..];
    }
    match Duration::try_from_secs_f64(sum) {
        Ok(interval) if !interval.is_zero() => Ok(interval),
        _ => bail!("duration interval must be greater than 0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_gos_durations() {
        let millis = |text| duration(text).map(|d| d.as_millis()).ok();
        assert_eq!((millis("5s"), millis("1m30s"), millis("250ms")), (Some(5_000), Some(90_000), Some(250)));
        assert_eq!(
            (millis("1.5h"), millis("0s"), millis("5"), millis("5x")),
            (Some(5_400_000), None, None, None)
        );
        assert_eq!((millis("-5s"), millis("s"), millis("")), (None, None, None));
    }
}
