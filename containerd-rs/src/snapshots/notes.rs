//! A note beside each directory says whose it is: read only when the metadata was lost.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::snapshotter::{Directory, Snapshotter};
use crate::error::{Error, Result};
use crate::metadata::labels::Labels;
use crate::metadata::tables::{self, SnapshotKind, SnapshotRecord};
use crate::metadata::{Db, ensure_namespace, snapshots as records};

#[derive(Serialize, Deserialize)]
struct Note {
    namespace: String,
    key: String,
    parent: String,
    kind: i32,
    size: i64,
    inodes: i64,
}

fn path(snapshotter: &dyn Snapshotter, directory: Directory) -> PathBuf {
    snapshotter.root().join("notes").join(format!("{directory}.json"))
}

/// Writes the note of a record.
pub(super) fn write(snapshotter: &dyn Snapshotter, ns: &str, record: &SnapshotRecord) -> Result<()> {
    let path = path(snapshotter, record.directory);
    let step = |e| Error::caused(format!("write {}", path.display()), e);
    let note = Note {
        namespace: ns.to_owned(),
        key: record.key.clone(),
        parent: record.parent.clone(),
        kind: record.kind,
        size: record.size,
        inodes: record.inodes,
    };
    let text =
        serde_json::to_vec(&note).map_err(|e| Error::caused(format!("write {}", path.display()), e))?;
    let half = path.with_extension("new");
    match fs::write(&half, &text) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            fs::create_dir_all(snapshotter.root().join("notes")).map_err(step)?;
            fs::write(&half, &text).map_err(step)?;
        }
        written => written.map_err(step)?,
    }
    fs::rename(&half, &path).map_err(step)
}

/// Removes a directory's note. One that stays names nothing and does no harm.
pub(super) fn remove(snapshotter: &dyn Snapshotter, directory: Directory) {
    let _ = fs::remove_file(path(snapshotter, directory));
}

/// Makes records from the notes of all directories. A snapshot whose parent is lost is left out.
pub(super) fn rebuild(db: &Db, snapshotters: &[Arc<dyn Snapshotter>]) -> Result<()> {
    for snapshotter in snapshotters {
        let mut found: Vec<(String, SnapshotRecord)> = Vec::new();
        for directory in snapshotter.directories()? {
            let Some(note) = read(snapshotter.as_ref(), directory) else { continue };
            let labels = Labels::from([(
                "containerd.io/gc.root".to_owned(),
                "found after the metadata was lost".to_owned(),
            )]);
            let record = SnapshotRecord {
                key: note.key,
                parent: note.parent,
                kind: note.kind,
                directory,
                labels,
                created_at: tables::now(),
                updated_at: tables::now(),
                size: note.size,
                inodes: note.inodes,
            };
            found.push((note.namespace, record));
        }
        keep_whole_chains(&mut found);
        let count = found.len();
        if count == 0 {
            continue;
        }
        db.write(|txn| {
            for (ns, record) in &found {
                ensure_namespace(txn, ns)?;
                records::put(txn, ns, snapshotter.name(), record)?;
            }
            Ok(())
        })?;
        tracing::warn!(
            snapshotter = snapshotter.name(),
            count,
            "snapshots were recorded again from their notes"
        );
    }
    Ok(())
}

fn read(snapshotter: &dyn Snapshotter, directory: Directory) -> Option<Note> {
    let text = fs::read(path(snapshotter, directory)).ok()?;
    serde_json::from_slice(&text).ok()
}

fn keep_whole_chains(found: &mut Vec<(String, SnapshotRecord)>) {
    loop {
        let committed: std::collections::HashSet<(String, String)> = found
            .iter()
            .filter(|(_, record)| record.kind() == SnapshotKind::Committed)
            .map(|(ns, record)| (ns.clone(), record.key.clone()))
            .collect();
        let before = found.len();
        found.retain(|(ns, record)| {
            record.parent.is_empty() || committed.contains(&(ns.clone(), record.parent.clone()))
        });
        if found.len() == before {
            return;
        }
    }
}
