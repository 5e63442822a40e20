//! Runs the spec's hooks: each with the container's state on its stdin, in order, the first failure ends it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::config::spec::Hook;
use crate::error::{Context, Step, StepError};

/// What is shown of a failed hook's output.
const SHOWN: u64 = 4 << 10;

pub(crate) fn run_all(kind: &str, hooks: &[Hook], state: &serde_json::Value) -> Step<()> {
    let state = if hooks.is_empty() { String::new() } else { state.to_string() };
    for (at, hook) in hooks.iter().enumerate() {
        run(hook, &state).map_err(|e| e.within(format!("error running {kind} hook #{at}")))?;
    }
    Ok(())
}

fn memory_file() -> Step<File> {
    rustix::fs::memfd_create("hook", MemfdFlags::CLOEXEC).map(File::from).step(|| "make a memory file")
}

fn run(hook: &Hook, state: &str) -> Step<()> {
    if !hook.path.is_absolute() {
        return Err(StepError::plain(format!("{} is not an absolute path", hook.path.display())));
    }
    // Files, not pipes: a hook that leaves a daemon behind must not make us wait for it, and one that reads
    // nothing must not make us die.
    let mut input = memory_file()?;
    input.write_all(state.as_bytes()).step(|| "write the state")?;
    input.seek(SeekFrom::Start(0)).step(|| "write the state")?;
    let mut output = memory_file()?;
    let copy = |file: &File| file.try_clone().step(|| "duplicate a descriptor");
    let mut command = Command::new(&hook.path);
    command.env_clear().stdin(Stdio::from(input)).stdout(copy(&output)?).stderr(copy(&output)?);
    if let Some((name, args)) = hook.args.split_first() {
        command.arg0(name).args(args);
    }
    for entry in &hook.env {
        let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
        command.env(key, value);
    }
    let mut child = command.spawn().step(|| format!("fork/exec {}", hook.path.display()))?;
    if let Some(seconds) = hook.timeout.filter(|s| *s > 0) {
        let limit = Duration::from_secs(seconds as u64);
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).step(|| "watch the hook")?;
        let mut fds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
        let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: 0 };
        if poll(&mut fds, Some(&limit)).step(|| "watch the hook")? == 0 {
            drop(child.kill());
            drop(child.wait());
            return Err(StepError::plain(format!("hook ran past specified timeout of {seconds}.0s")));
        }
    }
    let status = child.wait().step(|| "wait for the hook")?;
    if status.success() {
        return Ok(());
    }
    let mut text = String::new();
    let read = output.seek(SeekFrom::Start(0)).and_then(|_| (&output).take(SHOWN).read_to_string(&mut text));
    let shown = if read.is_ok() { text.trim() } else { "" };
    Err(StepError::plain(format!("{status}, output: {shown}")))
}
