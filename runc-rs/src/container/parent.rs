//! The parent's side of a start: serves the child's messages until it stands on its own.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::anyhow;
use rustix::process::{Pid, Resource, Rlimit as Limit, Signal, WaitId, WaitIdOptions};

use crate::config::spec::Rlimit;
use crate::error::{Context as _, Step, StepError};
use crate::init::namespaces;
use crate::init::spawn::Spawned;
use crate::init::sync::Message;

/// What is done while the child waits.
pub(crate) trait Parent {
    /// The child is in a new user namespace that maps nothing yet.
    fn map(&mut self, pid: i32) -> Step<()>;
    /// The root file system is built; the child goes on when this returns.
    fn mounted(&mut self, pid: i32) -> anyhow::Result<()>;
}

/// Until the child has said that nothing but its exec can fail. On an error the child is dead and reaped.
pub(crate) fn serve(spawned: &Spawned, parent: &mut dyn Parent) -> anyhow::Result<()> {
    let result = converse(spawned, parent);
    if result.is_err() {
        kill_and_reap(&spawned.pidfd);
    }
    result
}

fn converse(spawned: &Spawned, parent: &mut dyn Parent) -> anyhow::Result<()> {
    loop {
        match spawned.channel.receive()? {
            Message::Unmapped => {
                parent.map(spawned.pid)?;
                spawned.channel.send(&Message::Go)?;
            }
            Message::Mounted => {
                parent.mounted(spawned.pid)?;
                spawned.channel.send(&Message::Go)?;
            }
            Message::Done => return Ok(()),
            Message::Failed(error) => return Err(error.into()),
            Message::End => return Err(anyhow!("container process is already dead")),
            Message::Pid(_) | Message::Go => return Err(anyhow!("the child spoke out of turn")),
        }
    }
}

/// `exec`: waits until the program runs; an exec that failed is told as such.
pub(crate) fn executed(spawned: &Spawned) -> Step<()> {
    match spawned.channel.receive()? {
        Message::Failed(error) => Err(error),
        _ => Ok(()),
    }
}

pub(crate) fn kill_and_reap(pidfd: &OwnedFd) {
    let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
    let wait = || rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
    let _ = rustix::io::retry_on_intr(wait);
}

/// Before the child's ids change, and from here: in a user namespace it may not raise its own.
pub(crate) fn set_limits(pid: i32, limits: &[Rlimit]) -> Step<()> {
    for limit in limits {
        let resource = resource(&limit.kind)
            .ok_or_else(|| StepError::plain(format!("invalid rlimit type: {}", limit.kind)))?;
        let value = |n: u64| (n != u64::MAX).then_some(n);
        let new = Limit { current: value(limit.soft), maximum: value(limit.hard) };
        rustix::process::prlimit(Pid::from_raw(pid), resource, new)
            .step(|| format!("error setting rlimits for ready process: set {}", limit.kind))?;
    }
    Ok(())
}

fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "RLIMIT_CPU" => Resource::Cpu,
        "RLIMIT_FSIZE" => Resource::Fsize,
        "RLIMIT_DATA" => Resource::Data,
        "RLIMIT_STACK" => Resource::Stack,
        "RLIMIT_CORE" => Resource::Core,
        "RLIMIT_RSS" => Resource::Rss,
        "RLIMIT_NPROC" => Resource::Nproc,
        "RLIMIT_NOFILE" => Resource::Nofile,
        "RLIMIT_MEMLOCK" => Resource::Memlock,
        "RLIMIT_AS" => Resource::As,
        "RLIMIT_LOCKS" => Resource::Locks,
        "RLIMIT_SIGPENDING" => Resource::Sigpending,
        "RLIMIT_MSGQUEUE" => Resource::Msgqueue,
        "RLIMIT_NICE" => Resource::Nice,
        "RLIMIT_RTPRIO" => Resource::Rtprio,
        "RLIMIT_RTTIME" => Resource::Rttime,
        _ => return None,
    })
}

/// `None` leaves the caller's.
pub(crate) fn set_oom_score(pid: i32, score: Option<i32>) -> Step<()> {
    let Some(score) = score else { return Ok(()) };
    namespaces::write(&format!("/proc/{pid}/oom_score_adj"), &score.to_string())
}
