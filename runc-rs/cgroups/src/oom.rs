//! Being told when the kernel kills a process for memory.
//!
//! v1: an eventfd registered in `cgroup.event_control`; v2: inotify on `memory.events`. Either way one
//! descriptor becomes readable, and [`OomWatch::drain`] says why.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::files;

/// Why the watch woke up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OomEvent {
    /// The kernel killed for memory since the last time.
    Killed,
    /// Another counter moved.
    Nothing,
    /// The cgroup is gone: nothing more will come, stop polling.
    Gone,
}

/// A registration for the out-of-memory events of one cgroup.
#[derive(Debug)]
pub struct OomWatch {
    dir: PathBuf,
    source: Source,
}

#[derive(Debug)]
enum Source {
    V1(EventFd),
    V2 { notify: Inotify, kills: u64 },
}

impl OomWatch {
    /// Starts watching.
    ///
    /// # Errors
    /// The memory controller is not there, or the cgroup is gone.
    pub fn new(cgroup: &Cgroup) -> Result<Self> {
        match (cgroup.controller("memory"), cgroup.unified()) {
            (Some(dir), _) => {
                let err = |step, e: nix::Error| Error::io(step, dir, e.into());
                let event = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
                    .map_err(|e| err("make an eventfd for", e))?;
                let control = dir.join("memory.oom_control");
                let file = std::fs::File::open(&control).map_err(|e| Error::io("open", &control, e))?;
                let line = format!("{} {}", event.as_fd().as_raw_fd(), file.as_raw_fd());
                files::write(dir, "cgroup.event_control", &line)?;
                Ok(Self { dir: dir.to_owned(), source: Source::V1(event) })
            }
            (None, Some(dir)) => {
                let path = dir.join("memory.events");
                if !path.exists() {
                    return Err(Error::NoController {
                        controller: "memory".into(),
                        setting: "oom events".into(),
                    });
                }
                let notify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
                    .map_err(|e| Error::io("watch", &path, e.into()))?;
                notify
                    .add_watch(&path, AddWatchFlags::IN_MODIFY)
                    .map_err(|e| Error::io("watch", &path, e.into()))?;
                let kills = files::lookup(&files::read(dir, "memory.events")?, "oom_kill");
                Ok(Self { dir: dir.to_owned(), source: Source::V2 { notify, kills } })
            }
            (None, None) => {
                Err(Error::NoController { controller: "memory".into(), setting: "oom events".into() })
            }
        }
    }

    /// Takes what has arrived; never blocks.
    pub fn drain(&mut self) -> Result<OomEvent> {
        match &mut self.source {
            Source::V1(event) => match event.read() {
                // Removal of the cgroup signals too.
                Ok(_) if !self.dir.join("cgroup.event_control").exists() => Ok(OomEvent::Gone),
                Ok(_) => Ok(OomEvent::Killed),
                Err(nix::Error::EAGAIN) => Ok(OomEvent::Nothing),
                Err(e) => Err(Error::io("read the events of", &self.dir, e.into())),
            },
            Source::V2 { notify, kills } => {
                match notify.read_events() {
                    Ok(_) | Err(nix::Error::EAGAIN) => {}
                    Err(e) => return Err(Error::io("read the events of", &self.dir, e.into())),
                }
                let Some(text) = files::read_optional(&self.dir, "memory.events")? else {
                    return Ok(OomEvent::Gone);
                };
                let now = files::lookup(&text, "oom_kill");
                let more = now > *kills;
                *kills = now;
                Ok(if more { OomEvent::Killed } else { OomEvent::Nothing })
            }
        }
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.source {
            Source::V1(event) => event.as_fd(),
            Source::V2 { notify, .. } => notify.as_fd(),
        }
    }
}
