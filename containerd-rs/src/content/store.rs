//! Finished blobs: looking them up, reading, labels; and the list of ingests.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use proto::containerd::events::ContentDelete;
use proto::containerd::services::content::v1::Info;
use proto::topics;
use sha2::{Digest, Sha256};

use super::ingest::Ingest;
use super::rebuild;
use super::verify;
use crate::error::{Error, Kind, Result};
use crate::metadata::field_mask::{Path as FieldPath, update_labels};
use crate::metadata::filters::{Filters, labels_field};
use crate::metadata::tables::{self, CONTENT, INGESTS, IngestRecord};
use crate::metadata::{Db, content as records, labels};

/// Whether a blob that one namespace has may be had by another without sending it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Who knows the digest may have the blob.
    #[default]
    Shared,
    /// Every namespace must send the bytes itself.
    Isolated,
}

/// The content store. Cheap to clone; every method may block.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) root: PathBuf,
    pub(super) db: Db,
    pub(super) sharing: Sharing,
    locks: Mutex<HashMap<(String, String), (Instant, SystemTime)>>,
    /// Held from giving a blob its name to the commit of its record, and while one is removed:
    /// so a removal never meets a blob that is just being made.
    naming: Mutex<()>,
    /// A record was removed since files were last compared with records.
    may_have_nameless: AtomicBool,
}

/// How far an ingest is.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Its name.
    pub reference: String,
    /// Bytes so far.
    pub offset: u64,
    /// Bytes expected; 0 for unknown.
    pub total: u64,
    /// Digest expected; may be empty.
    pub expected: String,
    /// When it began.
    pub started_at: SystemTime,
    /// When bytes last came.
    pub updated_at: SystemTime,
}

impl Store {
    /// Opens the store at `root`, creating its directories.
    ///
    /// # Errors
    /// A directory can't be made.
    pub fn open(root: &Path, db: Db, sharing: Sharing) -> Result<Self> {
        for dir in [root.join("blobs/sha256"), root.join("ingest")] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .map_err(|e| Error::caused(format!("create {}", dir.display()), e))?;
        }
        let inner = Inner {
            root: root.to_owned(),
            db,
            sharing,
            locks: Mutex::default(),
            naming: Mutex::default(),
            may_have_nameless: AtomicBool::new(false),
        };
        let store = Self { inner: Arc::new(inner) };
        if store.inner.db.is_fresh() {
            rebuild::register_blobs(&store)?;
        }
        store.remove_nameless(true)?;
        store.remove_stray_ingests()?;
        Ok(store)
    }

    /// The directory of the store.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// A blob's record.
    ///
    /// # Errors
    /// Not found in this namespace; no digest.
    pub fn info(&self, ns: &str, digest: &str) -> Result<Info> {
        verify::check_digest(digest)?;
        records::get(&self.inner.db.read()?, ns, digest)?
            .ok_or_else(|| Error::not_found(format!("content digest {digest}")))
    }

    /// The blobs of a namespace that `filters` let through.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn list(&self, ns: &str, filters: &Filters) -> Result<Vec<Info>> {
        let mut all: Vec<Info> = tables::list(&self.inner.db.read()?, CONTENT, ns, "")?;
        all.retain(|info| {
            filters.matches(&|path: &[&str]| match path {
                ["digest"] => Some(info.digest.clone()),
                ["size"] => Some(info.size.to_string()),
                ["labels", rest @ ..] => labels_field(&info.labels, rest),
                _ => None,
            })
        });
        Ok(all)
    }

    /// Changes a blob's labels.
    ///
    /// # Errors
    /// Not found; a path other than labels; a label too long.
    pub fn update(&self, ns: &str, new: &Info, paths: &[FieldPath<'_>]) -> Result<Info> {
        verify::check_digest(&new.digest)?;
        let updated = self.inner.db.write(|txn| {
            let mut current = records::get(txn, ns, &new.digest)?
                .ok_or_else(|| Error::not_found(format!("content digest {}", new.digest)))?;
            if let Some(path) = update_labels(&mut current.labels, &new.labels, paths) {
                let text =
                    format!("cannot update {:?} field on content info {:?}", path.to_string(), new.digest);
                return Err(Error::invalid(text));
            }
            current.labels.retain(|_, value| !value.is_empty());
            labels::check(&current.labels)?;
            current.updated_at = tables::now();
            tables::put(txn, CONTENT, ns, &new.digest, &current)?;
            Ok(current)
        })?;
        // A label may have held another blob.
        self.inner.db.changes().deleted();
        Ok(updated)
    }

    /// Sets some labels of a blob and leaves the others; an empty value removes one.
    ///
    /// # Errors
    /// See [`Store::update`].
    pub fn set_labels(&self, ns: &str, digest: &str, new: labels::Labels) -> Result<Info> {
        let paths: Vec<String> = new.keys().cloned().collect();
        let paths: Vec<_> = paths.iter().map(|key| FieldPath::Entry("labels", key)).collect();
        if paths.is_empty() {
            return self.info(ns, digest);
        }
        self.update(ns, &Info { digest: digest.to_owned(), labels: new, ..Info::default() }, &paths)
    }

    /// Removes a blob from a namespace; the file goes when garbage collection runs.
    ///
    /// # Errors
    /// Not found.
    pub fn delete(&self, ns: &str, digest: &str) -> Result<()> {
        verify::check_digest(digest)?;
        self.inner.db.write(|txn| {
            if records::remove(txn, ns, digest)? {
                Ok(())
            } else {
                Err(Error::not_found(format!("content digest {digest}")))
            }
        })?;
        self.inner.may_have_nameless.store(true, Ordering::Release);
        self.inner.db.changes().deleted();
        let event = ContentDelete { digest: digest.to_owned() };
        self.inner.db.events().publish(ns, topics::CONTENT_DELETE, &event);
        Ok(())
    }

    /// Opens a blob for reading; the file stays readable even if the blob is removed meanwhile.
    ///
    /// # Errors
    /// Not found in this namespace, or its file is missing.
    pub fn reader(&self, ns: &str, digest: &str) -> Result<(Info, File)> {
        let info = self.info(ns, digest)?;
        let path = self.blob_path(digest)?;
        let file = File::open(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::not_found(format!("content digest {digest}")).because(e),
            _ => Error::caused(format!("open {}", path.display()), e),
        })?;
        Ok((info, file))
    }

    /// Reads a whole small blob.
    ///
    /// # Errors
    /// See [`Store::reader`]; it has more than `limit` bytes.
    pub fn read_all(&self, ns: &str, digest: &str, limit: u64) -> Result<Vec<u8>> {
        use std::io::Read;
        let (info, file) = self.reader(ns, digest)?;
        if info.size.cast_unsigned() > limit {
            return Err(Error::invalid(format!("content {digest} has {} bytes, over {limit}", info.size)));
        }
        let mut bytes = Vec::new();
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(|e| Error::caused(format!("read content {digest}"), e))?;
        Ok(bytes)
    }

    /// Opens a new or an interrupted ingest for writing; the lock on its ref goes with the value.
    ///
    /// # Errors
    /// Already exists if the namespace has the expected blob; unavailable while another writer has
    /// the ref; not found if the lease is gone.
    pub fn writer(
        &self,
        ns: &str,
        reference: &str,
        expected: &str,
        total: u64,
        lease: Option<&str>,
    ) -> Result<Ingest> {
        Ingest::open(self, ns, reference, expected, total, lease)
    }

    /// How far an ingest is.
    ///
    /// # Errors
    /// Not found.
    pub fn status(&self, ns: &str, reference: &str) -> Result<Status> {
        let record = records::ingest(&self.inner.db.read()?, ns, reference)?
            .ok_or_else(|| Error::not_found(format!("reference {reference}")))?;
        Ok(self.status_of(ns, record))
    }

    /// The ingests of a namespace that `filters` let through.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn statuses(&self, ns: &str, filters: &Filters) -> Result<Vec<Status>> {
        let mut all: Vec<IngestRecord> = tables::list(&self.inner.db.read()?, INGESTS, ns, "")?;
        all.retain(|record| {
            filters.matches(&|path: &[&str]| (path == ["ref"]).then(|| record.reference.clone()))
        });
        Ok(all.into_iter().map(|record| self.status_of(ns, record)).collect())
    }

    /// Throws an ingest away.
    ///
    /// # Errors
    /// Not found; unavailable while a writer has it.
    pub fn abort(&self, ns: &str, reference: &str) -> Result<()> {
        let _lock = self.lock(ns, reference)?;
        self.inner.db.write(|txn| {
            if records::remove_ingest(txn, ns, reference)? {
                Ok(())
            } else {
                Err(Error::not_found(format!("reference {reference}")))
            }
        })?;
        self.remove_ingest_files(ns, reference)
    }

    /// Removes the files of blobs that no namespace has a record of; looks only if `must` or if a
    /// record was removed.
    pub(crate) fn remove_nameless(&self, must: bool) -> Result<()> {
        if !self.inner.may_have_nameless.swap(false, Ordering::Acquire) && !must {
            return Ok(());
        }
        for digest in self.blob_files()? {
            let _naming = self.naming();
            if records::is_known(&self.inner.db.read()?, &digest)? {
                continue;
            }
            let path = self.blob_path(&digest)?;
            if let Err(e) = fs::remove_file(&path) {
                return Err(Error::caused(format!("remove {}", path.display()), e));
            }
        }
        Ok(())
    }

    /// Digests of all files under `blobs`.
    pub(super) fn blob_files(&self) -> Result<Vec<String>> {
        let dir = self.inner.root.join("blobs/sha256");
        let step = |e| Error::caused(format!("list {}", dir.display()), e);
        let mut digests = Vec::new();
        for entry in fs::read_dir(&dir).map_err(step)? {
            let digest = format!("sha256:{}", entry.map_err(step)?.file_name().to_string_lossy());
            if verify::is_digest(&digest) {
                digests.push(digest);
            }
        }
        Ok(digests)
    }

    /// At start: removes directories of ingests that have no record.
    fn remove_stray_ingests(&self) -> Result<()> {
        let read = self.inner.db.read()?;
        let mut known = HashSet::new();
        for ns in crate::metadata::namespace_names(&read)? {
            for ingest in tables::list::<IngestRecord>(&read, INGESTS, &ns, "")? {
                known.insert(self.ingest_dir(&ns, &ingest.reference));
            }
        }
        let dir = self.inner.root.join("ingest");
        let step = |e| Error::caused(format!("list {}", dir.display()), e);
        for entry in fs::read_dir(&dir).map_err(step)? {
            let path = entry.map_err(step)?.path();
            if !known.contains(&path) {
                fs::remove_dir_all(&path)
                    .map_err(|e| Error::caused(format!("remove {}", path.display()), e))?;
            }
        }
        Ok(())
    }

    fn status_of(&self, ns: &str, record: IngestRecord) -> Status {
        let started_at = tables::to_system_time(record.started_at.as_ref());
        let data = fs::metadata(self.ingest_dir(ns, &record.reference).join("data")).ok();
        Status {
            offset: data.as_ref().map_or(0, fs::Metadata::len),
            total: record.total.try_into().unwrap_or(0),
            expected: record.expected,
            started_at,
            updated_at: data.and_then(|d| d.modified().ok()).unwrap_or(started_at),
            reference: record.reference,
        }
    }

    /// The file of a finished blob.
    pub(crate) fn blob_path(&self, digest: &str) -> Result<PathBuf> {
        verify::check_digest(digest)?;
        Ok(self.inner.root.join("blobs/sha256").join(verify::hex_of(digest).unwrap_or_default()))
    }

    pub(super) fn ingest_dir(&self, ns: &str, reference: &str) -> PathBuf {
        let name = hex::encode(Sha256::digest(backend_ref(ns, reference)));
        self.inner.root.join("ingest").join(name)
    }

    pub(crate) fn remove_ingest_files(&self, ns: &str, reference: &str) -> Result<()> {
        let dir = self.ingest_dir(ns, reference);
        match fs::remove_dir_all(&dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::caused(format!("remove {}", dir.display()), e))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn naming(&self) -> MutexGuard<'_, ()> {
        self.inner.naming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock on a ref, or says at once that another has it.
    pub(crate) fn lock(&self, ns: &str, reference: &str) -> Result<RefLock> {
        let key = (ns.to_owned(), reference.to_owned());
        let mut locks = self.inner.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, when)) = locks.get(&key) {
            let when = time::OffsetDateTime::from(*when);
            let held = Duration::from_millis(since.elapsed().as_millis().try_into().unwrap_or(u64::MAX));
            return Err(Error::new(
                Kind::Unavailable,
                format!("ref {} locked for {held:?} (since {when})", backend_ref(ns, reference)),
            ));
        }
        locks.insert(key.clone(), (Instant::now(), SystemTime::now()));
        Ok(RefLock { store: self.clone(), key })
    }
}

/// The name of an ingest in the store's own files; containerd's form.
pub(super) fn backend_ref(ns: &str, reference: &str) -> String {
    format!("{ns}/1/{reference}")
}

/// The right to write to a ref.
#[derive(Debug)]
pub(crate) struct RefLock {
    store: Store,
    key: (String, String),
}

impl Drop for RefLock {
    fn drop(&mut self) {
        self.store.inner.locks.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
