//! `--root`: a directory per container.
//!
//! ```text
//! ROOT/ID/            0711, locked (flock) while somebody changes the container
//!   intent.json       what is about to be made, written before the first deed; never changed
//!   state.json        the same with the init, once there is one
//!   start             the pipe on which an init waits; gone once started
//!   seccomp.bpf       the compiled filter, for exec
//! ```

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use super::state::{State, VERSION};
use crate::config::load;
use crate::error::Refusal;

const INTENT: &str = "intent.json";
const STATE: &str = "state.json";

/// One container's directory.
#[derive(Debug)]
pub(crate) struct Entry {
    dir: PathBuf,
    /// The opened directory, which carries the lock.
    handle: File,
}

impl Entry {
    /// Makes the directory and locks it.
    pub(crate) fn create(root: &Path, id: &str) -> anyhow::Result<Self> {
        crate::config::validate::id(id)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(root)
            .with_context(|| format!("create {}", root.display()))?;
        let dir = root.join(id);
        match DirBuilder::new().mode(0o711).create(&dir) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return Err(Refusal::Exists.into()),
            Err(e) => return Err(e).with_context(|| format!("create {}", dir.display())),
        }
        let entry =
            Self { handle: File::open(&dir).with_context(|| format!("open {}", dir.display()))?, dir };
        entry.lock()?;
        Ok(entry)
    }

    /// Opens that of an existing container.
    pub(crate) fn open(root: &Path, id: &str) -> anyhow::Result<Self> {
        crate::config::validate::id(id)?;
        let dir = root.join(id);
        match File::open(&dir) {
            Ok(handle) => Ok(Self { dir, handle }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(Refusal::NotExist.into()),
            Err(e) => Err(e).with_context(|| format!("open {}", dir.display())),
        }
    }

    /// Waits until nobody else changes the container. Let go when the entry is dropped.
    pub(crate) fn lock(&self) -> anyhow::Result<()> {
        rustix::io::retry_on_intr(|| flock(&self.handle, FlockOperation::LockExclusive))
            .with_context(|| format!("lock {}", self.dir.display()))
    }

    /// Whether another process is changing it right now.
    pub(crate) fn is_locked(&self) -> bool {
        match File::open(&self.dir) {
            Ok(other) => flock(&other, FlockOperation::NonBlockingLockExclusive).is_err(),
            Err(_) => false,
        }
    }

    pub(crate) fn start_pipe(&self) -> PathBuf {
        self.dir.join("start")
    }

    /// The user who made it.
    pub(crate) fn owner(&self) -> u32 {
        self.handle.metadata().map_or(0, |m| m.uid())
    }

    /// The pipe's reading end for the init: opened without waiting, and inherited.
    pub(crate) fn make_start_pipe(&self) -> anyhow::Result<OwnedFd> {
        let path = self.start_pipe();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .with_context(|| format!("make {}", path.display()))?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::open(&path, flags, Mode::empty()).with_context(|| format!("open {}", path.display()))
    }

    /// The container as far as it got.
    pub(crate) fn read(&self) -> anyhow::Result<State> {
        match self.read_file(STATE) {
            Err(e) if is_not_found(&e) => self.read_intent(),
            other => other,
        }
    }

    /// What was to be made: no init, but where its processes are.
    pub(crate) fn read_intent(&self) -> anyhow::Result<State> {
        match self.read_file(INTENT) {
            // Killed between making the directory and writing the file: nothing else exists.
            Err(e) if is_not_found(&e) => Err(Refusal::NotExist.into()),
            other => other,
        }
    }

    fn read_file(&self, name: &str) -> anyhow::Result<State> {
        let path = self.dir.join(name);
        let bytes = load::read(&path)?;
        let state: State = serde_json::from_slice(&bytes)
            .with_context(|| format!("state file {} is broken", path.display()))?;
        if state.version != VERSION {
            bail!(
                "state file {} has version {}, this runtime knows {VERSION}",
                path.display(),
                state.version
            );
        }
        Ok(state)
    }

    pub(crate) fn write_intent(&self, state: &State) -> anyhow::Result<()> {
        self.write_file(INTENT, &serde_json::to_vec(state)?)
    }

    pub(crate) fn write(&self, state: &State) -> anyhow::Result<()> {
        self.write_file(STATE, &serde_json::to_vec(state)?)
    }

    /// Whole or not at all: a temporary file, then its name.
    fn write_file(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let (path, temporary) = (self.dir.join(name), self.dir.join(format!(".{name}.new")));
        let write = || {
            let mut file =
                File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(bytes)?;
            fs::rename(&temporary, &path)
        };
        write().with_context(|| format!("write {}", path.display()))
    }

    pub(crate) fn write_filter(&self, program: &[u8]) -> anyhow::Result<()> {
        self.write_file("seccomp.bpf", program)
    }

    pub(crate) fn read_filter(&self) -> anyhow::Result<Vec<u8>> {
        load::read(&self.dir.join("seccomp.bpf"))
    }

    /// Removes the directory and all in it.
    pub(crate) fn remove(&self) -> anyhow::Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).with_context(|| format!("remove {}", self.dir.display()))
            }
            _ => Ok(()),
        }
    }
}

fn is_not_found(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound)
}

/// The ids of all containers, sorted.
pub(crate) fn ids(root: &Path) -> anyhow::Result<Vec<String>> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).with_context(|| format!("read {}", root.display())),
    };
    let mut ids: Vec<String> = entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|id| crate::config::validate::id(id).is_ok())
        .collect();
    ids.sort();
    Ok(ids)
}
