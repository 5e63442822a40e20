//! Opening: the version, the damage, the copies.

use std::panic::catch_unwind;
use std::path::Path;

use redb::{Database, ReadableDatabase as _, TableHandle as _};

use super::copies::Copies;
use super::{Table, raw, rows, write};
use crate::error::{Error, Result};

pub(super) const META: Table<'_> = Table::new("meta");
const VERSION: &[u8] = b"1";

enum Failure {
    Damaged(String),
    Fatal(Error),
}

/// Opens or creates `path`. One that is damaged is set aside; what it held comes back from the copies.
pub(super) fn open(path: &Path, copies: &Copies) -> Result<Database> {
    match attempt(path, copies) {
        Ok(db) => Ok(db),
        Err(Failure::Fatal(error)) => Err(error),
        Err(Failure::Damaged(why)) => {
            let aside =
                path.with_extension(format!("redb.damaged-{}", crate::timestamp::now() / 1_000_000_000));
            tracing::error!(path = %path.display(), aside = %aside.display(), why, "the database is damaged: it is set aside and made anew from the copies of its records");
            std::fs::rename(path, &aside)
                .map_err(|source| Error::caused(format!("set {} aside", path.display()), source))?;
            attempt(path, copies).map_err(|failure| match failure {
                Failure::Fatal(error) => error,
                Failure::Damaged(why) => Error::caused(format!("create {}", path.display()), why),
            })
        }
    }
}

fn attempt(path: &Path, copies: &Copies) -> Result<Database, Failure> {
    // redb asserts on some damaged pages instead of returning an error.
    catch_unwind(|| {
        let db = Database::create(path).map_err(|error| failure(path, error.into()))?;
        settle(path, &db, copies)?;
        Ok(db)
    })
    .unwrap_or_else(|_| Err(Failure::Damaged("its pages contradict each other".to_owned())))
}

/// Checks the version, and sees to it that database and copies hold the same.
fn settle(path: &Path, db: &Database, copies: &Copies) -> Result<(), Failure> {
    let failed = |error| failure(path, error);
    match raw(db, META, "version").map_err(failed)? {
        Some(found) if found == VERSION => {
            let tables: Vec<String> = {
                let transaction = db.begin_read().map_err(|error| failed(error.into()))?;
                let tables = transaction.list_tables().map_err(|error| failed(error.into()))?;
                tables.map(|table| table.name().to_owned()).filter(|name| name != "meta").collect()
            };
            for table in tables {
                // Every page is read once, so that damage shows now.
                copies.follow(&table, &rows(db, &table).map_err(failed)?);
            }
            Ok(())
        }
        Some(found) => Err(Failure::Fatal(Error::system(format!(
            "{} has version {}, this engine reads {}: start the engine that wrote it, or move the file away",
            path.display(),
            String::from_utf8_lossy(&found),
            String::from_utf8_lossy(VERSION)
        )))),
        None => {
            for (table, key, bytes) in copies.all() {
                tracing::warn!(table, key, "a record comes back from its copy");
                write(db, Table::new(&table), &key, Some(&bytes)).map_err(failed)?;
            }
            // Last: until then a start that is cut off begins again.
            write(db, META, "version", Some(VERSION)).map_err(failed)
        }
    }
}

fn failure(path: &Path, error: redb::Error) -> Failure {
    match error {
        redb::Error::Corrupted(why) => Failure::Damaged(why),
        redb::Error::Io(io)
            if matches!(io.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof) =>
        {
            Failure::Damaged(io.to_string())
        }
        redb::Error::RepairAborted => Failure::Damaged("it can't be repaired".to_owned()),
        redb::Error::TableTypeMismatch { .. } | redb::Error::TypeDefinitionChanged { .. } => {
            Failure::Damaged(error.to_string())
        }
        redb::Error::DatabaseAlreadyOpen => Failure::Fatal(Error::system(format!(
            "another daemon has {} open: stop it, or give another --data-root",
            path.display()
        ))),
        other => Failure::Fatal(Error::caused(format!("open {}", path.display()), other)),
    }
}
