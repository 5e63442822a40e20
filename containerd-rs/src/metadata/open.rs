//! Opening the file: version check, tables, and what happens when it is damaged.

use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable as _, StorageError};

use super::tables::{self, META};
use crate::error::{Error, Result};

/// Layout of the tables. A file with another number is refused.
pub(super) const VERSION: u64 = 1;

/// An open file.
pub(super) struct Opened {
    pub(super) database: Database,
    /// Nothing is known of what an earlier daemon left: see [`super::Db::is_fresh`].
    pub(super) fresh: bool,
    /// Where a damaged file was put if there was one.
    pub(super) set_aside: Option<PathBuf>,
}

/// Opens `path`, creating it where there is none. A damaged file is set aside and a new one made.
pub(super) fn open(path: &Path) -> Result<Opened> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|e| Error::caused(format!("create {}", dir.display()), e))?;
    }
    match attempt(path) {
        Ok((database, fresh)) => Ok(Opened { database, fresh, set_aside: None }),
        Err(Failure::Fatal(error)) => Err(error),
        Err(Failure::Damaged(why)) => {
            let aside = free_name(path);
            std::fs::rename(path, &aside)
                .map_err(|e| Error::caused(format!("set the damaged {} aside", path.display()), e))?;
            tracing::error!(file = %path.display(), set_aside = %aside.display(), %why,
                "the metadata is damaged: it was set aside and is rebuilt from blobs, snapshots \
                 and bundles; images, leases and containers without a task are lost");
            match attempt(path) {
                Ok((database, fresh)) => Ok(Opened { database, fresh, set_aside: Some(aside) }),
                Err(Failure::Fatal(error)) => Err(error),
                Err(Failure::Damaged(why)) => Err(Error::caused(format!("create {}", path.display()), why)),
            }
        }
    }
}

enum Failure {
    Fatal(Error),
    Damaged(String),
}

fn attempt(path: &Path) -> std::result::Result<(Database, bool), Failure> {
    let step = || format!("open the metadata {}", path.display());
    // redb asserts on some damaged pages instead of returning an error.
    let opened = std::panic::catch_unwind(|| {
        Database::builder()
            .create(path)
            .map_err(|e| classify(&step(), e))
            .and_then(|db| prepare(path, &db).map(|fresh| (db, fresh)))
    });
    opened.unwrap_or_else(|_| Err(Failure::Damaged("its pages contradict each other".into())))
}

fn classify(step: &str, error: DatabaseError) -> Failure {
    match error {
        DatabaseError::Storage(StorageError::Corrupted(why)) => Failure::Damaged(why),
        DatabaseError::Storage(StorageError::Io(e))
            if matches!(e.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof) =>
        {
            Failure::Damaged(e.to_string())
        }
        DatabaseError::RepairAborted => Failure::Damaged("it can't be repaired".into()),
        DatabaseError::DatabaseAlreadyOpen => {
            Failure::Fatal(Error::precondition(format!("{step}: another daemon has it open")))
        }
        other => Failure::Fatal(Error::caused(step, other)),
    }
}

/// Checks the version and reads everything once, so that damage shows now; makes what is missing. Says whether
/// the file is fresh.
fn prepare(path: &Path, database: &Database) -> std::result::Result<bool, Failure> {
    let fatal = |e: redb::Error| match e {
        redb::Error::Corrupted(why) => Failure::Damaged(why),
        redb::Error::TableTypeMismatch { .. } | redb::Error::TypeDefinitionChanged { .. } => {
            Failure::Damaged(e.to_string())
        }
        e => Failure::Fatal(Error::caused(format!("open the metadata {}", path.display()), e)),
    };
    let read = database.begin_read().map_err(|e| fatal(e.into()))?;
    let version = match read.open_table(META) {
        Ok(meta) => meta.get("version").map_err(|e| fatal(e.into()))?.map(|v| v.value()),
        Err(redb::TableError::TableDoesNotExist(_)) => None,
        Err(e) => return Err(fatal(e.into())),
    };
    match version {
        Some(VERSION) => {
            for table in tables::ALL {
                let rows = read.open_table(table).map_err(|e| fatal(e.into()))?;
                for row in rows.iter().map_err(|e| fatal(e.into()))? {
                    row.map_err(|e| fatal(e.into()))?;
                }
            }
            Ok(false)
        }
        Some(other) => Err(Failure::Fatal(Error::precondition(format!(
            "metadata {} has version {other}, this daemon knows version {VERSION}",
            path.display()
        )))),
        None => {
            let txn = database.begin_write().map_err(|e| fatal(e.into()))?;
            {
                let mut meta = txn.open_table(META).map_err(|e| fatal(e.into()))?;
                meta.insert("generation", 0).map_err(|e| fatal(e.into()))?;
                for table in tables::ALL {
                    // What a start that was cut off had put there.
                    txn.delete_table(table).map_err(|e| fatal(e.into()))?;
                    txn.open_table(table).map_err(|e| fatal(e.into()))?;
                }
            }
            txn.commit().map_err(|e| fatal(e.into()))?;
            Ok(true)
        }
    }
}

fn free_name(path: &Path) -> PathBuf {
    let seconds = std::time::UNIX_EPOCH.elapsed().map(|since| since.as_secs()).unwrap_or_default();
    (0..)
        .map(|n| path.with_extension(format!("damaged-{seconds}-{n}")))
        .find(|candidate| !candidate.exists())
        .unwrap_or_else(|| path.with_extension("damaged"))
}
