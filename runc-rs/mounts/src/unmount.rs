//! Taking mounts away.

use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use crate::error::{Error, Result};
use crate::table;

/// Unmounts everything stacked on `path` itself. Nothing there, or no such path, is fine.
///
/// A mount that is in use is tried again for a moment and then detached: it goes when its last user does.
pub fn unmount_all(path: &Path) -> Result<()> {
    loop {
        match one(path) {
            Ok(()) => {}
            // Not (any more) a mount point, or gone.
            Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
            Err(e) => return Err(Error::path("unmount", path, e)),
        }
    }
}

/// Unmounts everything on and below `path`, the deepest first.
pub fn unmount_below(path: &Path) -> Result<()> {
    // A mount may appear while others go: a few rounds.
    for _ in 0..10 {
        let targets = table::at_and_below(&table::read()?, path);
        if targets.is_empty() {
            return Ok(());
        }
        targets.iter().try_for_each(|target| unmount_all(target))?;
    }
    Err(Error::path("unmount", path, Errno::EBUSY))
}

fn one(path: &Path) -> std::result::Result<(), Errno> {
    for nap in [0, 1, 5, 20] {
        match umount2(path, MntFlags::UMOUNT_NOFOLLOW) {
            Err(Errno::EBUSY) => std::thread::sleep(Duration::from_millis(nap)),
            other => return other,
        }
    }
    umount2(path, MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH)
}
