//! Reads the bundle's config.json, and a process document for `exec`, within bounds.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};

use super::spec::{Process, Spec};

/// Real ones are below 100 kB; beyond this somebody wants to exhaust memory.
const MAX_SIZE: u64 = 16 << 20;

/// Parses `BUNDLE/config.json`. Nothing is checked yet.
pub(crate) fn spec(bundle: &Path) -> anyhow::Result<Spec> {
    let path = bundle.join("config.json");
    let bytes = match read(&path) {
        Err(e) if is_not_found(&e) => bail!("JSON specification file config.json not found"),
        other => other?,
    };
    serde_json::from_slice(&bytes).with_context(|| format!("parse {}", path.display()))
}

/// Parses the process document of `exec --process`.
pub(crate) fn process(path: &Path) -> anyhow::Result<Process> {
    serde_json::from_slice(&read(path)?).with_context(|| format!("parse {}", path.display()))
}

fn is_not_found(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound)
}

/// A file that is small enough to be what it should be.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes).with_context(|| format!("read {}", path.display()))?;
    if bytes.len() as u64 > MAX_SIZE {
        bail!("{} is larger than {} MiB", path.display(), MAX_SIZE >> 20);
    }
    Ok(bytes)
}
