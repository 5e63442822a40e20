//! The overlayfs snapshotter: each directory holds its layer's changes.
//!
//! ```text
//! ROOT/snapshots/N/fs     the layer (an upper or lower directory)
//!                  work   overlay's own, of active snapshots
//! ```

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use proto::containerd::types::Mount;

use super::snapshotter::{Directory, Snapshotter};
use super::usage::{self, Usage};
use crate::error::{Error, Result};
use crate::metadata::tables::SnapshotKind;

/// See the module.
#[derive(Debug)]
pub struct Overlayfs {
    root: PathBuf,
    /// Options that every overlay mount gets on this machine.
    extra: Vec<String>,
}

impl Overlayfs {
    /// Opens it at `root`, creating its directories.
    ///
    /// # Errors
    /// They can't be made.
    pub fn open(root: &Path) -> Result<Self> {
        make_root(root)?;
        let mut extra = Vec::new();
        if Path::new("/sys/module/overlay/parameters/index").exists() {
            extra.push("index=off".to_owned());
        }
        if in_user_namespace() {
            extra.push("userxattr".to_owned());
        }
        Ok(Self { root: root.to_owned(), extra })
    }

    fn place(&self, directory: Directory) -> PathBuf {
        self.root.join("snapshots").join(directory.to_string())
    }

    fn layer(&self, directory: Directory) -> PathBuf {
        self.place(directory).join("fs")
    }

    fn work(&self, directory: Directory) -> PathBuf {
        self.place(directory).join("work")
    }

    fn make(&self, directory: Directory, kind: SnapshotKind, chain: &[Directory]) -> std::io::Result<()> {
        DirBuilder::new().mode(0o700).create(self.place(directory))?;
        let layer = self.layer(directory);
        DirBuilder::new().mode(0o755).create(&layer)?;
        fs::set_permissions(&layer, Permissions::from_mode(0o755))?;
        if kind == SnapshotKind::Active {
            DirBuilder::new().mode(0o711).create(self.work(directory))?;
        }
        if let Some(parent) = chain.first() {
            // The topmost directory's owner and mode are those of the merged root.
            copy_root(&self.layer(*parent), &layer)?;
        }
        Ok(())
    }
}

impl Snapshotter for Overlayfs {
    fn name(&self) -> &'static str {
        "overlayfs"
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
        let text = |path: PathBuf| path.display().to_string();
        let bind = |source: PathBuf, mode: &str| Mount {
            r#type: "bind".into(),
            source: text(source),
            target: String::new(),
            options: vec![mode.into(), "rbind".into()],
        };
        let is_view = kind != SnapshotKind::Active;
        match chain {
            [] => return Ok(vec![bind(self.layer(directory), if is_view { "ro" } else { "rw" })]),
            [only] if is_view => return Ok(vec![bind(self.layer(*only), "ro")]),
            _ => {}
        }
        let mut options = self.extra.clone();
        if !is_view {
            options.push(format!("workdir={}", text(self.work(directory))));
            options.push(format!("upperdir={}", text(self.layer(directory))));
        }
        let lower: Vec<_> = chain.iter().map(|parent| text(self.layer(*parent))).collect();
        options.push(format!("lowerdir={}", lower.join(":")));
        Ok(vec![Mount { r#type: "overlay".into(), source: "overlay".into(), target: String::new(), options }])
    }

    fn seal(&self, directory: Directory, chain: &[Directory]) -> Result<()> {
        let step = |e| Error::caused(format!("seal {}", self.place(directory).display()), e);
        let layer = self.layer(directory);
        if let Some(parent) = chain.first() {
            // A layer extracted alone that says nothing of its root takes its parent's.
            let own = fs::metadata(&layer).map_err(step)?;
            if (own.uid(), own.gid(), own.mode() & 0o7777) == (0, 0, 0o755) {
                copy_root(&self.layer(*parent), &layer).map_err(step)?;
            }
        }
        Ok(())
    }

    fn usage(&self, directory: Directory, _chain: &[Directory]) -> Result<Usage> {
        let layer = self.layer(directory);
        usage::of_tree(&layer).map_err(|e| Error::caused(format!("measure {}", layer.display()), e))
    }

    fn remove(&self, directory: Directory) -> Result<()> {
        remove_tree(&self.place(directory))
    }

    fn directories(&self) -> Result<Vec<Directory>> {
        numbered(&self.root)
    }

    fn extraction_path(&self, directory: Directory) -> Option<PathBuf> {
        Some(self.layer(directory))
    }
}

/// Makes a snapshotter's root and the place for its directories.
pub(super) fn make_root(root: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root.join("snapshots"))
        .map_err(|e| Error::caused(format!("create {}", root.display()), e))
}

/// Removes a tree; one that is gone is no error.
pub(super) fn remove_tree(place: &Path) -> Result<()> {
    match fs::remove_dir_all(place) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::caused(format!("remove {}", place.display()), e))
        }
        _ => Ok(()),
    }
}

/// The numbers of all directories under `root`.
pub(super) fn numbered(root: &Path) -> Result<Vec<Directory>> {
    let dir = root.join("snapshots");
    let step = |e| Error::caused(format!("list {}", dir.display()), e);
    let mut all = Vec::new();
    for entry in fs::read_dir(&dir).map_err(step)? {
        if let Some(number) = entry.map_err(step)?.file_name().to_str().and_then(|n| n.parse().ok()) {
            all.push(number);
        }
    }
    Ok(all)
}

/// Gives a root directory the owner and mode of another.
pub(super) fn copy_root(from: &Path, to: &Path) -> std::io::Result<()> {
    let metadata = fs::metadata(from)?;
    chown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    fs::set_permissions(to, Permissions::from_mode(metadata.mode() & 0o7777))
}

fn in_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let fields: Vec<_> = map.split_whitespace().collect();
    !map.is_empty() && fields != ["0", "0", "4294967295"]
}
