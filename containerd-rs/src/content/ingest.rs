//! A blob that is being written: bytes go to a file and through the hash at once.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, FileExt, PermissionsExt};
use std::time::{Duration, SystemTime};

use proto::containerd::events::ContentCreate;
use proto::containerd::services::content::v1::Info;
use proto::topics;
use sha2::{Digest, Sha256};

use super::store::{RefLock, Sharing, Status, Store, backend_ref};
use super::verify;
use crate::error::{Error, Kind, Result};
use crate::metadata::labels::Labels;
use crate::metadata::leases::{self, Resource};
use crate::metadata::tables::{self, INGESTS, IngestRecord};
use crate::metadata::{content as records, ensure_namespace};

/// How long an ingest without a lease is kept.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// An open ingest. Only one exists per ref; dropping it keeps the bytes for a later writer.
#[derive(Debug)]
pub struct Ingest {
    store: Store,
    ns: String,
    record: IngestRecord,
    lease: Option<String>,
    bytes: Bytes,
    updated_at: SystemTime,
    _lock: RefLock,
}

#[derive(Debug)]
enum Bytes {
    /// Written here.
    Own { file: File, hasher: Sha256, offset: u64 },
    /// Another namespace has the blob: nothing needs to be written. Held open: garbage collection may take
    /// its name before the commit.
    Shared { digest: String, size: u64, blob: File },
}

/// What the writer says of the whole at the end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finish<'a> {
    /// Bytes it should have; 0 for unknown.
    pub size: u64,
    /// Digest it should have; empty for unknown.
    pub expected: &'a str,
}

impl Ingest {
    pub(super) fn open(
        store: &Store,
        ns: &str,
        reference: &str,
        expected: &str,
        total: u64,
        lease: Option<&str>,
    ) -> Result<Self> {
        if reference.is_empty() {
            return Err(Error::invalid("ref must not be empty"));
        }
        let lock = store.lock(ns, reference)?;
        let shared = shared_blob(store, expected)?;
        let record = store.inner.db.write(|txn| {
            if !expected.is_empty() && records::get(txn, ns, expected)?.is_some() {
                return Err(Error::already_exists(format!("content {expected}")));
            }
            ensure_namespace(txn, ns)?;
            leases::hold(txn, ns, lease, &Resource::ingest(reference))?;
            let mut record = records::ingest(txn, ns, reference)?.unwrap_or_else(|| IngestRecord {
                reference: reference.to_owned(),
                started_at: tables::now(),
                expires_at: tables::after(LIFETIME),
                ..IngestRecord::default()
            });
            if !expected.is_empty() {
                expected.clone_into(&mut record.expected);
            }
            if total > 0 {
                record.total = i64::try_from(total).unwrap_or(i64::MAX);
            }
            tables::put(txn, INGESTS, ns, reference, &record)?;
            Ok(record)
        })?;
        let bytes = match shared {
            Some((blob, size)) => Bytes::Shared { digest: expected.to_owned(), size, blob },
            None => open_files(store, ns, reference)?,
        };
        let updated_at = store.status(ns, reference)?.updated_at;
        let (ns, lease) = (ns.to_owned(), lease.map(str::to_owned));
        Ok(Self { store: store.clone(), ns, record, lease, bytes, updated_at, _lock: lock })
    }

    /// Its name.
    pub fn reference(&self) -> &str {
        &self.record.reference
    }

    /// Whether bytes must come: no for a blob that another namespace has.
    pub fn needs_bytes(&self) -> bool {
        matches!(self.bytes, Bytes::Own { .. })
    }

    /// Bytes so far.
    pub fn offset(&self) -> u64 {
        match &self.bytes {
            Bytes::Own { offset, .. } => *offset,
            Bytes::Shared { size, .. } => *size,
        }
    }

    /// Digest of the bytes so far.
    pub fn digest(&self) -> String {
        match &self.bytes {
            Bytes::Own { hasher, .. } => verify::finish(hasher.clone()),
            Bytes::Shared { digest, .. } => digest.clone(),
        }
    }

    /// Name, offset, expectations and times.
    pub fn status(&self) -> Status {
        Status {
            reference: self.record.reference.clone(),
            offset: self.offset(),
            total: self.record.total.try_into().unwrap_or(0),
            expected: self.record.expected.clone(),
            started_at: tables::to_system_time(self.record.started_at.as_ref()),
            updated_at: self.updated_at,
        }
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// They can't be written (a full disk): those that were count, the rest can be sent again.
    pub fn write(&mut self, data: &[u8]) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        self.take_over()?;
        let Bytes::Own { file, hasher, offset } = &mut self.bytes else { return Ok(()) };
        if let Err(e) = file.write_all_at(data, *offset) {
            // What may have been written of `data` isn't hashed: cut it off again.
            let _ = file.set_len(*offset);
            return Err(Error::caused(format!("write ingest {}", self.record.reference), e));
        }
        hasher.update(data);
        *offset += data.len() as u64;
        self.updated_at = SystemTime::now();
        Ok(())
    }

    /// Throws the bytes so far away and begins again.
    ///
    /// # Errors
    /// The file can't be cut.
    pub fn restart(&mut self) -> Result<()> {
        self.take_over()?;
        let Bytes::Own { file, hasher, offset } = &mut self.bytes else { return Ok(()) };
        file.set_len(0)
            .map_err(|e| Error::caused(format!("truncate ingest {}", self.record.reference), e))?;
        (*hasher, *offset) = (Sha256::new(), 0);
        Ok(())
    }

    /// Turns to a file of its own when the client sends bytes although the blob is shared.
    fn take_over(&mut self) -> Result<()> {
        if matches!(self.bytes, Bytes::Shared { .. }) {
            self.bytes = open_files(&self.store, &self.ns, &self.record.reference)?;
        }
        Ok(())
    }

    /// Gives the blob its name, labels and lease. On failure the ingest stays and can be gone on
    /// with, but for a blob that exists already.
    ///
    /// # Errors
    /// Failed precondition for a wrong size or digest; already exists; not found if the lease is gone.
    pub fn commit(&mut self, finish: Finish<'_>, labels: Labels) -> Result<Info> {
        let reference = &self.record.reference;
        let (digest, size) = (self.digest(), self.offset());
        if finish.size > 0 && finish.size != size {
            let text = format!("{reference:?} failed size validation: {size} != {}", finish.size);
            return Err(Error::precondition(text));
        }
        let expected = if finish.expected.is_empty() { &self.record.expected } else { finish.expected };
        if !expected.is_empty() && *expected != digest {
            let text = format!("unexpected commit digest {digest}, expected {expected}");
            return Err(Error::precondition(text));
        }
        let committed = self.name_blob(&digest, size, labels);
        if committed.as_ref().err().is_none_or(|e| e.kind() == Kind::AlreadyExists) {
            self.store.remove_ingest_files(&self.ns, &self.record.reference)?;
        }
        let info = committed?;
        let event = ContentCreate { digest, size: info.size, media_type: String::new() };
        self.store.inner.db.events().publish(&self.ns, topics::CONTENT_CREATE, &event);
        Ok(info)
    }

    fn name_blob(&mut self, digest: &str, size: u64, labels: Labels) -> Result<Info> {
        let path = self.store.blob_path(digest)?;
        let step = |e| Error::caused(format!("commit {} as {digest}", self.record.reference), e);
        if let Bytes::Own { file, .. } = &self.bytes {
            seal(file).map_err(step)?;
        }
        let _naming = self.store.naming();
        let is_there = path.exists();
        if !is_there {
            if let Bytes::Shared { blob, .. } = &self.bytes {
                let own = open_data(&self.store, &self.ns, &self.record.reference)?;
                copy(blob, &own).and_then(|()| seal(&own)).map_err(step)?;
            }
            // A link, not a rename: if the record isn't made (the lease is gone), the ingest
            // is still whole.
            let data = self.store.ingest_dir(&self.ns, &self.record.reference).join("data");
            fs::hard_link(&data, &path).map_err(step)?;
            sync_dir(&path).map_err(step)?;
        }
        let (ns, lease) = (self.ns.as_str(), self.lease.as_deref());
        let reference = &self.record.reference;
        let made = self.store.inner.db.write(|txn| {
            records::remove_ingest(txn, ns, reference)?;
            if let Some(existing) = records::get(txn, ns, digest)? {
                leases::hold(txn, ns, lease, &Resource::content(digest))?;
                return Ok((existing, true));
            }
            let now = tables::now();
            let info = Info {
                digest: digest.to_owned(),
                size: i64::try_from(size).unwrap_or(i64::MAX),
                created_at: now,
                updated_at: now,
                labels,
            };
            records::put_new(txn, ns, &info, lease)?;
            Ok((info, false))
        });
        match made {
            Ok((info, false)) => Ok(info),
            Ok((_, true)) => Err(Error::already_exists(format!("content {digest}"))),
            Err(error) => {
                if !is_there {
                    let _ = fs::remove_file(&path);
                }
                Err(error)
            }
        }
    }
}

/// Read-only, and on the disk.
fn seal(file: &File) -> std::io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o444))?;
    file.sync_data()
}

/// All of one file, in place of what the other has.
fn copy(mut from: &File, mut to: &File) -> std::io::Result<()> {
    to.set_len(0)?;
    from.seek(SeekFrom::Start(0))?;
    std::io::copy(&mut from, &mut to).map(drop)
}

fn sync_dir(path: &std::path::Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn shared_blob(store: &Store, expected: &str) -> Result<Option<(File, u64)>> {
    if store.inner.sharing == Sharing::Isolated || !verify::is_digest(expected) {
        return Ok(None);
    }
    if !records::is_known(&store.inner.db.read()?, expected)? {
        return Ok(None);
    }
    let blob = File::open(store.blob_path(expected)?).ok();
    Ok(blob.and_then(|blob| blob.metadata().ok().map(|meta| (blob, meta.len()))))
}

fn open_files(store: &Store, ns: &str, reference: &str) -> Result<Bytes> {
    let file = open_data(store, ns, reference)?;
    let (hasher, offset) =
        verify::hash(&file).map_err(|e| Error::caused(format!("read ingest {reference}"), e))?;
    Ok(Bytes::Own { file, hasher, offset })
}

/// The file that an ingest's bytes go to, at its beginning.
fn open_data(store: &Store, ns: &str, reference: &str) -> Result<File> {
    let dir = store.ingest_dir(ns, reference);
    let step = |e| Error::caused(format!("open ingest {reference} at {}", dir.display()), e);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(step)?;
    let data = dir.join("data");
    // A commit that failed left it read-only (which root doesn't notice).
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&data).map_err(step)?;
    fs::write(dir.join("ref"), backend_ref(ns, reference)).map_err(step)?;
    Ok(file)
}
