//! The handle on the metadata file: transactions, and who is told when something changed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};
use tokio::sync::Notify;

use super::tables::{META, Source};
use super::{Containers, Images, Leases, Namespaces, Sandboxes, open};
use crate::error::{Error, Result};
use crate::events::Exchange;

/// All records of the daemon. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// Empty only while a failed file is being opened again.
    database: RwLock<Option<Database>>,
    fresh: bool,
    set_aside: Option<PathBuf>,
    events: Exchange,
    changes: Changes,
}

/// What garbage collection has to know of changes.
#[derive(Debug, Default)]
pub struct Changes {
    mutations: AtomicU64,
    deleted: AtomicBool,
    notify: Notify,
}

impl Changes {
    fn note(&self) {
        self.mutations.fetch_add(1, Ordering::Relaxed);
        self.notify.notify_one();
    }

    /// Says that something was deleted or let go, so that a collection may find work.
    pub fn deleted(&self) {
        self.deleted.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// Committed write transactions since the last call, and whether one of them deleted.
    pub fn take(&self) -> (u64, bool) {
        (self.mutations.swap(0, Ordering::Relaxed), self.deleted.swap(false, Ordering::Acquire))
    }

    /// Committed write transactions and deletions since the last [`Changes::take`], left as they are.
    pub fn peek(&self) -> (u64, bool) {
        (self.mutations.load(Ordering::Relaxed), self.deleted.load(Ordering::Acquire))
    }

    /// Waits until something changes.
    pub async fn wait(&self) {
        self.notify.notified().await;
    }
}

impl Db {
    /// Opens or creates the file. Changes are told to `events`.
    ///
    /// # Errors
    /// The file is of an unknown version, open elsewhere, or can't be read or written. A damaged
    /// file is no error: see [`Db::set_aside`].
    pub fn open(path: &Path, events: Exchange) -> Result<Self> {
        let opened = open::open(path)?;
        Ok(Self {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                database: RwLock::new(Some(opened.database)),
                fresh: opened.fresh,
                set_aside: opened.set_aside,
                events,
                changes: Changes::default(),
            }),
        })
    }

    /// The records are new or were lost, and not [settled](Db::settle): what lies on the disk without one may
    /// be an earlier daemon's.
    pub fn is_fresh(&self) -> bool {
        self.inner.fresh
    }

    /// Says that what lay on the disk has its records again. From the next start on, the rest is rubbish.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn settle(&self) -> Result<()> {
        self.write_quietly(|txn| {
            let mut meta =
                txn.open_table(META).map_err(|e| Error::caused("open table meta of the metadata", e))?;
            meta.insert("version", open::VERSION).map_err(|e| Error::caused("write the metadata", e))?;
            Ok(())
        })
    }

    /// Where a damaged file was put when this one was opened; the new one is empty then.
    pub fn set_aside(&self) -> Option<&Path> {
        self.inner.set_aside.as_deref()
    }

    /// The exchange that changes are told to.
    pub fn events(&self) -> &Exchange {
        &self.inner.events
    }

    /// What changed since garbage collection looked.
    pub fn changes(&self) -> &Changes {
        &self.inner.changes
    }

    /// Containers.
    pub fn containers(&self) -> Containers<'_> {
        Containers(self)
    }

    /// Images.
    pub fn images(&self) -> Images<'_> {
        Images(self)
    }

    /// Leases.
    pub fn leases(&self) -> Leases<'_> {
        Leases(self)
    }

    /// Namespaces.
    pub fn namespaces(&self) -> Namespaces<'_> {
        Namespaces(self)
    }

    /// Sandboxes.
    pub fn sandboxes(&self) -> Sandboxes<'_> {
        Sandboxes(self)
    }

    /// A snapshot of everything; it stays as it is while others write.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn read(&self) -> Result<ReadTransaction> {
        self.with_database(|database| {
            database.begin_read().map_err(|e| Error::caused("begin to read the metadata", e))
        })
    }

    /// Runs `work` in a write transaction, which is committed if it succeeds and leaves no trace
    /// if it fails. One writer runs at a time.
    ///
    /// # Errors
    /// What `work` returns; the file can't be written.
    pub fn write<T>(&self, work: impl FnOnce(&WriteTransaction) -> Result<T>) -> Result<T> {
        let value = self.write_quietly(work)?;
        self.inner.changes.note();
        Ok(value)
    }

    /// As [`Db::write`], but not counted as a change: for garbage collection's own.
    ///
    /// # Errors
    /// See [`Db::write`].
    pub(crate) fn write_quietly<T>(&self, work: impl FnOnce(&WriteTransaction) -> Result<T>) -> Result<T> {
        let txn = self.begin_write()?;
        let value = work(&txn)?;
        let next = generation(&txn)? + 1;
        {
            let mut meta =
                txn.open_table(META).map_err(|e| Error::caused("open table meta of the metadata", e))?;
            meta.insert("generation", next).map_err(|e| Error::caused("write the metadata", e))?;
        }
        txn.commit().map_err(|e| Error::caused("write the metadata", e))?;
        Ok(value)
    }

    fn begin_write(&self) -> Result<WriteTransaction> {
        let step = "begin to write the metadata";
        let first = self.with_database(|database| match database.begin_write() {
            Ok(txn) => Ok(Some(txn)),
            // redb gives up on a file after a failed write (a full disk); opened again it is sound.
            Err(redb::TransactionError::Storage(redb::StorageError::PreviousIo)) => Ok(None),
            Err(e) => Err(Error::caused(step, e)),
        })?;
        if let Some(txn) = first {
            return Ok(txn);
        }
        self.reopen()?;
        self.with_database(|database| database.begin_write().map_err(|e| Error::caused(step, e)))
    }

    fn reopen(&self) -> Result<()> {
        let mut slot = self.inner.database.write().unwrap_or_else(PoisonError::into_inner);
        *slot = None;
        let database = Database::builder().open(&self.inner.path).map_err(|e| {
            Error::caused(format!("open {} again after a failed write", self.inner.path.display()), e)
        })?;
        *slot = Some(database);
        Ok(())
    }

    fn with_database<T>(&self, work: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        {
            let slot = self.inner.database.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(database) = slot.as_ref() {
                return work(database);
            }
        }
        self.reopen()?;
        let slot = self.inner.database.read().unwrap_or_else(PoisonError::into_inner);
        match slot.as_ref() {
            Some(database) => work(database),
            None => Err(Error::new(crate::error::Kind::Unavailable, "the metadata is being opened again")),
        }
    }
}

/// Number of the last committed write transaction that `source` sees.
///
/// # Errors
/// The database can't be read.
pub(crate) fn generation(source: &impl Source) -> Result<u64> {
    let meta = source.table(META)?;
    let found = meta.get("generation").map_err(|e| Error::caused("read the metadata's generation", e))?;
    Ok(found.map_or(0, |value| value.value()))
}
