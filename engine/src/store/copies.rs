//! A file for each record, for the day the database is lost.
//!
//! Written after the database and not synced: the database is the truth, and what a crash leaves different is put
//! right when it is opened.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The folder of copies.
#[derive(Clone, Debug)]
pub(super) struct Copies {
    root: PathBuf,
}

impl Copies {
    pub(super) fn beside(database: &Path) -> Self {
        Self { root: database.with_extension("records") }
    }

    pub(super) fn put(&self, table: &str, key: &str, bytes: &[u8]) {
        let Some(path) = self.path(table, key) else { return };
        if let Err(error) = write(&path, bytes) {
            tracing::warn!(path = %path.display(), %error, "a record has no copy");
        }
    }

    pub(super) fn delete(&self, table: &str, key: &str) {
        let Some(path) = self.path(table, key) else { return };
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "the copy of a record stays");
        }
    }

    pub(super) fn get(&self, table: &str, key: &str) -> Option<Vec<u8>> {
        fs::read(self.path(table, key)?).ok()
    }

    /// Every copy that is whole: table, key, JSON.
    pub(super) fn all(&self) -> Vec<(String, String, Vec<u8>)> {
        let mut found = Vec::new();
        for table in names(&self.root) {
            for key in names(&self.root.join(&table)) {
                let Some(bytes) = self.get(&table, &key) else { continue };
                if serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok() {
                    found.push((table.clone(), key, bytes));
                }
            }
        }
        found
    }

    /// Makes a table's copies what its rows are. A row that is no JSON leaves its copy alone.
    pub(super) fn follow(&self, table: &str, rows: &[(String, Vec<u8>)]) {
        let keys: HashSet<&str> = rows.iter().map(|(key, _)| key.as_str()).collect();
        for name in names(&self.root.join(table)) {
            if !keys.contains(name.as_str()) {
                self.delete(table, &name);
            }
        }
        for (key, bytes) in rows {
            let is_whole = serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
            if is_whole && self.get(table, key).as_ref() != Some(bytes) {
                self.put(table, key, bytes);
            }
        }
    }

    /// None for a key that is no file name: there is none such among records.
    fn path(&self, table: &str, key: &str) -> Option<PathBuf> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let fits = |name: &str| !name.is_empty() && !name.starts_with('.') && name.chars().all(plain);
        (fits(table) && fits(key)).then(|| self.root.join(table).join(key))
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unready = path.with_file_name(format!(".{name}"));
    match fs::write(&unready, bytes) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(path);
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            fs::write(&unready, bytes)?;
        }
        other => other?,
    }
    fs::rename(&unready, path)
}

/// The names in a folder, but those of files that aren't ready.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect()
}
