//! Makes a layer: a tar of what changed from one directory to another.

#[cfg(test)]
mod tests;
mod walk;

use std::collections::HashMap;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat};

use crate::error::{ArchiveError, Result};
use crate::header::{Entry, Kind, Timestamp};
use crate::writer::Writer;
use crate::{whiteout, xattr};

/// How a layer is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiffOptions {
    /// No time in the archive is later than this (seconds since 1970), and whiteouts have it: the
    /// same trees then give the same bytes.
    pub source_date_epoch: Option<i64>,
}

/// Writes the changes from `lower` (none: an empty directory) to `upper` as a tar. Entries are sorted
/// by path; what is gone becomes a whiteout.
///
/// # Errors
/// A file can't be read, or the output fails.
pub fn diff<W: Write>(lower: Option<&Path>, upper: &Path, output: W, options: &DiffOptions) -> Result<W> {
    let open = |path: &Path| {
        rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| ArchiveError::at("open directory", path.as_os_str().as_encoded_bytes(), error))
    };
    let lower = lower.map(open).transpose()?;
    let upper = open(upper)?;
    let mut layer = Layer { writer: Writer::new(output), links: HashMap::new(), options: *options };
    walk::directories(lower.as_ref(), &upper, &[], &mut Vec::new(), &mut layer)?;
    layer.writer.finish()
}

/// The tar that changes are written to.
struct Layer<W> {
    writer: Writer<W>,
    /// The first name of each file with several.
    links: HashMap<(u64, u64), Vec<u8>>,
    options: DiffOptions,
}

impl<W: Write> Layer<W> {
    /// Writes what stands at `name` in `parent`.
    fn add(&mut self, parent: &OwnedFd, name: &[u8], path: &[u8], stat: &Stat) -> Result<()> {
        let Some(kind) = kind_of(stat) else {
            // Sockets have no place in a tar.
            return Ok(());
        };
        let mut entry = Entry {
            name: path.to_vec(),
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: Timestamp { seconds: self.bounded(stat.st_mtime), nanoseconds: 0 },
            ..Entry::default()
        };
        if kind != Kind::Directory && stat.st_nlink > 1 {
            let inode = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&inode) {
                entry.kind = Kind::HardLink;
                entry.link.clone_from(first);
                return self.writer.append(&entry, std::io::empty());
            }
            self.links.insert(inode, path.to_vec());
        }
        entry.xattrs = xattr::read_at(parent, name);
        match kind {
            Kind::File => {
                let fd = rustix::fs::openat(
                    parent,
                    name,
                    OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                    Mode::empty(),
                )
                .map_err(|error| ArchiveError::at("open", path, error))?;
                entry.size = u64::try_from(stat.st_size).unwrap_or(0);
                return self.writer.append(&entry, std::fs::File::from(fd));
            }
            Kind::Symlink => {
                entry.link = rustix::fs::readlinkat(parent, name, Vec::new())
                    .map_err(|error| ArchiveError::at("read link", path, error))?
                    .into_bytes();
            }
            Kind::CharDevice | Kind::BlockDevice => {
                entry.device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
            }
            _ => {}
        }
        self.writer.append(&entry, std::io::empty())
    }

    /// Says that `path` is gone.
    fn hide(&mut self, parent_path: &[u8], name: &[u8]) -> Result<()> {
        let base = [whiteout::PREFIX, name].concat();
        let entry = Entry {
            name: walk::join(parent_path, &base),
            mtime: Timestamp { seconds: self.options.source_date_epoch.unwrap_or_else(now), nanoseconds: 0 },
            ..Entry::default()
        };
        self.writer.append(&entry, std::io::empty())
    }

    fn bounded(&self, seconds: i64) -> i64 {
        self.options.source_date_epoch.map_or(seconds, |epoch| seconds.min(epoch))
    }
}

fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or(0)
}

fn kind_of(stat: &Stat) -> Option<Kind> {
    Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::CharacterDevice => Kind::CharDevice,
        FileType::BlockDevice => Kind::BlockDevice,
        _ => return None,
    })
}
