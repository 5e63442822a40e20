//! Space on disk: allocated blocks, each inode once.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Space that a snapshot takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of allocated blocks.
    pub size: i64,
    /// Inodes.
    pub inodes: i64,
}

/// Measures a tree, without following links or counting a hard link twice.
///
/// # Errors
/// A directory can't be read. What vanishes meanwhile is left out.
pub(super) fn of_tree(root: &Path) -> std::io::Result<Usage> {
    let mut seen = HashSet::new();
    let mut usage = Usage::default();
    let mut waiting = vec![root.to_owned()];
    let mut count = |metadata: &fs::Metadata| {
        if seen.insert((metadata.dev(), metadata.ino())) {
            usage.size += i64::try_from(metadata.blocks() * 512).unwrap_or(i64::MAX);
            usage.inodes += 1;
        }
    };
    count(&fs::symlink_metadata(root)?);
    while let Some(dir) = waiting.pop() {
        let entries = match fs::read_dir(&dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            count(&metadata);
            if metadata.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Ok(usage)
}
