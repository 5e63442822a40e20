//! Tables and the few generic ways to read and write them.
//!
//! Every table but `meta` has pairs of strings for keys: the namespace, then the rest.

use std::time::{Duration, SystemTime};

use prost::Message;
use prost_types::Timestamp;
use redb::{
    Key, ReadTransaction, ReadableTable, TableDefinition, TableError, TableHandle, Value, WriteTransaction,
};

use crate::error::{Error, Result};

/// A table of messages.
pub type Records = TableDefinition<'static, (&'static str, &'static str), &'static [u8]>;

/// Version and generation of the whole file.
pub const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");
/// Namespaces with their labels; the first half of the key is empty.
pub const NAMESPACES: Records = TableDefinition::new("namespaces");
/// Containers.
pub const CONTAINERS: Records = TableDefinition::new("containers");
/// Images.
pub const IMAGES: Records = TableDefinition::new("images");
/// Leases.
pub const LEASES: Records = TableDefinition::new("leases");
/// What each lease holds.
pub const LEASE_RESOURCES: Records = TableDefinition::new("lease_resources");
/// Blobs a namespace may see.
pub const CONTENT: Records = TableDefinition::new("content");
/// Blobs that are being written.
pub const INGESTS: Records = TableDefinition::new("ingests");
/// Snapshots of every snapshotter.
pub const SNAPSHOTS: Records = TableDefinition::new("snapshots");
/// Sandboxes.
pub const SANDBOXES: Records = TableDefinition::new("sandboxes");

/// Every table of records.
pub const ALL: [Records; 9] =
    [NAMESPACES, CONTAINERS, IMAGES, LEASES, LEASE_RESOURCES, CONTENT, INGESTS, SNAPSHOTS, SANDBOXES];

/// A blob that is being written. Its bytes are in the content store's ingest directory.
#[derive(Clone, PartialEq, Message)]
pub struct IngestRecord {
    /// The client's name for it.
    #[prost(string, tag = "1")]
    pub reference: String,
    /// The digest the client expects; may be empty, or no digest at all.
    #[prost(string, tag = "2")]
    pub expected: String,
    /// Bytes the client expects; 0 for unknown.
    #[prost(int64, tag = "3")]
    pub total: i64,
    /// When the first writer came.
    #[prost(message, optional, tag = "4")]
    pub started_at: Option<Timestamp>,
    /// When garbage collection may take it, unless a lease holds it.
    #[prost(message, optional, tag = "5")]
    pub expires_at: Option<Timestamp>,
}

/// What a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum SnapshotKind {
    /// Read-only mounts of a parent.
    View = 1,
    /// Writable.
    Active = 2,
    /// Finished; may be a parent.
    Committed = 3,
}

/// A snapshot. `directory` names its place under the snapshotter's root.
#[derive(Clone, PartialEq, Message)]
pub struct SnapshotRecord {
    /// Name within namespace and snapshotter.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Name of the parent; empty for none.
    #[prost(string, tag = "2")]
    pub parent: String,
    /// What it is.
    #[prost(enumeration = "SnapshotKind", tag = "3")]
    pub kind: i32,
    /// Number of the directory.
    #[prost(uint64, tag = "4")]
    pub directory: u64,
    /// Labels.
    #[prost(btree_map = "string, string", tag = "5")]
    pub labels: std::collections::BTreeMap<String, String>,
    /// When it was prepared.
    #[prost(message, optional, tag = "6")]
    pub created_at: Option<Timestamp>,
    /// When record or kind last changed.
    #[prost(message, optional, tag = "7")]
    pub updated_at: Option<Timestamp>,
    /// Bytes on disk, of a committed one.
    #[prost(int64, tag = "8")]
    pub size: i64,
    /// Inodes, of a committed one.
    #[prost(int64, tag = "9")]
    pub inodes: i64,
}

/// A transaction that can be read: a snapshot, or a write transaction with what it changed so far.
pub trait Source {
    /// Opens a table for reading.
    ///
    /// # Errors
    /// The database can't be read.
    fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<impl ReadableTable<K, V>>;
}

impl Source for ReadTransaction {
    fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<impl ReadableTable<K, V>> {
        self.open_table(definition).map_err(|e| table_error(&definition, e))
    }
}

impl Source for WriteTransaction {
    fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<impl ReadableTable<K, V>> {
        self.open_table(definition).map_err(|e| table_error(&definition, e))
    }
}

fn table_error(table: &impl TableHandle, error: TableError) -> Error {
    Error::caused(format!("open table {} of the metadata", table.name()), error)
}

fn read_error(table: Records, error: redb::StorageError) -> Error {
    Error::caused(format!("read table {} of the metadata", table.name()), error)
}

fn decode<M: Message + Default>(table: Records, key: (&str, &str), bytes: &[u8]) -> Result<M> {
    M::decode(bytes).map_err(|e| {
        Error::new(crate::error::Kind::DataLoss, format!("decode {}/{} of {}", key.0, key.1, table.name()))
            .because(e)
    })
}

/// Reads one record.
///
/// # Errors
/// The database can't be read, or the record is damaged.
pub fn get<M: Message + Default>(
    source: &impl Source,
    table: Records,
    ns: &str,
    key: &str,
) -> Result<Option<M>> {
    let opened = source.table(table)?;
    let found = opened.get((ns, key)).map_err(|e| read_error(table, e))?;
    found.map(|value| decode(table, (ns, key), value.value())).transpose()
}

/// Calls `visit` with every key (without its namespace) and value whose key begins with `prefix`.
///
/// # Errors
/// The database can't be read; what `visit` returns.
pub fn scan(
    source: &impl Source,
    table: Records,
    ns: &str,
    prefix: &str,
    mut visit: impl FnMut(&str, &[u8]) -> Result<()>,
) -> Result<()> {
    let opened = source.table(table)?;
    for entry in opened.range((ns, prefix)..).map_err(|e| read_error(table, e))? {
        let (key, value) = entry.map_err(|e| read_error(table, e))?;
        let (found_ns, found) = key.value();
        if found_ns != ns || !found.starts_with(prefix) {
            break;
        }
        visit(found, value.value())?;
    }
    Ok(())
}

/// Reads all records of a namespace whose key begins with `prefix`, in the order of their keys.
///
/// # Errors
/// See [`get`].
pub fn list<M: Message + Default>(
    source: &impl Source,
    table: Records,
    ns: &str,
    prefix: &str,
) -> Result<Vec<M>> {
    let mut all = Vec::new();
    scan(source, table, ns, prefix, |key, value| {
        all.push(decode(table, (ns, key), value)?);
        Ok(())
    })?;
    Ok(all)
}

/// Writes one record over what was there.
///
/// # Errors
/// The database can't be written.
pub fn put(txn: &WriteTransaction, table: Records, ns: &str, key: &str, record: &impl Message) -> Result<()> {
    let mut opened = txn.open_table(table).map_err(|e| table_error(&table, e))?;
    opened
        .insert((ns, key), record.encode_to_vec().as_slice())
        .map_err(|e| Error::caused(format!("write {ns}/{key} to table {}", table.name()), e))?;
    Ok(())
}

/// Removes one record; says whether there was one.
///
/// # Errors
/// The database can't be written.
pub fn remove(txn: &WriteTransaction, table: Records, ns: &str, key: &str) -> Result<bool> {
    let mut opened = txn.open_table(table).map_err(|e| table_error(&table, e))?;
    let removed = opened
        .remove((ns, key))
        .map_err(|e| Error::caused(format!("remove {ns}/{key} from table {}", table.name()), e))?;
    Ok(removed.is_some())
}

/// The server's time: clients' times are not taken.
pub fn now() -> Option<Timestamp> {
    Some(SystemTime::now().into())
}

/// A time from now, in the form records carry.
pub fn after(wait: Duration) -> Option<Timestamp> {
    Some((SystemTime::now() + wait).into())
}

/// Whether `time` lies behind us. An unset or impossible time (Go's year 1) never does.
pub fn is_past(time: Option<&Timestamp>) -> bool {
    let now = Timestamp::from(SystemTime::now());
    time.is_some_and(|t| t.seconds > 0 && (t.seconds, t.nanos) <= (now.seconds, now.nanos))
}

/// A record's time; the epoch for one that is unset or impossible.
pub fn to_system_time(time: Option<&Timestamp>) -> SystemTime {
    time.and_then(|t| SystemTime::try_from(*t).ok()).unwrap_or(SystemTime::UNIX_EPOCH)
}
