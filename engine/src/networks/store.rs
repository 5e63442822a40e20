//! What is on disk.
//!
//! - `DATA/networks.redb`, table `networks`: id → JSON of [`Network`] (see [`crate::store`]).
//! - `EXEC/network/CONTAINER.json`: the sandbox of one started container, written before anything of it
//!   exists in the kernel and removed after the last of it is gone. EXEC is a tmpfs, so these records die
//!   with the namespaces they describe.
//! - `EXEC/netns/CONTAINER`: the pinned namespace (see [`super::netns`]).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Error, error::Step, record::Network, sandbox::Record};
use crate::store;

const NETWORKS: &str = "networks";

pub(super) struct Store {
    records: store::Store,
    file: String,
    exec: PathBuf,
}

impl Store {
    /// Opens or makes the store.
    pub(super) fn open(data_root: &Path, exec_root: &Path) -> Result<Self, Error> {
        for directory in [data_root.to_owned(), exec_root.join("network"), exec_root.join("netns")] {
            fs::create_dir_all(&directory).step("create directory", directory.display().to_string())?;
        }
        let path = data_root.join("networks.redb");
        let file = path.display().to_string();
        let records = store::Store::open(&path).step("open database", &file)?;
        Ok(Store { records, file, exec: exec_root.to_owned() })
    }

    pub(super) fn networks(&self) -> Result<Vec<Network>, Error> {
        let records = self.records.all(NETWORKS).step("read", &self.file)?;
        Ok(records.into_iter().map(|(_, network)| network).collect())
    }

    pub(super) fn put(&self, network: &Network) -> Result<(), Error> {
        self.records.put(NETWORKS, &network.id, network).step("write", &self.file)
    }

    pub(super) fn delete(&self, id: &str) -> Result<(), Error> {
        self.records.delete(NETWORKS, id).step("write", &self.file)
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
