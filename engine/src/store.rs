//! The daemon's records, in one redb file.
//!
//! ```text
//! DATA/engine.redb    meta: "version" -> "1"; containers, networks, volumes, …: id or name -> JSON
//! DATA/engine.redb.damaged-SECONDS    a file that could not be opened, set aside
//! ```
//! A record is on disk when `put` returns. An unknown version is refused; a damaged file is set aside and the
//! daemon starts without records, saying so.

use std::path::Path;
use std::sync::Arc;

use redb::{
    Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageError, TableDefinition,
    TableError,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const VERSION: &[u8] = b"1";

/// The database; clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    db: Arc<Database>,
}

impl Store {
    /// Opens or creates the database.
    ///
    /// # Errors
    /// Another daemon has it open, its version is unknown, or the disk fails.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |source: redb::Error| Error::caused(format!("open {}", path.display()), source);
        let db = match Database::create(path) {
            Ok(db) => db,
            Err(error) if is_damage(&error) => {
                let aside =
                    path.with_extension(format!("redb.damaged-{}", crate::timestamp::now() / 1_000_000_000));
                tracing::error!(path = %path.display(), aside = %aside.display(), %error, "the database is damaged: it is set aside, and all records are lost");
                std::fs::rename(path, &aside)
                    .map_err(|source| Error::caused(format!("set {} aside", path.display()), source))?;
                Database::create(path).map_err(|error| failed(error.into()))?
            }
            Err(error) => return Err(failed(error.into())),
        };
        let store = Self { db: Arc::new(db) };
        match store.raw(META, "version").map_err(failed)? {
            None => store.write(META, "version", Some(VERSION)).map_err(failed)?,
            Some(found) if found == VERSION => {}
            Some(found) => {
                return Err(Error::system(format!(
                    "{} has version {}, this engine reads {}",
                    path.display(),
                    String::from_utf8_lossy(&found),
                    String::from_utf8_lossy(VERSION)
                )));
            }
        }
        Ok(store)
    }

    /// Writes a record; it is on disk when this returns. Blocks on the disk.
    ///
    /// # Errors
    /// The disk fails.
    pub fn put<T: Serialize>(&self, table: &str, key: &str, value: &T) -> Result<()> {
        let bytes = serde_json::to_vec(value)
            .map_err(|source| Error::caused(format!("encode {table} {key}"), source))?;
        self.write(TableDefinition::new(table), key, Some(&bytes))
            .map_err(|source| Error::caused(format!("store {table} {key}"), source))
    }

    /// Deletes a record; one that isn't there is as good. Blocks on the disk.
    ///
    /// # Errors
    /// The disk fails.
    pub fn delete(&self, table: &str, key: &str) -> Result<()> {
        self.write(TableDefinition::new(table), key, None)
            .map_err(|source| Error::caused(format!("delete {table} {key}"), source))
    }

    /// One record.
    ///
    /// # Errors
    /// The disk fails, or the record isn't of this type.
    pub fn get<T: DeserializeOwned>(&self, table: &str, key: &str) -> Result<Option<T>> {
        let bytes = self
            .raw(TableDefinition::new(table), key)
            .map_err(|source| Error::caused(format!("read {table} {key}"), source))?;
        bytes.map(|bytes| decode(table, key, &bytes)).transpose()
    }

    /// All records of a table by key. One that can't be read is left out with an error in the log.
    ///
    /// # Errors
    /// The disk fails.
    pub fn all<T: DeserializeOwned>(&self, table: &str) -> Result<Vec<(String, T)>> {
        let read = || -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
            let transaction = self.db.begin_read()?;
            let rows = match transaction.open_table(TableDefinition::<&str, &[u8]>::new(table)) {
                Ok(rows) => rows,
                Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(error) => return Err(error.into()),
            };
            rows.iter()?
                .map(|row| {
                    row.map(|(key, value)| (key.value().to_owned(), value.value().to_vec()))
                        .map_err(Into::into)
                })
                .collect()
        };
        let rows = read().map_err(|source| Error::caused(format!("read {table}"), source))?;
        let mut records = Vec::with_capacity(rows.len());
        for (key, bytes) in rows {
            match decode(table, &key, &bytes) {
                Ok(record) => records.push((key, record)),
                Err(error) => tracing::error!(
                    table,
                    key,
                    error = error.full_text(),
                    "a record can't be read and is left out"
                ),
            }
        }
        Ok(records)
    }

    fn raw(
        &self,
        table: TableDefinition<'_, &str, &[u8]>,
        key: &str,
    ) -> Result<Option<Vec<u8>>, redb::Error> {
        let transaction = self.db.begin_read()?;
        match transaction.open_table(table) {
            Ok(rows) => Ok(rows.get(key)?.map(|value| value.value().to_vec())),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn write(
        &self,
        table: TableDefinition<'_, &str, &[u8]>,
        key: &str,
        value: Option<&[u8]>,
    ) -> Result<(), redb::Error> {
        let transaction = self.db.begin_write()?;
        {
            let mut rows = transaction.open_table(table)?;
            match value {
                Some(value) => rows.insert(key, value)?,
                None => rows.remove(key)?,
            };
        }
        transaction.commit()?;
        Ok(())
    }
}

fn decode<T: DeserializeOwned>(table: &str, key: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|source| Error::caused(format!("decode {table} {key}"), source))
}

fn is_damage(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::Storage(StorageError::Corrupted(_)) => true,
        DatabaseError::Storage(StorageError::Io(io)) => {
            matches!(io.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_a_damaged_file_is_set_aside() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("engine.redb");
        let store = Store::open(&path).expect("open");
        store.put("containers", "a", &vec![1, 2]).expect("put");
        drop(store);
        let store = Store::open(&path).expect("open again");
        assert_eq!(store.all::<Vec<i32>>("containers").expect("all"), [("a".to_owned(), vec![1, 2])]);
        store.delete("containers", "a").expect("delete");
        assert_eq!(store.get::<Vec<i32>>("containers", "a").expect("get"), None);
        drop(store);
        std::fs::write(&path, vec![7u8; 9000]).expect("damage");
        let store = Store::open(&path).expect("open damaged");
        assert!(store.all::<Vec<i32>>("containers").expect("all").is_empty());
        assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 2);
    }

    #[test]
    fn an_unknown_version_is_refused() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("engine.redb");
        let store = Store::open(&path).expect("open");
        store.write(META, "version", Some(b"9")).expect("write");
        drop(store);
        assert!(Store::open(&path).expect_err("version 9").to_string().contains("version 9"));
    }
}
