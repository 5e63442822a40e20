//! Who works in a bundle: a shim's `start`, the shim, and the runtime it calls have the bundle as their
//! working directory. They outlive a daemon that was killed, and would go on making what is being
//! cleared away.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long they may take to be gone once killed.
const PATIENCE: Duration = Duration::from_secs(2);

/// Kills everybody who works in `bundle` until nobody is left. Blocks.
///
/// # Errors
/// The processes can't be listed, or one doesn't die.
pub(super) fn evict(bundle: &Path) -> io::Result<()> {
    let Some(place) = place(bundle)? else { return Ok(()) };
    let deadline = Instant::now() + PATIENCE;
    // One that is killed may have started another just before.
    loop {
        let found = find(place)?;
        if found.is_empty() {
            return Ok(());
        }
        for process in &found {
            // Dead already is as good.
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
        for process in &found {
            let mut ended = [PollFd::new(process, PollFlags::IN)];
            let left = deadline.saturating_duration_since(Instant::now());
            if poll(&mut ended, Some(&Timespec::try_from(left).unwrap_or_default()))? == 0 {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "a process in the bundle doesn't die"));
            }
        }
    }
}

/// Device and inode of a directory; none if it isn't there.
fn place(directory: &Path) -> io::Result<Option<(u64, u64)>> {
    match fs::metadata(directory) {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn find(place: (u64, u64)) -> io::Result<Vec<OwnedFd>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let works_here =
            || fs::metadata(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| (cwd.dev(), cwd.ino()) == place);
        if !works_here() {
            continue;
        }
        let Some(process) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
        else {
            continue;
        };
        // Asked again: the number may have passed to another before the descriptor was ours.
        if works_here() {
            found.push(process);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn only_who_works_in_the_directory_is_killed() {
        let (here, elsewhere) =
            (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let start = |dir: &Path| Command::new("sleep").arg("1000").current_dir(dir).spawn().expect("sleep");
        let (mut inside, mut outside) = (start(here.path()), start(elsewhere.path()));
        evict(here.path()).expect("evict");
        assert!(!inside.wait().expect("wait").success());
        assert!(outside.try_wait().expect("look").is_none(), "the other one lives");
        outside.kill().expect("kill");
        outside.wait().expect("wait");
    }

    #[test]
    fn nobody_is_in_a_directory_that_is_gone() {
        let dir = tempfile::tempdir().expect("a folder");
        evict(&dir.path().join("gone")).expect("nothing to do");
    }
}
