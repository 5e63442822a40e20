//! Records of blobs and of blobs that are being written. The bytes are the content store's.

use proto::containerd::services::content::v1::Info;
use redb::WriteTransaction;

use super::leases::{self, Resource};
use super::tables::{self, CONTENT, INGESTS, IngestRecord, Source};
use super::{labels, namespaces};
use crate::error::Result;

/// A blob's record.
pub(crate) fn get(source: &impl Source, ns: &str, digest: &str) -> Result<Option<Info>> {
    tables::get(source, CONTENT, ns, digest)
}

/// Whether any namespace has a record of the blob.
pub(crate) fn is_known(source: &impl Source, digest: &str) -> Result<bool> {
    for ns in namespaces::names(source)? {
        if get(source, &ns, digest)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Records a finished blob, held by `lease`.
pub(crate) fn put_new(txn: &WriteTransaction, ns: &str, info: &Info, lease: Option<&str>) -> Result<()> {
    labels::check(&info.labels)?;
    namespaces::ensure(txn, ns)?;
    leases::hold(txn, ns, lease, &Resource::content(&info.digest))?;
    tables::put(txn, CONTENT, ns, &info.digest, info)
}

/// Removes a blob's record and what leases say of it.
pub(crate) fn remove(txn: &WriteTransaction, ns: &str, digest: &str) -> Result<bool> {
    leases::forget(txn, ns, &Resource::content(digest))?;
    tables::remove(txn, CONTENT, ns, digest)
}

/// An ingest's record.
pub(crate) fn ingest(source: &impl Source, ns: &str, reference: &str) -> Result<Option<IngestRecord>> {
    tables::get(source, INGESTS, ns, reference)
}

/// Removes an ingest's record and what leases say of it.
pub(crate) fn remove_ingest(txn: &WriteTransaction, ns: &str, reference: &str) -> Result<bool> {
    leases::forget(txn, ns, &Resource::ingest(reference))?;
    tables::remove(txn, INGESTS, ns, reference)
}

/// Removes the records of all ingests of a namespace.
pub(crate) fn remove_ingests(txn: &WriteTransaction, ns: &str) -> Result<()> {
    let all: Vec<IngestRecord> = tables::list(txn, INGESTS, ns, "")?;
    for ingest in all {
        tables::remove(txn, INGESTS, ns, &ingest.reference)?;
    }
    Ok(())
}
