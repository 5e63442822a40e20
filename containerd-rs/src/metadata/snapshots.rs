//! Records of snapshots. Their directories are the snapshotters'.

use redb::WriteTransaction;

use super::leases::{self, Resource};
use super::tables::{self, SNAPSHOTS, SnapshotRecord, Source};
use crate::error::Result;

fn joined(snapshotter: &str, key: &str) -> String {
    format!("{snapshotter}/{key}")
}

/// One snapshot.
pub(crate) fn get(
    source: &impl Source,
    ns: &str,
    snapshotter: &str,
    key: &str,
) -> Result<Option<SnapshotRecord>> {
    tables::get(source, SNAPSHOTS, ns, &joined(snapshotter, key))
}

/// All snapshots of a snapshotter in a namespace.
pub(crate) fn list(source: &impl Source, ns: &str, snapshotter: &str) -> Result<Vec<SnapshotRecord>> {
    tables::list(source, SNAPSHOTS, ns, &joined(snapshotter, ""))
}

/// Names of the snapshotters a namespace uses.
pub(crate) fn snapshotters(source: &impl Source, ns: &str) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    tables::scan(source, SNAPSHOTS, ns, "", |key, _| {
        let name = key.split('/').next().unwrap_or_default();
        if names.last().is_none_or(|last| last != name) {
            names.push(name.to_owned());
        }
        Ok(())
    })?;
    Ok(names)
}

/// Writes a record.
pub(crate) fn put(
    txn: &WriteTransaction,
    ns: &str,
    snapshotter: &str,
    record: &SnapshotRecord,
) -> Result<()> {
    tables::put(txn, SNAPSHOTS, ns, &joined(snapshotter, &record.key), record)
}

/// Removes a record and what leases say of it.
pub(crate) fn remove(txn: &WriteTransaction, ns: &str, snapshotter: &str, key: &str) -> Result<()> {
    tables::remove(txn, SNAPSHOTS, ns, &joined(snapshotter, key))?;
    leases::forget(txn, ns, &Resource::snapshot(snapshotter, key))
}
