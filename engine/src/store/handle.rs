//! The open database. redb gives a file up after a failed write (a full disk); opened again it is sound.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use redb::Database;

/// Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    path: PathBuf,
    /// Empty from a failure until it is needed again.
    slot: Arc<RwLock<Option<Database>>>,
}

impl Handle {
    pub(super) fn new(path: &Path, db: Database) -> Self {
        Self { path: path.to_owned(), slot: Arc::new(RwLock::new(Some(db))) }
    }

    /// Does some work, all or nothing of it.
    pub(super) fn with<T>(
        &self,
        work: impl Fn(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        let done = self.slot.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(&work);
        match done {
            Some(Err(redb::Error::PreviousIo)) | None => {}
            Some(Err(error @ redb::Error::Io(_))) => {
                *self.slot.write().unwrap_or_else(PoisonError::into_inner) = None;
                return Err(error);
            }
            Some(done) => return done,
        }
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        // Closed first: a file is open once.
        *slot = None;
        let db = slot.insert(Database::open(&self.path)?);
        tracing::info!(path = %self.path.display(), "the database is open again");
        work(db)
    }
}
