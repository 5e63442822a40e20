//! Blobs whose bytes are no longer what their name says: a crash of the machine may leave such.

use std::fs::{self, File};
use std::io::ErrorKind;

use super::store::Store;
use super::verify;
use crate::error::{Error, Result};
use crate::metadata::{content as records, namespace_names};

impl Store {
    /// Takes a blob that is damaged out of the store, with its records in all namespaces, so that it can be fetched
    /// anew. It is damaged if it hasn't `size` bytes or, with `every_byte` read, not its digest.
    ///
    /// # Errors
    /// The blob can't be read or removed.
    pub fn discard_damaged(&self, digest: &str, size: u64, every_byte: bool) -> Result<()> {
        let path = self.blob_path(digest)?;
        let step = |e| Error::caused(format!("check {}", path.display()), e);
        match File::open(&path) {
            Ok(file) => {
                let is_whole = file.metadata().map_err(step)?.len() == size
                    && (!every_byte || verify::finish(verify::hash(&file).map_err(step)?.0) == digest);
                if is_whole {
                    return Ok(());
                }
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                if !records::is_known(&self.inner.db.read()?, digest)? {
                    return Ok(());
                }
            }
            Err(e) => return Err(step(e)),
        }
        tracing::error!(digest, "a blob is damaged: it is thrown away, to be fetched again");
        let _naming = self.naming();
        self.inner.db.write(|txn| {
            for ns in namespace_names(txn)? {
                records::remove(txn, &ns, digest)?;
            }
            Ok(())
        })?;
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(step(e)),
            _ => Ok(()),
        }
    }
}
