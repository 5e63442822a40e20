//! Paths inside a tree, by descriptors that cannot leave it.
//!
//! A name is cleaned (`.`, `..` and doubled slashes go, nothing climbs above the root), its parent is
//! resolved by the kernel with the tree as its root, and the last component is only ever used
//! together with the parent's descriptor, never followed.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{ArchiveError, Result};

/// Most directories that are held open.
const MAX_OPEN: usize = 64;
/// Most symlinks on one path, as in the kernel.
const MAX_LINKS: usize = 40;

/// The root of a tree.
#[derive(Debug)]
pub(crate) struct Tree {
    root: Rc<OwnedFd>,
    open: HashMap<Vec<u8>, Rc<OwnedFd>>,
    /// Directories that no entry announced, as clean paths.
    implied: Vec<Vec<u8>>,
}

impl Tree {
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, root, flags, Mode::empty()).map_err(|error| {
            ArchiveError::at("open directory", root.as_os_str().as_encoded_bytes(), error)
        })?;
        Ok(Self { root: Rc::new(fd), open: HashMap::new(), implied: Vec::new() })
    }

    pub(crate) fn into_implied(self) -> Vec<Vec<u8>> {
        self.implied
    }

    /// The directory of a clean path, if it is there.
    pub(crate) fn directory(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>> {
        if path.is_empty() {
            return Ok(Rc::clone(&self.root));
        }
        if let Some(fd) = self.open.get(path) {
            return Ok(Rc::clone(fd));
        }
        let fd = self.resolve(path).map_err(|error| ArchiveError::at("open directory", path, error))?;
        Ok(self.remember(path, fd))
    }

    /// The directory of a clean path; missing ones are made, also behind dangling symlinks.
    pub(crate) fn directory_or_make(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>> {
        if path.is_empty() {
            return Ok(Rc::clone(&self.root));
        }
        if let Some(fd) = self.open.get(path) {
            return Ok(Rc::clone(fd));
        }
        let fd = match self.resolve(path) {
            Err(Errno::NOENT) => {
                self.make(path)?;
                self.resolve(path)
            }
            other => other,
        };
        let fd = fd.map_err(|error| ArchiveError::at("open directory", path, error))?;
        Ok(self.remember(path, fd))
    }

    /// Keeps a directory open under its path.
    pub(crate) fn remember(&mut self, path: &[u8], fd: OwnedFd) -> Rc<OwnedFd> {
        if self.open.len() >= MAX_OPEN {
            self.open.clear();
        }
        let fd = Rc::new(fd);
        self.open.insert(path.to_vec(), Rc::clone(&fd));
        fd
    }

    /// Forgets open directories: something that paths may lead through has changed.
    pub(crate) fn forget(&mut self) {
        self.open.clear();
    }

    fn resolve(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        loop {
            match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), how) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// Walks `path` by hand, following symlinks within the root, and makes what is missing.
    fn make(&mut self, path: &[u8]) -> Result<()> {
        let fail = |error: Errno| ArchiveError::at("make directory", path, error);
        let mut ahead: VecDeque<Vec<u8>> = path.split(|&b| b == b'/').map(<[u8]>::to_vec).collect();
        let mut at: Vec<Vec<u8>> = Vec::new();
        let mut links = 0;
        while let Some(component) = ahead.pop_front() {
            match component.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    at.pop();
                    continue;
                }
                _ => {}
            }
            let parent_path = at.join(&b'/');
            let parent = if parent_path.is_empty() {
                rustix::io::fcntl_dupfd_cloexec(&self.root, 0).map_err(fail)?
            } else {
                self.resolve(&parent_path).map_err(fail)?
            };
            match rustix::fs::statat(&parent, component.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(fail(Errno::LOOP));
                    }
                    let target = rustix::fs::readlinkat(&parent, component.as_slice(), Vec::new())
                        .map_err(fail)?
                        .into_bytes();
                    if target.starts_with(b"/") {
                        at.clear();
                    }
                    for part in target.split(|&b| b == b'/').rev() {
                        ahead.push_front(part.to_vec());
                    }
                }
                Ok(_) => at.push(component),
                Err(Errno::NOENT) => {
                    rustix::fs::mkdirat(&parent, component.as_slice(), Mode::from_raw_mode(0o755))
                        .map_err(fail)?;
                    rustix::fs::chmodat(
                        &parent,
                        component.as_slice(),
                        Mode::from_raw_mode(0o755),
                        AtFlags::empty(),
                    )
                    .map_err(fail)?;
                    at.push(component);
                    self.implied.push(at.join(&b'/'));
                }
                Err(error) => return Err(fail(error)),
            }
        }
        Ok(())
    }
}

/// Cleans an entry's name: relative, no `.`, no `..`, no doubled slash. The root is empty.
pub(crate) fn clean(name: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// Splits a clean path into its parent and its last component.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// Names in a directory, sorted, without `.` and `..`.
pub(crate) fn names(directory: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            found.push(name.to_vec());
        }
    }
    found.sort();
    Ok(found)
}

/// Opens a directory for reading without following a symlink.
pub(crate) fn open_directory(parent: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Removes `name` and all below it; `is_kept` decides by path what must stay. Whether it is all gone.
pub(crate) fn remove_all(
    parent: &OwnedFd,
    name: &[u8],
    path: &[u8],
    is_kept: &dyn Fn(&[u8]) -> bool,
) -> Result<bool> {
    let fail = |error: Errno| ArchiveError::at("remove", path, error);
    if is_kept(path) {
        // A directory of this layer: what it hides is removed inside it.
        if let Ok(directory) = open_directory(parent, name) {
            remove_children(&directory, path, is_kept)?;
        }
        return Ok(false);
    }
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(true),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(fail(error)),
    }
    let directory = open_directory(parent, name).map_err(fail)?;
    if !remove_children(&directory, path, is_kept)? {
        return Ok(false);
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(fail)?;
    Ok(true)
}

/// Removes what is in a directory; whether nothing stayed.
pub(crate) fn remove_children(
    directory: &OwnedFd,
    path: &[u8],
    is_kept: &dyn Fn(&[u8]) -> bool,
) -> Result<bool> {
    let mut is_empty = true;
    for name in names(directory).map_err(|error| ArchiveError::at("read directory", path, error))? {
        let below = if path.is_empty() { name.clone() } else { [path, b"/", &name].concat() };
        is_empty &= remove_all(directory, &name, &below, is_kept)?;
    }
    Ok(is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_climbs_above_the_root() {
        for (name, cleaned) in [
            ("a/b", "a/b"),
            ("./a//b/", "a/b"),
            ("/a", "a"),
            ("../../a", "a"),
            ("a/../../b", "b"),
            ("a/..", ""),
            (".", ""),
            ("..", ""),
            ("/", ""),
        ] {
            assert_eq!(clean(name.as_bytes()), cleaned.as_bytes(), "{name}");
        }
    }
}
