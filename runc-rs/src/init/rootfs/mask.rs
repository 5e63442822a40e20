//! Hidden and read-only paths.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use mounts::{Attributes, detached};
use nix::errno::Errno;
use rustix::fs::{CWD, FileType, OFlags, makedev};

use super::inside;
use crate::error::{Context, Step, StepError};

/// Covers files with the null device and directories with an empty read-only tmpfs, one for all.
pub(crate) fn hide(root: BorrowedFd<'_>, paths: &[String]) -> Step<()> {
    let mut null: Option<OwnedFd> = None;
    let mut empty: Option<OwnedFd> = None;
    for path in paths {
        let target = match inside::open(root, Path::new(path), OFlags::PATH) {
            Ok(target) => target,
            Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
            Err(e) => return Err(e).step(|| format!("mask {path}")),
        };
        let stat = rustix::fs::fstat(&target).step(|| format!("mask {path}"))?;
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let known = if is_dir { &mut empty } else { &mut null };
        let result = match known {
            // Copies are made of the first one where it stands: before Linux 6.15 a tree that is not attached
            // can't be copied.
            Some(first) => detached::clone(first.as_fd(), "", false)
                .and_then(|tree| detached::attach(&tree, target.as_fd())),
            none => {
                let first = none.insert(if is_dir { empty_directory()? } else { null_device()? });
                detached::attach(&*first, target.as_fd())
            }
        };
        result.step(|| format!("mask {path}"))?;
    }
    Ok(())
}

/// The host's, opened before the pivot and looked at: the image's could be anything (CVE-2025-31133).
fn null_device() -> Step<OwnedFd> {
    let tree = detached::clone(CWD, "/dev/null", false).step(|| "open /dev/null")?;
    let stat = rustix::fs::fstat(&tree).step(|| "stat /dev/null")?;
    let is_char = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if !is_char || stat.st_rdev != makedev(1, 3) {
        return Err(StepError::plain("/dev/null of the host is not the null device"));
    }
    Ok(tree)
}

fn empty_directory() -> Step<OwnedFd> {
    let least = ["nr_blocks=1".to_owned(), "nr_inodes=1".to_owned()];
    Ok(detached::new("tmpfs", "tmpfs", &least, Attributes::read_only())?)
}

/// Binds each path on itself, read-only with all below it.
pub(crate) fn make_readonly(root: BorrowedFd<'_>, paths: &[String]) -> Step<()> {
    for path in paths {
        let target = match inside::open(root, Path::new(path), OFlags::PATH) {
            Ok(target) => target,
            Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
            Err(e) => return Err(e).step(|| format!("make {path} read-only")),
        };
        let tree = detached::clone(target.as_fd(), "", true).step(|| format!("make {path} read-only"))?;
        detached::change(&tree, true, Attributes::read_only()).step(|| format!("make {path} read-only"))?;
        detached::attach(&tree, target.as_fd()).step(|| format!("make {path} read-only"))?;
    }
    Ok(())
}
