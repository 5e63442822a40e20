//! How a container's init ended, on disk before anybody is told.
//!
//! `BUNDLE/exit.json`: `{"pid":1,"status":0,"seconds":…,"nanos":…}`. `delete` answers with it when the shim
//! itself has died after its container.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::files::write_atomic;

/// End of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exit {
    pub(crate) pid: i32,
    /// The exit code, or 128 and the signal's number.
    pub(crate) status: u32,
    seconds: i64,
    nanos: i32,
}

impl Exit {
    pub(crate) fn now(pid: i32, status: u32) -> Self {
        let time = now();
        Self { pid, status, seconds: time.seconds, nanos: time.nanos }
    }

    pub(crate) fn time(&self) -> Timestamp {
        Timestamp { seconds: self.seconds, nanos: self.nanos }
    }

    pub(crate) fn save(&self, bundle: &Path) -> std::io::Result<()> {
        write_atomic(&bundle.join("exit.json"), &serde_json::to_vec(self)?, 0o600)
    }

    pub(crate) fn load(bundle: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(bundle.join("exit.json")).ok()?).ok()
    }
}

/// The clock's time as protobuf has it.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { seconds: since.as_secs() as i64, nanos: since.subsec_nanos() as i32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_exit_is_found_again_and_a_broken_one_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let exit = Exit::now(7, 137);
        exit.save(dir.path()).expect("writable");
        assert_eq!(Exit::load(dir.path()), Some(exit));
        fs::write(dir.path().join("exit.json"), "{\"pid\":").expect("writable");
        assert_eq!(Exit::load(dir.path()), None);
    }
}
