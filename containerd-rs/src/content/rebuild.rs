//! After the metadata was lost: records are made for the blobs that are still whole.

use std::fs::File;

use proto::containerd::services::content::v1::Info;

use super::store::Store;
use super::verify;
use crate::error::{Error, Result};
use crate::metadata::labels::Labels;
use crate::metadata::{content as records, tables};

/// Namespace that found blobs are put into; others have them for the asking (see sharing).
const NAMESPACE: &str = "default";

/// Records every blob whose bytes still have its digest, held against garbage collection by a
/// label that a person can see and remove.
pub(super) fn register_blobs(store: &Store) -> Result<()> {
    let (mut found, mut damaged) = (0, 0);
    for digest in store.blob_files()? {
        let path = store.blob_path(&digest)?;
        let step = |e| Error::caused(format!("check {}", path.display()), e);
        let (hasher, size) = verify::hash(File::open(&path).map_err(step)?).map_err(step)?;
        if verify::finish(hasher) != digest {
            damaged += 1;
            continue;
        }
        let labels = Labels::from([(
            "containerd.io/gc.root".to_owned(),
            "found after the metadata was lost".to_owned(),
        )]);
        let info = Info {
            digest,
            size: i64::try_from(size).unwrap_or(i64::MAX),
            created_at: tables::now(),
            updated_at: tables::now(),
            labels,
        };
        store.inner.db.write(|txn| records::put_new(txn, NAMESPACE, &info, None))?;
        found += 1;
    }
    if found + damaged > 0 {
        tracing::warn!(
            found,
            damaged,
            namespace = NAMESPACE,
            "blobs were recorded again; damaged ones are removed"
        );
    }
    Ok(())
}
