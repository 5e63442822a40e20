//! What is on disk.
//!
//! - `DATA/networks.redb`, table `networks`: id → JSON of [`Network`]; table `meta`: `version` → `1`.
//! - `EXEC/network/CONTAINER.json`: the sandbox of one started container, written before anything of it
//!   exists in the kernel and removed after the last of it is gone. EXEC is a tmpfs, so these records die
//!   with the namespaces they describe.
//! - `EXEC/netns/CONTAINER`: the pinned namespace (see [`super::netns`]).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::{Error, error::Step, record::Network, sandbox::Record};

const NETWORKS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("networks");
const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
const VERSION: &str = "1";

pub(super) struct Store {
    db: Database,
    file: String,
    exec: PathBuf,
}

impl Store {
    /// Opens or makes the store. A file that is no database is set aside, loudly.
    pub(super) fn open(data_root: &Path, exec_root: &Path) -> Result<Self, Error> {
        for directory in [data_root.to_owned(), exec_root.join("network"), exec_root.join("netns")] {
            fs::create_dir_all(&directory).step("create directory", directory.display().to_string())?;
        }
        let path = data_root.join("networks.redb");
        let file = path.display().to_string();
        let db = match Database::create(&path) {
            Err(redb::DatabaseError::Storage(redb::StorageError::Corrupted(reason))) => {
                let aside = path.with_extension("redb.corrupt");
                tracing::error!(%file, %reason, aside = %aside.display(), "network database is corrupt: set aside");
                fs::rename(&path, &aside).step("set aside", &file)?;
                Database::create(&path).step("create database", &file)?
            }
            other => other.step("open database", &file)?,
        };
        let store = Store { db, file, exec: exec_root.to_owned() };
        store.check_version()?;
        Ok(store)
    }

    fn check_version(&self) -> Result<(), Error> {
        let write = self.db.begin_write().step("write", &self.file)?;
        {
            let mut meta = write.open_table(META).step("open table", &self.file)?;
            let found = meta.get("version").step("read", &self.file)?.map(|v| v.value().to_owned());
            match found.as_deref() {
                None => {
                    meta.insert("version", VERSION).step("write", &self.file)?;
                }
                Some(VERSION) => {}
                Some(other) => {
                    let text = format!("version {other} is not known to this daemon (it knows {VERSION})");
                    return Err(io::Error::other(text)).step("open database", &self.file);
                }
            }
            write.open_table(NETWORKS).step("open table", &self.file)?;
        }
        write.commit().step("commit", &self.file)
    }

    pub(super) fn networks(&self) -> Result<Vec<Network>, Error> {
        let read = self.db.begin_read().step("read", &self.file)?;
        let table = read.open_table(NETWORKS).step("open table", &self.file)?;
        let mut networks = Vec::new();
        for row in table.iter().step("read", &self.file)? {
            let (id, value) = row.step("read", &self.file)?;
            match serde_json::from_slice(value.value()) {
                Ok(network) => networks.push(network),
                Err(error) => tracing::error!(network = id.value(), %error, "network record is unreadable"),
            }
        }
        Ok(networks)
    }

    pub(super) fn put(&self, network: &Network) -> Result<(), Error> {
        let value = serde_json::to_vec(network).step("encode network", &network.name)?;
        let write = self.db.begin_write().step("write", &self.file)?;
        {
            let mut table = write.open_table(NETWORKS).step("open table", &self.file)?;
            table.insert(network.id.as_str(), value.as_slice()).step("write", &self.file)?;
        }
        write.commit().step("commit", &self.file)
    }

    pub(super) fn delete(&self, id: &str) -> Result<(), Error> {
        let write = self.db.begin_write().step("write", &self.file)?;
        {
            let mut table = write.open_table(NETWORKS).step("open table", &self.file)?;
            table.remove(id).step("write", &self.file)?;
        }
        write.commit().step("commit", &self.file)
    }

    pub(super) fn netns(&self, container: &str) -> PathBuf {
        self.exec.join("netns").join(container)
    }

    fn record_path(&self, container: &str) -> PathBuf {
        self.exec.join("network").join(format!("{container}.json"))
    }

    pub(super) fn put_sandbox(&self, record: &Record) -> Result<(), Error> {
        let path = self.record_path(&record.container);
        let new = path.with_extension("json.new");
        let value = serde_json::to_vec(record).step("encode sandbox", &record.container)?;
        fs::write(&new, value).step("write", new.display().to_string())?;
        fs::rename(&new, &path).step("rename to", path.display().to_string())
    }

    pub(super) fn delete_sandbox(&self, container: &str) -> Result<(), Error> {
        let path = self.record_path(container);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).step("remove", path.display().to_string())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn sandboxes(&self) -> Result<Vec<Record>, Error> {
        let directory = self.exec.join("network");
        let mut records = Vec::new();
        for entry in fs::read_dir(&directory).step("read", directory.display().to_string())?.flatten() {
            let path = entry.path();
            let record = (path.extension().is_some_and(|extension| extension == "json"))
                .then(|| fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()))
                .flatten();
            match record {
                Some(record) => records.push(record),
                None => {
                    tracing::warn!(file = %path.display(), "sandbox record is unreadable: removed");
                    let _ = fs::remove_file(&path);
                }
            }
        }
        Ok(records)
    }

    /// Containers with a namespace file, whatever it is.
    pub(super) fn pinned(&self) -> Vec<String> {
        fs::read_dir(self.exec.join("netns"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }
}
