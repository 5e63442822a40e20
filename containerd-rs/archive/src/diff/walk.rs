//! Walks two trees side by side and finds what differs.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::Layer;
use crate::error::{ArchiveError, Result};
use crate::safe_path::{names, open_directory};
use crate::xattr;

/// Deepest tree that is walked.
const MAX_DEPTH: usize = 1024;

/// A directory on the way whose own entry wasn't written, because only something below changed.
pub(super) struct Pending {
    parent: OwnedFd,
    name: Vec<u8>,
    path: Vec<u8>,
    stat: Stat,
}

/// Compares the two directories at `path` and writes the changes.
pub(super) fn directories<W: Write>(
    lower: Option<&OwnedFd>,
    upper: &OwnedFd,
    path: &[u8],
    pending: &mut Vec<Pending>,
    layer: &mut Layer<W>,
) -> Result<()> {
    if path.iter().filter(|&&b| b == b'/').count() > MAX_DEPTH {
        return Err(ArchiveError::Limit { what: "depth of directories", limit: MAX_DEPTH as u64 });
    }
    let list = |fd: &OwnedFd| names(fd).map_err(|error| ArchiveError::at("read directory", path, error));
    let below = lower.map(list).transpose()?.unwrap_or_default();
    let above = list(upper)?;
    let (mut old, mut new) = (below.iter().peekable(), above.iter().peekable());
    loop {
        let name = match (old.peek(), new.peek()) {
            (None, None) => return Ok(()),
            (Some(a), None) => *a,
            (None, Some(b)) => *b,
            (Some(a), Some(b)) => std::cmp::min(*a, *b),
        };
        let was = old.next_if_eq(&name).is_some();
        let is = new.next_if_eq(&name).is_some();
        match (was, is) {
            (true, false) => {
                flush(pending, layer)?;
                layer.hide(path, name)?;
            }
            (false, _) => entry(None, upper, name, path, pending, layer)?,
            (true, true) => entry(lower, upper, name, path, pending, layer)?,
        }
    }
}

fn entry<W: Write>(
    lower: Option<&OwnedFd>,
    upper: &OwnedFd,
    name: &[u8],
    parent_path: &[u8],
    pending: &mut Vec<Pending>,
    layer: &mut Layer<W>,
) -> Result<()> {
    let path = join(parent_path, name);
    let fail = |step| move |error: Errno| (step, error);
    let at = |(step, error): (&'static str, Errno)| ArchiveError::at(step, &path, error);
    let look = |fd: &OwnedFd| rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW).map_err(fail("read"));
    let stat = look(upper).map_err(at)?;
    let old = match lower {
        Some(lower) => Some((lower, look(lower).map_err(at)?)),
        None => None,
    };
    let is_same = match &old {
        Some((lower, old)) => same(lower, old, upper, &stat, name, &path)?,
        None => false,
    };
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    if !is_same {
        flush(pending, layer)?;
        layer.add(upper, name, &path, &stat)?;
    }
    if !is_directory {
        return Ok(());
    }
    let open = |fd: &OwnedFd| open_directory(fd, name).map_err(fail("open directory"));
    let directory = open(upper).map_err(at)?;
    let old_directory = match &old {
        Some((lower, old)) if FileType::from_raw_mode(old.st_mode) == FileType::Directory => {
            Some(open(lower).map_err(at)?)
        }
        _ => None,
    };
    let depth = pending.len();
    if is_same {
        let parent = rustix::io::fcntl_dupfd_cloexec(upper, 0).map_err(fail("open directory")).map_err(at)?;
        pending.push(Pending { parent, name: name.to_vec(), path: path.clone(), stat });
    }
    directories(old_directory.as_ref(), &directory, &path, pending, layer)?;
    pending.truncate(depth);
    Ok(())
}

/// Writes the unchanged directories on the way to a change.
fn flush<W: Write>(pending: &mut Vec<Pending>, layer: &mut Layer<W>) -> Result<()> {
    for directory in pending.drain(..) {
        layer.add(&directory.parent, &directory.name, &directory.path, &directory.stat)?;
    }
    Ok(())
}

/// Whether both are the same file as far as a layer tells.
fn same(lower: &OwnedFd, old: &Stat, upper: &OwnedFd, new: &Stat, name: &[u8], path: &[u8]) -> Result<bool> {
    if (old.st_dev, old.st_ino) == (new.st_dev, new.st_ino) {
        return Ok(true);
    }
    if (old.st_mode, old.st_uid, old.st_gid, old.st_rdev)
        != (new.st_mode, new.st_uid, new.st_gid, new.st_rdev)
        || xattr::read_at(lower, name) != xattr::read_at(upper, name)
    {
        return Ok(false);
    }
    match FileType::from_raw_mode(new.st_mode) {
        FileType::Directory => Ok(true),
        FileType::Symlink => {
            let link = |fd: &OwnedFd| rustix::fs::readlinkat(fd, name, Vec::new());
            Ok(link(lower).ok() == link(upper).ok())
        }
        FileType::RegularFile => {
            if old.st_size != new.st_size || old.st_mtime != new.st_mtime {
                return Ok(false);
            }
            // Layers keep whole seconds; a file that came out of one has lost the rest of its time.
            if old.st_mtime_nsec != new.st_mtime_nsec && old.st_mtime_nsec != 0 && new.st_mtime_nsec != 0 {
                return Ok(false);
            }
            if old.st_mtime_nsec == new.st_mtime_nsec && new.st_mtime_nsec != 0 {
                return Ok(true);
            }
            same_bytes(lower, upper, name).map_err(|error| ArchiveError::at("compare", path, error))
        }
        _ => Ok(true),
    }
}

fn same_bytes(lower: &OwnedFd, upper: &OwnedFd, name: &[u8]) -> std::io::Result<bool> {
    let open = |fd: &OwnedFd| {
        rustix::fs::openat(fd, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            .map(std::fs::File::from)
    };
    let (mut old, mut new) = (open(lower)?, open(upper)?);
    let (mut a, mut b) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let count = old.read(&mut a)?;
        if count == 0 {
            return Ok(new.read(&mut b)? == 0);
        }
        match new.read_exact(&mut b[..count]) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
        if a[..count] != b[..count] {
            return Ok(false);
        }
    }
}

pub(super) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}
