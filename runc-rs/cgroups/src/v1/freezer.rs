//! freezer.state.

use std::path::Path;

use crate::cgroup::wait_until;
use crate::error::Result;
use crate::files;

/// Writes the state until it is reached: while a process forks, one write may only get to FREEZING.
pub(crate) fn set(dir: &Path, frozen: bool) -> Result<()> {
    let (word, name) = if frozen { ("FROZEN", "frozen") } else { ("THAWED", "thawed") };
    let reached = wait_until(dir, name, || {
        files::write(dir, "freezer.state", word)?;
        Ok(files::read(dir, "freezer.state")?.trim() == word)
    });
    if frozen && reached.is_err() {
        // Half-frozen is worse than running.
        let _ = files::write(dir, "freezer.state", "THAWED");
    }
    reached
}
