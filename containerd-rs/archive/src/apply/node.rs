//! One file, directory or special file: its data and its attributes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use crate::error::{ArchiveError, Result, show};
use crate::header::{Entry, Kind, Timestamp};
use crate::xattr;

/// Makes a new empty file.
pub(super) fn create(parent: &OwnedFd, base: &[u8]) -> Result<File, Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, base, flags, Mode::from_raw_mode(0o600)).map(File::from)
}

/// Copies the entry's data into the file; holes stay holes.
pub(super) fn fill(
    file: &File,
    entry: &Entry,
    data: &mut impl Read,
    buffer: &mut [u8],
    path: &[u8],
) -> Result<()> {
    let Some(segments) = &entry.segments else {
        return copy(&mut &*file, entry.size, data, buffer, path);
    };
    for &(offset, length) in segments {
        copy(&mut At { file, offset }, length, data, buffer, path)?;
    }
    file.set_len(entry.size).map_err(|error| ArchiveError::at("set size of", path, error))
}

fn copy(
    output: &mut impl Write,
    mut left: u64,
    data: &mut impl Read,
    buffer: &mut [u8],
    path: &[u8],
) -> Result<()> {
    while left > 0 {
        let room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = match data.read(&mut buffer[..room]) {
            Ok(0) => return Err(ArchiveError::Truncated(show(path))),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(ArchiveError::Truncated(show(path)));
            }
            Err(error) => return Err(ArchiveError::Read(error)),
        };
        output.write_all(&buffer[..count]).map_err(|error| ArchiveError::at("write", path, error))?;
        left -= count as u64;
    }
    Ok(())
}

/// Writes from an offset on.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Write for At<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.file.write_at(bytes, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Gives a file its owner, attributes, mode and times.
pub(super) fn finish_file(file: &File, entry: &Entry, path: &[u8]) -> Result<()> {
    rustix::fs::fchown(file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
        .map_err(|error| ArchiveError::at("set owner of", path, error))?;
    xattr::set(file, &entry.xattrs, path)?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode))
        .map_err(|error| ArchiveError::at("set mode of", path, error))?;
    rustix::fs::futimens(file, &times(entry)).map_err(|error| ArchiveError::at("set times of", path, error))
}

/// Gives a directory its owner, attributes and mode; its times come last of all.
pub(super) fn finish_directory(directory: &OwnedFd, entry: &Entry, path: &[u8]) -> Result<()> {
    rustix::fs::fchown(directory, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
        .map_err(|error| ArchiveError::at("set owner of", path, error))?;
    xattr::set(directory, &entry.xattrs, path)?;
    rustix::fs::fchmod(directory, Mode::from_raw_mode(entry.mode))
        .map_err(|error| ArchiveError::at("set mode of", path, error))
}

/// Gives what can't be opened (a symlink, a device, a pipe) its owner, attributes, mode and times.
pub(super) fn finish_node(parent: &OwnedFd, base: &[u8], entry: &Entry, path: &[u8]) -> Result<()> {
    own(parent, base, entry, path)?;
    xattr::set_at(parent, base, &entry.xattrs, path)?;
    if entry.kind != Kind::Symlink {
        rustix::fs::chmodat(parent, base, Mode::from_raw_mode(entry.mode), AtFlags::empty())
            .map_err(|error| ArchiveError::at("set mode of", path, error))?;
    }
    rustix::fs::utimensat(parent, base, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| ArchiveError::at("set times of", path, error))
}

/// Sets the owner without following.
pub(super) fn own(parent: &OwnedFd, base: &[u8], entry: &Entry, path: &[u8]) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    rustix::fs::chownat(parent, base, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| ArchiveError::at("set owner of", path, error))
}

/// The times to set: an access time before the modification is raised to it.
pub(super) fn times(entry: &Entry) -> Timestamps {
    let modified = bounded(entry.mtime);
    let accessed = bounded(entry.atime.map_or(entry.mtime, |atime| atime.max(entry.mtime)));
    Timestamps { last_access: accessed, last_modification: modified }
}

/// Times that no filesystem keeps become 1970.
fn bounded(time: Timestamp) -> Timespec {
    const LAST: i64 = 1 << 34;
    if !(0..LAST).contains(&time.seconds) {
        return Timespec { tv_sec: 0, tv_nsec: 0 };
    }
    Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() }
}
