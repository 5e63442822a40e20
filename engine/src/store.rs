//! Records, in one redb file, with a copy of each beside it.
//!
//! ```text
//! NAME.redb               meta: "version" -> "1"; containers, networks, …: id -> JSON
//! NAME.records/TABLE/KEY  the same JSON; read only when the database was lost (copies.rs)
//! NAME.redb.damaged-SECONDS  a database that could not be opened, set aside
//! ```
//! A record is on disk when `put` returns. An unknown version is refused; a damaged file is set aside and made anew
//! from the copies, loudly.

mod copies;
mod handle;
mod open;

use std::path::Path;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::copies::Copies;
use self::handle::Handle;
use crate::error::{Error, Result};

/// A table: keys and JSON.
type Table<'a> = TableDefinition<'a, &'static str, &'static [u8]>;

/// The database; clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    db: Handle,
    copies: Copies,
}

impl Store {
    /// Opens or creates the database.
    ///
    /// # Errors
    /// Another daemon has it open, its version is unknown, or the disk fails.
    pub fn open(path: &Path) -> Result<Self> {
        let copies = Copies::beside(path);
        let db = open::open(path, &copies)?;
        Ok(Self { db: Handle::new(path, db), copies })
    }

    /// Writes a record; it is on disk when this returns. Blocks on the disk.
    ///
    /// # Errors
    /// The disk fails.
    pub fn put<T: Serialize>(&self, table: &str, key: &str, value: &T) -> Result<()> {
        let bytes = serde_json::to_vec(value)
            .map_err(|source| Error::caused(format!("encode {table} {key}"), source))?;
        self.db
            .with(|db| write(db, Table::new(table), key, Some(&bytes)))
            .map_err(|source| Error::caused(format!("store {table} {key}"), source))?;
        self.copies.put(table, key, &bytes);
        Ok(())
    }

    /// Deletes a record; one that isn't there is as good. Blocks on the disk.
    ///
    /// # Errors
    /// The disk fails.
    pub fn delete(&self, table: &str, key: &str) -> Result<()> {
        self.db
            .with(|db| write(db, Table::new(table), key, None))
            .map_err(|source| Error::caused(format!("delete {table} {key}"), source))?;
        self.copies.delete(table, key);
        Ok(())
    }

    /// One record.
    ///
    /// # Errors
    /// The disk fails, or the record isn't of this type.
    pub fn get<T: DeserializeOwned>(&self, table: &str, key: &str) -> Result<Option<T>> {
        let bytes = self
            .db
            .with(|db| raw(db, Table::new(table), key))
            .map_err(|source| Error::caused(format!("read {table} {key}"), source))?;
        bytes.map(|bytes| decode(table, key, &bytes)).transpose()
    }

    /// All records of a table by key. One that can't be read is taken from its copy, or else left out with an error
    /// in the log.
    ///
    /// # Errors
    /// The disk fails.
    pub fn all<T: DeserializeOwned>(&self, table: &str) -> Result<Vec<(String, T)>> {
        let rows = self
            .db
            .with(|db| rows(db, table))
            .map_err(|source| Error::caused(format!("read {table}"), source))?;
        let mut records = Vec::with_capacity(rows.len());
        for (key, bytes) in rows {
            match decode(table, &key, &bytes) {
                Ok(record) => records.push((key, record)),
                Err(error) => {
                    let copy =
                        self.copies.get(table, &key).and_then(|bytes| decode(table, &key, &bytes).ok());
                    let left_out = copy.is_none();
                    tracing::error!(
                        table,
                        key,
                        error = error.full_text(),
                        left_out,
                        "a record can't be read"
                    );
                    records.extend(copy.map(|record| (key, record)));
                }
            }
        }
        Ok(records)
    }
}

fn rows(db: &Database, table: &str) -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
    let transaction = db.begin_read()?;
    let rows = match transaction.open_table(Table::new(table)) {
        Ok(rows) => rows,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    rows.iter()?
        .map(|row| {
            row.map(|(key, value)| (key.value().to_owned(), value.value().to_vec())).map_err(Into::into)
        })
        .collect()
}

fn raw(db: &Database, table: Table<'_>, key: &str) -> Result<Option<Vec<u8>>, redb::Error> {
    let transaction = db.begin_read()?;
    match transaction.open_table(table) {
        Ok(rows) => Ok(rows.get(key)?.map(|value| value.value().to_vec())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn write(db: &Database, table: Table<'_>, key: &str, value: Option<&[u8]>) -> Result<(), redb::Error> {
    let transaction = db.begin_write()?;
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

fn decode<T: DeserializeOwned>(table: &str, key: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|source| Error::caused(format!("decode {table} {key}"), source))
}

#[cfg(test)]
mod tests;
