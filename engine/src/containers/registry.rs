//! The containers this daemon has: records on disk, and what is only true while the daemon lives.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::record::Record;
use super::state::{Change, State};
use super::streams::Streams;
use crate::error::{Error, Result};
use crate::store::Store;

const TABLE: &str = "containers";

/// What waiters look at.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    /// The state.
    pub state: State,
    /// Grows with every end of a run.
    pub exits: u64,
    /// The code of the last end.
    pub last_exit: i64,
    /// The container is gone.
    pub removed: bool,
}

/// One container.
#[derive(Debug)]
pub struct Container {
    /// 64 hex digits.
    pub id: String,
    /// Held by whoever starts, ends, changes or removes it.
    pub operation: tokio::sync::Mutex<()>,
    /// Its streams, for attach.
    pub streams: Streams,
    /// A stop is under way, not just a kill: its end is told as one.
    pub stopping: AtomicBool,
    record: Mutex<Record>,
    pulse: watch::Sender<Pulse>,
    store: Store,
}

impl Container {
    /// A copy of the record.
    pub fn record(&self) -> Record {
        self.lock().clone()
    }

    /// Looks at the record.
    pub fn read<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.lock())
    }

    /// The state.
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// Follows the state.
    pub fn watch(&self) -> watch::Receiver<Pulse> {
        self.pulse.subscribe()
    }

    /// Changes the record; it is on disk when this returns. On failure nothing is changed.
    ///
    /// # Errors
    /// The disk fails, or `change` refuses.
    pub fn update<T>(&self, change: impl FnOnce(&mut Record) -> Result<T>) -> Result<T> {
        let mut record = self.lock();
        let mut next = record.clone();
        let answer = change(&mut next)?;
        if *record != next {
            on_disk(|| self.store.put(TABLE, &self.id, &next))?;
            *record = next;
        }
        let state = record.state.clone();
        self.pulse.send_modify(|pulse| pulse.state = state);
        Ok(answer)
    }

    /// Applies a change of state.
    ///
    /// # Errors
    /// The state does not allow it, or the disk fails.
    pub fn apply(&self, change: Change) -> Result<()> {
        let ended = match &change {
            Change::Exited { exit_code, .. } => Some(*exit_code),
            _ => None,
        };
        self.update(|record| record.state.apply(change).map_err(|error| Error::conflict(error.to_string())))?;
        if let Some(code) = ended {
            self.pulse.send_modify(|pulse| (pulse.exits, pulse.last_exit) = (pulse.exits + 1, code));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All containers, by id and name.
#[derive(Debug)]
pub struct Registry {
    store: Store,
    exec_root: std::path::PathBuf,
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    by_id: BTreeMap<String, Arc<Container>>,
    names: HashMap<String, String>,
}

impl Registry {
    /// Reads all records.
    ///
    /// # Errors
    /// The disk fails.
    pub fn load(store: Store, exec_root: &std::path::Path) -> Result<Self> {
        let registry =
            Self { store: store.clone(), exec_root: exec_root.to_path_buf(), index: Mutex::default() };
        for (id, record) in store.all::<Record>(TABLE)? {
            let mut index = registry.lock();
            index.names.insert(record.name.clone(), id.clone());
            let container = registry.shell(record);
            index.by_id.insert(id, container);
        }
        Ok(registry)
    }

    /// Adds a container: its name is taken and its record on disk when this returns.
    ///
    /// # Errors
    /// 409 when the name is taken.
    pub fn add(&self, record: Record) -> Result<Arc<Container>> {
        let mut index = self.lock();
        if let Some(owner) = index.names.get(&record.name) {
            return Err(taken(&record.name, owner));
        }
        on_disk(|| self.store.put(TABLE, &record.id, &record))?;
        index.names.insert(record.name.clone(), record.id.clone());
        let id = record.id.clone();
        let container = self.shell(record);
        index.by_id.insert(id, container.clone());
        Ok(container)
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// 409 when it is taken.
    pub fn rename(&self, container: &Container, name: &str) -> Result<()> {
        let mut index = self.lock();
        if let Some(owner) = index.names.get(name) {
            let text = format!("Error when allocating new name: {}", taken(name, owner));
            return Err(Error::conflict(text));
        }
        let old = container.update(|record| Ok(std::mem::replace(&mut record.name, name.to_owned())))?;
        index.names.remove(&old);
        index.names.insert(name.to_owned(), container.id.clone());
        Ok(())
    }

    /// Forgets a container: its name is free when this returns, and waiters for its removal are told.
    ///
    /// # Errors
    /// The disk fails.
    pub fn remove(&self, container: &Container) -> Result<()> {
        let name = container.read(|record| record.name.clone());
        let mut index = self.lock();
        on_disk(|| self.store.delete(TABLE, &container.id))?;
        index.names.remove(&name);
        index.by_id.remove(&container.id);
        drop(index);
        container.pulse.send_modify(|pulse| pulse.removed = true);
        Ok(())
    }

    /// Finds a container by full id, name (with or without slash) or prefix of its id.
    ///
    /// # Errors
    /// 404 for none, 400 for several.
    pub fn find(&self, reference: &str) -> Result<Arc<Container>> {
        let index = self.lock();
        let missing = || Error::not_found(format!("No such container: {reference}"));
        let name = reference.strip_prefix('/').unwrap_or(reference);
        if let Some(container) = index.by_id.get(reference) {
            return Ok(container.clone());
        }
        if let Some(container) = index.names.get(name).and_then(|id| index.by_id.get(id)) {
            return Ok(container.clone());
        }
        if reference.is_empty() || !reference.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(missing());
        }
        let mut found =
            index.by_id.range(reference.to_owned()..).take_while(|(id, _)| id.starts_with(reference));
        match (found.next(), found.next()) {
            (None, _) => Err(missing()),
            (Some((_, container)), None) => Ok(container.clone()),
            _ => Err(Error::invalid(format!("multiple IDs found with provided prefix: {reference}"))),
        }
    }

    /// The container of a full id.
    pub fn get(&self, id: &str) -> Option<Arc<Container>> {
        self.lock().by_id.get(id).cloned()
    }

    /// All containers.
    pub fn all(&self) -> Vec<Arc<Container>> {
        self.lock().by_id.values().cloned().collect()
    }

    /// Says whether a name is free.
    pub fn is_free(&self, name: &str) -> bool {
        !self.lock().names.contains_key(name)
    }

    /// Ids of the containers that use a volume.
    pub fn using_volume(&self, name: &str) -> Vec<String> {
        let uses = |container: &Arc<Container>| {
            container.read(|record| record.mounts.iter().any(|mount| mount.volume.as_deref() == Some(name)))
        };
        self.all().into_iter().filter(uses).map(|container| container.id.clone()).collect()
    }

    /// The containers made from an image id.
    pub fn using_image(&self, image: &str) -> Vec<Arc<Container>> {
        self.all().into_iter().filter(|container| container.read(|record| record.image.id == image)).collect()
    }

    fn shell(&self, record: Record) -> Arc<Container> {
        let pulse =
            Pulse { state: record.state.clone(), last_exit: record.state.exit_code, ..Pulse::default() };
        Arc::new(Container {
            id: record.id.clone(),
            operation: tokio::sync::Mutex::default(),
            stopping: AtomicBool::new(false),
            streams: Streams::new(&self.exec_root.join("containers").join(&record.id)),
            record: Mutex::new(record),
            pulse: watch::Sender::new(pulse),
            store: self.store.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn taken(name: &str, owner: &str) -> Error {
    Error::conflict(format!(
        "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". You have to remove (or rename) that container to be able to reuse that name."
    ))
}

/// The disk is waited for off the scheduler's back where there is one.
fn on_disk<T>(write: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(write),
        _ => write(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(dir: &std::path::Path) -> Registry {
        Registry::load(Store::open(&dir.join("db")).expect("store"), dir).expect("registry")
    }

    fn record(id: &str, name: &str) -> Record {
        Record { id: id.repeat(64 / id.len()), name: name.into(), ..Record::default() }
    }

    #[test]
    fn a_taken_name_is_a_conflict_in_dockers_words() {
        let dir = tempfile::tempdir().expect("temp dir");
        let registry = registry(dir.path());
        registry.add(record("a", "web")).expect("first");
        let error = registry.add(record("b", "web")).expect_err("second");
        assert_eq!(error.kind(), crate::error::Kind::Conflict);
        assert!(
            error
                .to_string()
                .starts_with("Conflict. The container name \"/web\" is already in use by container \"aaaa")
        );
    }

    #[test]
    fn a_name_beats_a_prefix_and_a_prefix_must_be_unique() {
        let dir = tempfile::tempdir().expect("temp dir");
        let registry = registry(dir.path());
        registry.add(record("ab", "one")).expect("ab");
        registry.add(record("ac", "abab")).expect("ac");
        assert_eq!(registry.find("/one").expect("by name").id, "ab".repeat(32));
        assert_eq!(registry.find("abab").expect("name first").id, "ac".repeat(32));
        assert_eq!(registry.find("aba").expect("prefix").id, "ab".repeat(32));
        assert_eq!(
            registry.find("a").expect_err("two").to_string(),
            "multiple IDs found with provided prefix: a"
        );
        assert_eq!(registry.find("zz").expect_err("none").to_string(), "No such container: zz");
    }

    #[test]
    fn records_survive_a_reload_and_removal_frees_the_name() {
        let dir = tempfile::tempdir().expect("temp dir");
        let first = registry(dir.path());
        let container = first.add(record("a", "web")).expect("add");
        container.apply(Change::Started { pid: 3, at: 1 }).expect("start");
        first.rename(&container, "site").expect("rename");
        drop((first, container));
        let second = registry(dir.path());
        let container = second.find("site").expect("found again");
        assert_eq!(container.state().pid, 3);
        second.remove(&container).expect("remove");
        assert!(second.is_free("site") && container.watch().borrow().removed);
    }
}
