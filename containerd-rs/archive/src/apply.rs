//! Applies a layer: writes a tar stream into a directory, in one pass.
//!
//! Order on each file: made, data, owner, extended attributes (a change of owner drops capabilities),
//! mode (it drops set-id bits too), times. Directories get their times at the end.

mod node;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use crate::error::{ArchiveError, Result};
use crate::header::{Entry, Kind};
use crate::limits::Limits;
use crate::reader::Reader;
use crate::safe_path::{self, Tree};
use crate::whiteout::{self, Meaning, WhiteoutForm};
use crate::xattr;

/// How a layer is applied.
#[derive(Clone, Copy, Debug)]
pub struct ApplyOptions {
    /// What whiteouts become.
    pub whiteouts: WhiteoutForm,
    /// What the archive may ask for.
    pub limits: Limits,
}

impl ApplyOptions {
    /// Default limits.
    pub fn new(whiteouts: WhiteoutForm) -> Self {
        Self { whiteouts, limits: Limits::default() }
    }
}

/// What was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Number of entries.
    pub entries: u64,
    /// Bytes of all files, holes included.
    pub size: u64,
    /// Directories that no entry announced, relative to the root; they got mode 0755 and owner 0.
    pub implied: Vec<Vec<u8>>,
}

/// Writes the layer in `input` into the directory `root`. Reads up to the archive's end mark; the
/// caller drains what follows if it hashes the stream.
///
/// # Errors
/// The archive is broken, truncated or beyond its limits, or a file can't be made. Files made so far
/// stay: the caller owns the directory.
pub fn apply(input: impl Read, root: &Path, options: &ApplyOptions) -> Result<Applied> {
    let mut layer = Layer {
        tree: Tree::open(root)?,
        form: options.whiteouts,
        own: HashSet::new(),
        directory_times: Vec::new(),
        applied: Applied::default(),
        buffer: vec![0; 128 << 10].into_boxed_slice(),
    };
    let mut archive = Reader::new(input, options.limits);
    while let Some(entry) = archive.next_entry()? {
        layer.applied.entries += 1;
        layer.applied.size += entry.size;
        layer.entry(&entry, &mut archive)?;
    }
    layer.finish()
}

struct Layer {
    tree: Tree,
    form: WhiteoutForm,
    /// Paths that this layer made: its own whiteouts don't hide them. Kept for [`WhiteoutForm::Removal`].
    own: HashSet<Vec<u8>>,
    directory_times: Vec<(Vec<u8>, rustix::fs::Timestamps)>,
    applied: Applied,
    buffer: Box<[u8]>,
}

impl Layer {
    fn entry(&mut self, entry: &Entry, data: &mut impl Read) -> Result<()> {
        if entry.name.contains(&0) || entry.link.contains(&0) {
            return Err(ArchiveError::Malformed("NUL in a name".to_owned()));
        }
        let path = safe_path::clean(&entry.name);
        let (parent_path, base) = safe_path::split(&path);
        // The root belongs to the snapshot; its entry says nothing.
        if base.is_empty() {
            return Ok(());
        }
        let meaning = whiteout::meaning(base);
        if meaning == Meaning::Bookkeeping {
            return Ok(());
        }
        let parent = self.tree.directory_or_make(parent_path)?;
        match meaning {
            Meaning::Bookkeeping => {}
            Meaning::Opaque => self.hide_all(&parent, parent_path)?,
            Meaning::Gone(hidden) => {
                let hidden_path = join(parent_path, hidden);
                self.hide(&parent, hidden, &hidden_path, entry)?;
            }
            Meaning::Ordinary => {
                self.make(entry, data, &parent, base, &path)?;
                if self.form == WhiteoutForm::Removal {
                    self.own_with_parents(&path);
                }
            }
        }
        Ok(())
    }

    fn own_with_parents(&mut self, path: &[u8]) {
        let mut path = path;
        while !path.is_empty() && self.own.insert(path.to_vec()) {
            path = safe_path::split(path).0;
        }
    }

    /// An opaque mark in the directory at `path`.
    fn hide_all(&mut self, directory: &Rc<OwnedFd>, path: &[u8]) -> Result<()> {
        // The root has nothing below that overlayfs could be told to hide by an attribute.
        match self.form {
            WhiteoutForm::Overlay if path.is_empty() => xattr_opaque(directory, b"."),
            WhiteoutForm::Overlay => xattr_opaque(directory, path),
            WhiteoutForm::Removal => {
                let readable = reopen(directory, path)?;
                let own = &self.own;
                safe_path::remove_children(&readable, path, &|path| own.contains(path))?;
                self.tree.forget();
                Ok(())
            }
        }
    }

    /// A whiteout of `hidden` in `parent`.
    fn hide(&mut self, parent: &Rc<OwnedFd>, hidden: &[u8], path: &[u8], entry: &Entry) -> Result<()> {
        if self.form == WhiteoutForm::Removal {
            let own = &self.own;
            safe_path::remove_all(parent, hidden, path, &|path| own.contains(path))?;
            self.tree.forget();
            return Ok(());
        }
        match rustix::fs::mknodat(parent, hidden, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => node::own(parent, hidden, entry, path),
            // This layer has made the name already: only what is below is hidden.
            Err(Errno::EXIST) => match safe_path::open_directory(parent, hidden) {
                Ok(directory) => xattr_opaque(&directory, path),
                Err(_) => Ok(()),
            },
            Err(error) => Err(ArchiveError::at("make whiteout", path, error)),
        }
    }

    fn make(
        &mut self,
        entry: &Entry,
        data: &mut impl Read,
        parent: &Rc<OwnedFd>,
        base: &[u8],
        path: &[u8],
    ) -> Result<()> {
        match entry.kind {
            Kind::Directory => self.make_directory(entry, parent, base, path),
            Kind::File => {
                let file = self.replacing(parent, base, path, "create", || node::create(parent, base))?;
                node::fill(&file, entry, data, &mut self.buffer, path)?;
                node::finish_file(&file, entry, path)
            }
            Kind::HardLink => self.make_hard_link(entry, parent, base, path),
            Kind::Symlink => {
                self.replacing(parent, base, path, "make symlink", || {
                    rustix::fs::symlinkat(entry.link.as_slice(), parent, base)
                })?;
                node::finish_node(parent, base, entry, path)
            }
            Kind::CharDevice | Kind::BlockDevice | Kind::Fifo => {
                let (kind, device) = match entry.kind {
                    Kind::CharDevice => (FileType::CharacterDevice, entry.device),
                    Kind::BlockDevice => (FileType::BlockDevice, entry.device),
                    _ => (FileType::Fifo, (0, 0)),
                };
                let number = rustix::fs::makedev(device.0, device.1);
                self.replacing(parent, base, path, "make device", || {
                    rustix::fs::mknodat(parent, base, kind, Mode::empty(), number)
                })?;
                node::finish_node(parent, base, entry, path)
            }
        }
    }

    fn make_directory(
        &mut self,
        entry: &Entry,
        parent: &Rc<OwnedFd>,
        base: &[u8],
        path: &[u8],
    ) -> Result<()> {
        let fail = |error| ArchiveError::at("make directory", path, error);
        let make = || rustix::fs::mkdirat(parent, base, Mode::from_raw_mode(0o700));
        let mut hides_below = false;
        match make() {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let stat = rustix::fs::statat(parent, base, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                    // The layer hid the name before it made the directory anew.
                    hides_below = self.form == WhiteoutForm::Overlay && is_whiteout(&stat);
                    self.clear(parent, base, path)?;
                    make().map_err(fail)?;
                }
            }
            Err(error) => return Err(fail(error)),
        }
        let directory = safe_path::open_directory(parent, base).map_err(fail)?;
        if hides_below {
            xattr_opaque(&directory, path)?;
        }
        node::finish_directory(&directory, entry, path)?;
        self.directory_times.push((path.to_vec(), node::times(entry)));
        self.tree.remember(path, directory);
        Ok(())
    }

    fn make_hard_link(
        &mut self,
        entry: &Entry,
        parent: &Rc<OwnedFd>,
        base: &[u8],
        path: &[u8],
    ) -> Result<()> {
        let target = safe_path::clean(&entry.link);
        let (target_parent_path, target_base) = safe_path::split(&target);
        if target == path || target_base.is_empty() {
            return Err(ArchiveError::at("make hard link", path, Errno::INVAL));
        }
        let target_parent = self.tree.directory(target_parent_path)?;
        self.replacing(parent, base, path, "make hard link", || {
            rustix::fs::linkat(&target_parent, target_base, parent, base, AtFlags::empty())
        })
    }

    /// Makes something; what stands in its place goes first.
    fn replacing<T>(
        &mut self,
        parent: &OwnedFd,
        base: &[u8],
        path: &[u8],
        step: &'static str,
        make: impl Fn() -> Result<T, Errno>,
    ) -> Result<T> {
        let made = match make() {
            Err(Errno::EXIST) => {
                self.clear(parent, base, path)?;
                make()
            }
            other => other,
        };
        made.map_err(|error| ArchiveError::at(step, path, error))
    }

    fn clear(&mut self, parent: &OwnedFd, base: &[u8], path: &[u8]) -> Result<()> {
        safe_path::remove_all(parent, base, path, &|_| false)?;
        // A directory or a symlink that open directories were reached through may be gone.
        self.tree.forget();
        Ok(())
    }

    fn finish(mut self) -> Result<Applied> {
        for (path, times) in std::mem::take(&mut self.directory_times).into_iter().rev() {
            let (parent_path, base) = safe_path::split(&path);
            // A later entry may have replaced the directory; then it has its own times.
            let Ok(parent) = self.tree.directory(parent_path) else { continue };
            let Ok(directory) = safe_path::open_directory(&parent, base) else { continue };
            rustix::fs::futimens(&directory, &times)
                .map_err(|error| ArchiveError::at("set times of", &path, error))?;
        }
        self.applied.implied = self.tree.into_implied();
        Ok(self.applied)
    }
}

fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

fn is_whiteout(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// A descriptor that can be read, of one that may only be a path.
fn reopen(directory: &OwnedFd, path: &[u8]) -> Result<OwnedFd> {
    safe_path::open_directory(directory, b".")
        .map_err(|error| ArchiveError::at("open directory", path, error))
}

fn xattr_opaque(directory: &OwnedFd, path: &[u8]) -> Result<()> {
    let readable = reopen(directory, path)?;
    xattr::set_opaque(&readable, path)
}
