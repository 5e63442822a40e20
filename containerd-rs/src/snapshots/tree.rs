//! The tree of snapshots: names, parents, kinds, labels and leases over the snapshotters.
//!
//! A directory is made before its record and removed after it, so a crash leaves at worst a
//! directory without a record, which is swept at the next start.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use proto::containerd::events::{SnapshotCommit, SnapshotPrepare, SnapshotRemove};
use proto::containerd::types::Mount;
use proto::topics;
use redb::WriteTransaction;

use super::extraction::Extraction;
use super::notes;
use super::snapshotter::{Directory, Snapshotter};
use super::usage::Usage;
use crate::error::{Error, Result};
use crate::metadata::field_mask::{Path as FieldPath, update_labels};
use crate::metadata::filters::{Filters, labels_field};
use crate::metadata::labels::{self, Labels};
use crate::metadata::leases::{self, Resource};
use crate::metadata::tables::{self, SnapshotKind, SnapshotRecord, Source};
use crate::metadata::{Db, snapshots as records};

/// Longest line of ancestors; overlay's own bound is 500 lower directories.
const MAX_DEPTH: usize = 500;

/// A snapshot as its record tells.
pub type Info = SnapshotRecord;

/// All snapshots of all snapshotters. Cheap to clone; every method may block.
#[derive(Clone, Debug)]
pub struct Snapshots {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: Db,
    snapshotters: BTreeMap<&'static str, Arc<dyn Snapshotter>>,
    next: AtomicU64,
    /// Directories whose records are gone, removed at the next clean-up.
    doomed: Mutex<Vec<(Arc<dyn Snapshotter>, Directory)>>,
}

impl Snapshots {
    /// Takes the snapshotters, and sweeps directories that no record names.
    ///
    /// # Errors
    /// A root or the database can't be read.
    pub fn open(db: Db, snapshotters: Vec<Arc<dyn Snapshotter>>) -> Result<Self> {
        if db.is_fresh() {
            notes::rebuild(&db, &snapshotters)?;
        }
        let mut named: HashSet<(String, Directory)> = HashSet::new();
        let read = db.read()?;
        for ns in crate::metadata::namespace_names(&read)? {
            for snapshotter in records::snapshotters(&read, &ns)? {
                for record in records::list(&read, &ns, &snapshotter)? {
                    named.insert((snapshotter.clone(), record.directory));
                }
            }
        }
        drop(read);
        let mut last = named.iter().map(|(_, directory)| *directory).max().unwrap_or(0);
        for snapshotter in &snapshotters {
            for directory in snapshotter.directories()? {
                last = last.max(directory);
                if !named.contains(&(snapshotter.name().to_owned(), directory)) {
                    tracing::info!(
                        snapshotter = snapshotter.name(),
                        directory,
                        "removing a half-made snapshot directory"
                    );
                    notes::remove(snapshotter.as_ref(), directory);
                    snapshotter.remove(directory)?;
                }
            }
        }
        let snapshotters = snapshotters.into_iter().map(|s| (s.name(), s)).collect();
        let inner = Inner { db, snapshotters, next: AtomicU64::new(last + 1), doomed: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The snapshotters there are.
    pub fn snapshotters(&self) -> impl Iterator<Item = &Arc<dyn Snapshotter>> {
        self.inner.snapshotters.values()
    }

    fn snapshotter(&self, name: &str) -> Result<&Arc<dyn Snapshotter>> {
        if name.is_empty() {
            return Err(Error::invalid("snapshotter argument missing"));
        }
        self.inner
            .snapshotters
            .get(name)
            .ok_or_else(|| Error::invalid(format!("snapshotter not loaded: {name}")))
    }

    /// Makes a writable snapshot on `parent` (empty for none), held by `lease`.
    ///
    /// # Errors
    /// The key exists, the parent doesn't or isn't committed, the lease is gone.
    pub fn prepare(
        &self,
        ns: &str,
        snapshotter: &str,
        key: &str,
        parent: &str,
        labels: Labels,
        lease: Option<&str>,
    ) -> Result<Vec<Mount>> {
        self.make(ns, snapshotter, SnapshotKind::Active, key, parent, labels, lease)
    }

    /// Makes a read-only snapshot of `parent`, held by `lease`.
    ///
    /// # Errors
    /// See [`Snapshots::prepare`].
    pub fn view(
        &self,
        ns: &str,
        snapshotter: &str,
        key: &str,
        parent: &str,
        labels: Labels,
        lease: Option<&str>,
    ) -> Result<Vec<Mount>> {
        self.make(ns, snapshotter, SnapshotKind::View, key, parent, labels, lease)
    }

    #[allow(clippy::too_many_arguments, reason = "the request's own fields, each once")]
    fn make(
        &self,
        ns: &str,
        snapshotter: &str,
        kind: SnapshotKind,
        key: &str,
        parent: &str,
        labels: Labels,
        lease: Option<&str>,
    ) -> Result<Vec<Mount>> {
        let driver = self.snapshotter(snapshotter)?;
        check_name("key", key)?;
        labels::check(&labels)?;
        let read = self.inner.db.read()?;
        if records::get(&read, ns, snapshotter, key)?.is_some() {
            return Err(Error::already_exists(format!("snapshot {key:?}")));
        }
        let chain = parent_chain(&read, ns, snapshotter, parent)?;
        drop(read);
        let directory = self.inner.next.fetch_add(1, Ordering::Relaxed);
        driver.create(directory, kind, &chain)?;
        let record = SnapshotRecord {
            key: key.to_owned(),
            parent: parent.to_owned(),
            kind: kind.into(),
            directory,
            labels,
            created_at: tables::now(),
            updated_at: tables::now(),
            size: 0,
            inodes: 0,
        };
        let noted = notes::write(driver.as_ref(), ns, &record);
        let made = noted.and_then(|()| {
            self.inner.db.write(|txn| {
                // Asked again: both may have changed while the directory was made.
                parent_chain(txn, ns, snapshotter, parent)?;
                insert(txn, ns, snapshotter, &record, lease)
            })
        });
        if let Err(error) = made {
            notes::remove(driver.as_ref(), directory);
            let _ = driver.remove(directory);
            return Err(error);
        }
        let event =
            SnapshotPrepare { key: key.into(), parent: parent.into(), snapshotter: snapshotter.into() };
        self.inner.db.events().publish(ns, topics::SNAPSHOT_PREPARE, &event);
        driver.mounts(directory, kind, &chain)
    }

    /// The mounts of an active snapshot or a view.
    ///
    /// # Errors
    /// Not found; failed precondition for a committed one.
    pub fn mounts(&self, ns: &str, snapshotter: &str, key: &str) -> Result<Vec<Mount>> {
        let driver = self.snapshotter(snapshotter)?;
        let read = self.inner.db.read()?;
        let record = find(&read, ns, snapshotter, key)?;
        if record.kind() == SnapshotKind::Committed {
            return Err(Error::precondition(format!("snapshot {key:?} is committed and has no mounts")));
        }
        let chain = parent_chain(&read, ns, snapshotter, &record.parent)?;
        driver.mounts(record.directory, record.kind(), &chain)
    }

    /// Turns the active snapshot `key` into the committed one `name`. `parent`, if given, becomes
    /// the parent of a snapshot that has none.
    ///
    /// # Errors
    /// The name exists; the key doesn't or isn't active; the lease is gone.
    #[allow(clippy::too_many_arguments, reason = "the request's own fields, each once")]
    pub fn commit(
        &self,
        ns: &str,
        snapshotter: &str,
        name: &str,
        key: &str,
        parent: &str,
        labels: Labels,
        lease: Option<&str>,
    ) -> Result<()> {
        let driver = self.snapshotter(snapshotter)?;
        check_name("name", name)?;
        labels::check(&labels)?;
        let read = self.inner.db.read()?;
        if records::get(&read, ns, snapshotter, name)?.is_some() {
            return Err(Error::already_exists(format!("snapshot {name:?}")));
        }
        let active = find_active(&read, ns, snapshotter, key)?;
        let parent = choose_parent(&active, parent)?;
        let chain = parent_chain(&read, ns, snapshotter, &parent)?;
        drop(read);
        driver.seal(active.directory, &chain)?;
        let usage = driver.usage(active.directory, &chain)?;
        let record = SnapshotRecord {
            key: name.to_owned(),
            parent: parent.clone(),
            kind: SnapshotKind::Committed.into(),
            labels,
            updated_at: tables::now(),
            size: usage.size,
            inodes: usage.inodes,
            ..active
        };
        self.inner.db.write(|txn| {
            if records::get(txn, ns, snapshotter, name)?.is_some() {
                return Err(Error::already_exists(format!("snapshot {name:?}")));
            }
            find_active(txn, ns, snapshotter, key)?;
            parent_chain(txn, ns, snapshotter, &parent)?;
            records::remove(txn, ns, snapshotter, key)?;
            insert(txn, ns, snapshotter, &record, lease)
        })?;
        // After the deed: a note that lags behind still names the directory.
        notes::write(driver.as_ref(), ns, &record)?;
        self.announce_commit(ns, snapshotter, key, name);
        Ok(())
    }

    /// Makes a directory for a layer that is unpacked without its parent; none where the
    /// snapshotter can't (then prepare, apply onto the mounts and commit, in the order of the chain).
    ///
    /// # Errors
    /// The directory can't be made.
    pub fn extract(&self, snapshotter: &str) -> Result<Option<Extraction>> {
        let driver = self.snapshotter(snapshotter)?;
        let directory = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let Some(path) = driver.extraction_path(directory) else { return Ok(None) };
        driver.create(directory, SnapshotKind::Active, &[])?;
        Ok(Some(Extraction::new(driver.clone(), directory, path)))
    }

    /// Gives an extracted layer its committed name and its parent (empty for none).
    ///
    /// # Errors
    /// The name exists (the directory is removed and the winner's stays); the parent doesn't
    /// exist or isn't committed; the lease is gone.
    pub fn commit_extraction(
        &self,
        ns: &str,
        extraction: Extraction,
        name: &str,
        parent: &str,
        labels: Labels,
        lease: Option<&str>,
    ) -> Result<()> {
        let snapshotter = extraction.snapshotter();
        let driver = self.snapshotter(snapshotter)?;
        check_name("name", name)?;
        labels::check(&labels)?;
        let read = self.inner.db.read()?;
        if records::get(&read, ns, snapshotter, name)?.is_some() {
            return Err(Error::already_exists(format!("snapshot {name:?}")));
        }
        let chain = parent_chain(&read, ns, snapshotter, parent)?;
        drop(read);
        driver.seal(extraction.directory(), &chain)?;
        let usage = driver.usage(extraction.directory(), &chain)?;
        let record = SnapshotRecord {
            key: name.to_owned(),
            parent: parent.to_owned(),
            kind: SnapshotKind::Committed.into(),
            directory: extraction.directory(),
            labels,
            created_at: tables::now(),
            updated_at: tables::now(),
            size: usage.size,
            inodes: usage.inodes,
        };
        notes::write(driver.as_ref(), ns, &record)?;
        let made = self.inner.db.write(|txn| {
            parent_chain(txn, ns, snapshotter, parent)?;
            insert(txn, ns, snapshotter, &record, lease)
        });
        if let Err(error) = made {
            notes::remove(driver.as_ref(), extraction.directory());
            return Err(error);
        }
        extraction.keep();
        self.announce_commit(ns, snapshotter, name, name);
        Ok(())
    }

    /// Removes a snapshot; its directory goes at the next clean-up.
    ///
    /// # Errors
    /// Not found; failed precondition while it has children.
    pub fn remove(&self, ns: &str, snapshotter: &str, key: &str) -> Result<()> {
        let driver = self.snapshotter(snapshotter)?.clone();
        let directory = self.inner.db.write(|txn| {
            let record = find(txn, ns, snapshotter, key)?;
            if record.kind() == SnapshotKind::Committed
                && records::list(txn, ns, snapshotter)?.iter().any(|other| other.parent == key)
            {
                return Err(Error::precondition("cannot remove snapshot with child"));
            }
            records::remove(txn, ns, snapshotter, key)?;
            Ok(record.directory)
        })?;
        self.doom(driver, directory);
        self.announce_removal(ns, snapshotter, key);
        self.inner.db.changes().deleted();
        Ok(())
    }

    /// A snapshot's record.
    ///
    /// # Errors
    /// Not found.
    pub fn stat(&self, ns: &str, snapshotter: &str, key: &str) -> Result<Info> {
        self.snapshotter(snapshotter)?;
        find(&self.inner.db.read()?, ns, snapshotter, key)
    }

    /// Changes labels.
    ///
    /// # Errors
    /// Not found; a path other than labels; a label too long.
    pub fn update(
        &self,
        ns: &str,
        snapshotter: &str,
        key: &str,
        new: &Labels,
        paths: &[FieldPath<'_>],
    ) -> Result<Info> {
        self.snapshotter(snapshotter)?;
        let updated = self.inner.db.write(|txn| {
            let mut current = find(txn, ns, snapshotter, key)?;
            if let Some(path) = update_labels(&mut current.labels, new, paths) {
                let text = format!("cannot update {:?} field on snapshot {key:?}", path.to_string());
                return Err(Error::invalid(text));
            }
            labels::check(&current.labels)?;
            current.updated_at = tables::now();
            records::put(txn, ns, snapshotter, &current)?;
            Ok(current)
        })?;
        self.inner.db.changes().deleted();
        Ok(updated)
    }

    /// The snapshots of a namespace that `filters` let through.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn list(&self, ns: &str, snapshotter: &str, filters: &Filters) -> Result<Vec<Info>> {
        self.snapshotter(snapshotter)?;
        let mut all = records::list(&self.inner.db.read()?, ns, snapshotter)?;
        all.retain(|info| {
            filters.matches(&|path: &[&str]| match path {
                ["kind"] => Some(kind_name(info.kind()).to_owned()),
                ["name"] => Some(info.key.clone()),
                ["parent"] => Some(info.parent.clone()).filter(|parent| !parent.is_empty()),
                ["labels", rest @ ..] => labels_field(&info.labels, rest),
                _ => None,
            })
        });
        Ok(all)
    }

    /// Space a snapshot takes: measured now if it is active, stored if committed, 0 for a view.
    ///
    /// # Errors
    /// Not found; the files can't be read.
    pub fn usage(&self, ns: &str, snapshotter: &str, key: &str) -> Result<Usage> {
        let driver = self.snapshotter(snapshotter)?;
        let read = self.inner.db.read()?;
        let record = find(&read, ns, snapshotter, key)?;
        match record.kind() {
            SnapshotKind::View => Ok(Usage::default()),
            SnapshotKind::Committed => Ok(Usage { size: record.size, inodes: record.inodes }),
            SnapshotKind::Active => {
                let chain = parent_chain(&read, ns, snapshotter, &record.parent)?;
                drop(read);
                driver.usage(record.directory, &chain)
            }
        }
    }

    /// Removes the directories of snapshots that are gone. One that can't be removed is tried again
    /// at the next clean-up.
    pub fn cleanup(&self) {
        let doomed = std::mem::take(&mut *self.inner.doomed.lock().unwrap_or_else(PoisonError::into_inner));
        for (driver, directory) in doomed {
            notes::remove(driver.as_ref(), directory);
            if let Err(error) = driver.remove(directory) {
                tracing::warn!(%error, snapshotter = driver.name(), directory, "a removed snapshot's directory stays for now");
                self.doom(driver, directory);
            }
        }
    }

    /// Has the directory of a record that garbage collection removed taken by the next clean-up.
    pub(crate) fn collected(&self, ns: &str, snapshotter: &str, record: &SnapshotRecord) {
        if let Some(driver) = self.inner.snapshotters.get(snapshotter) {
            self.doom(driver.clone(), record.directory);
        }
        self.announce_removal(ns, snapshotter, &record.key);
    }

    fn doom(&self, driver: Arc<dyn Snapshotter>, directory: Directory) {
        self.inner.doomed.lock().unwrap_or_else(PoisonError::into_inner).push((driver, directory));
    }

    fn announce_commit(&self, ns: &str, snapshotter: &str, key: &str, name: &str) {
        let event = SnapshotCommit { key: key.into(), name: name.into(), snapshotter: snapshotter.into() };
        self.inner.db.events().publish(ns, topics::SNAPSHOT_COMMIT, &event);
    }

    fn announce_removal(&self, ns: &str, snapshotter: &str, key: &str) {
        let event = SnapshotRemove { key: key.into(), snapshotter: snapshotter.into() };
        self.inner.db.events().publish(ns, topics::SNAPSHOT_REMOVE, &event);
    }
}

fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid(format!("snapshot {what} must not be empty")));
    }
    Ok(())
}

fn kind_name(kind: SnapshotKind) -> &'static str {
    match kind {
        SnapshotKind::View => "view",
        SnapshotKind::Active => "active",
        SnapshotKind::Committed => "committed",
    }
}

fn find(source: &impl Source, ns: &str, snapshotter: &str, key: &str) -> Result<SnapshotRecord> {
    records::get(source, ns, snapshotter, key)?
        .ok_or_else(|| Error::not_found(format!("snapshot {key} does not exist")))
}

fn find_active(source: &impl Source, ns: &str, snapshotter: &str, key: &str) -> Result<SnapshotRecord> {
    let record = find(source, ns, snapshotter, key)?;
    if record.kind() != SnapshotKind::Active {
        return Err(Error::precondition(format!("snapshot {key} is not active")));
    }
    Ok(record)
}

fn choose_parent(active: &SnapshotRecord, wanted: &str) -> Result<String> {
    match (active.parent.as_str(), wanted) {
        (has, "") => Ok(has.to_owned()),
        ("", wanted) => Ok(wanted.to_owned()),
        (has, wanted) if has == wanted => Ok(has.to_owned()),
        (has, wanted) => {
            Err(Error::precondition(format!("snapshot {:?} has parent {has:?}, not {wanted:?}", active.key)))
        }
    }
}

/// The directories of `parent` and its ancestors, nearest first.
fn parent_chain(source: &impl Source, ns: &str, snapshotter: &str, parent: &str) -> Result<Vec<Directory>> {
    let mut chain = Vec::new();
    let mut next = parent.to_owned();
    while !next.is_empty() {
        let record = records::get(source, ns, snapshotter, &next)?
            .ok_or_else(|| Error::not_found(format!("parent snapshot {next} does not exist")))?;
        if record.kind() != SnapshotKind::Committed {
            return Err(Error::invalid(format!("parent {next:?} is not committed snapshot")));
        }
        if chain.len() == MAX_DEPTH {
            return Err(Error::precondition(format!(
                "snapshot {parent:?} has more than {MAX_DEPTH} ancestors"
            )));
        }
        chain.push(record.directory);
        next = record.parent;
    }
    Ok(chain)
}

fn insert(
    txn: &WriteTransaction,
    ns: &str,
    snapshotter: &str,
    record: &SnapshotRecord,
    lease: Option<&str>,
) -> Result<()> {
    if records::get(txn, ns, snapshotter, &record.key)?.is_some() {
        return Err(Error::already_exists(format!("snapshot {:?}", record.key)));
    }
    crate::metadata::ensure_namespace(txn, ns)?;
    leases::hold(txn, ns, lease, &Resource::snapshot(snapshotter, &record.key))?;
    records::put(txn, ns, snapshotter, record)
}
