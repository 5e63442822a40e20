//! The native snapshotter: each directory holds everything. It works on any filesystem.
//!
//! ```text
//! ROOT/snapshots/N/   the whole tree
//! ```

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use proto::containerd::types::Mount;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps};

use super::overlayfs::{copy_root, make_root, numbered, remove_tree};
use super::snapshotter::{Directory, Snapshotter};
use super::usage::{self, Usage};
use crate::error::{Error, Result};
use crate::metadata::tables::SnapshotKind;

/// See the module.
#[derive(Debug)]
pub struct Native {
    root: PathBuf,
}

impl Native {
    /// Opens it at `root`, creating its directories.
    ///
    /// # Errors
    /// They can't be made.
    pub fn open(root: &Path) -> Result<Self> {
        make_root(root)?;
        Ok(Self { root: root.to_owned() })
    }

    fn place(&self, directory: Directory) -> PathBuf {
        self.root.join("snapshots").join(directory.to_string())
    }

    fn make(&self, directory: Directory, kind: SnapshotKind, chain: &[Directory]) -> std::io::Result<()> {
        let place = self.place(directory);
        DirBuilder::new().mode(0o755).create(&place)?;
        fs::set_permissions(&place, Permissions::from_mode(0o755))?;
        match chain.first() {
            Some(parent) if kind == SnapshotKind::Active => {
                copy_tree(&self.place(*parent), &place, &mut HashMap::new())
            }
            _ => Ok(()),
        }
    }
}

impl Snapshotter for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn root(&self) -> &Path {
        &self.root
    }

    fn create(&self, directory: Directory, kind: SnapshotKind, chain: &[Directory]) -> Result<()> {
        self.make(directory, kind, chain).map_err(|e| {
            let _ = self.remove(directory);
            Error::caused(format!("create {}", self.place(directory).display()), e)
        })
    }

    fn mounts(&self, directory: Directory, kind: SnapshotKind, chain: &[Directory]) -> Result<Vec<Mount>> {
        let (shown, mode) = match (kind, chain.first()) {
            (SnapshotKind::Active, _) => (directory, "rw"),
            (_, Some(parent)) => (*parent, "ro"),
            (_, None) => (directory, "ro"),
        };
        Ok(vec![Mount {
            r#type: "bind".into(),
            source: self.place(shown).display().to_string(),
            target: String::new(),
            options: vec!["rbind".into(), mode.into()],
        }])
    }

    fn seal(&self, _directory: Directory, _chain: &[Directory]) -> Result<()> {
        Ok(())
    }

    fn usage(&self, directory: Directory, _chain: &[Directory]) -> Result<Usage> {
        let place = self.place(directory);
        usage::of_tree(&place).map_err(|e| Error::caused(format!("measure {}", place.display()), e))
    }

    fn remove(&self, directory: Directory) -> Result<()> {
        remove_tree(&self.place(directory))
    }

    fn directories(&self) -> Result<Vec<Directory>> {
        numbered(&self.root)
    }

    fn extraction_path(&self, _directory: Directory) -> Option<PathBuf> {
        None
    }
}

/// Copies everything in `from` into `to`, with owners, modes, times, xattrs, devices and hard links.
fn copy_tree(from: &Path, to: &Path, links: &mut HashMap<(u64, u64), PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let metadata = entry.metadata()?;
        if !metadata.is_dir() && metadata.nlink() > 1 {
            let inode = (metadata.dev(), metadata.ino());
            if let Some(first) = links.get(&inode) {
                fs::hard_link(first, &target)?;
                continue;
            }
            links.insert(inode, target.clone());
        }
        copy_entry(&source, &target, &metadata, links)?;
    }
    copy_xattrs(from, to)?;
    copy_root(from, to)?;
    copy_times(&fs::metadata(from)?, to)
}

fn copy_entry(
    source: &Path,
    target: &Path,
    metadata: &fs::Metadata,
    links: &mut HashMap<(u64, u64), PathBuf>,
) -> std::io::Result<()> {
    let kind = metadata.file_type();
    if kind.is_dir() {
        DirBuilder::new().mode(0o700).create(target)?;
        return copy_tree(source, target, links);
    }
    if kind.is_symlink() {
        symlink(fs::read_link(source)?, target)?;
        lchown(target, Some(metadata.uid()), Some(metadata.gid()))?;
        copy_xattrs(source, target)?;
        return copy_times(metadata, target);
    }
    if kind.is_file() {
        let mut file = File::create_new(target)?;
        std::io::copy(&mut File::open(source)?, &mut file)?;
    } else {
        let mode = Mode::from_raw_mode(metadata.mode() & 0o7777);
        let kind = if kind.is_char_device() {
            FileType::CharacterDevice
        } else if kind.is_block_device() {
            FileType::BlockDevice
        } else if kind.is_fifo() {
            FileType::Fifo
        } else {
            FileType::Socket
        };
        rustix::fs::mknodat(CWD, target, kind, mode, metadata.rdev())?;
    }
    lchown(target, Some(metadata.uid()), Some(metadata.gid()))?;
    // After the owner: changing it drops set-id bits and file capabilities.
    fs::set_permissions(target, Permissions::from_mode(metadata.mode() & 0o7777))?;
    copy_xattrs(source, target)?;
    copy_times(metadata, target)
}

fn copy_times(metadata: &fs::Metadata, to: &Path) -> std::io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: metadata.atime(), tv_nsec: metadata.atime_nsec() },
        last_modification: Timespec { tv_sec: metadata.mtime(), tv_nsec: metadata.mtime_nsec() },
    };
    Ok(rustix::fs::utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn copy_xattrs(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut names = vec![0_u8; 64 << 10];
    let used = match rustix::fs::llistxattr(from, &mut names) {
        Err(rustix::io::Errno::NOTSUP) => return Ok(()),
        used => used?,
    };
    let mut value = Vec::new();
    for name in names[..used].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let name = CString::new(std::ffi::OsStr::from_bytes(name).as_bytes())?;
        value.resize(64 << 10, 0);
        let size = rustix::fs::lgetxattr(from, &name, &mut value[..])?;
        match rustix::fs::lsetxattr(to, &name, &value[..size], rustix::fs::XattrFlags::empty()) {
            // The kernel's own (e.g. security labels on a filesystem without them).
            Err(rustix::io::Errno::NOTSUP) => {}
            set => set?,
        }
    }
    Ok(())
}
