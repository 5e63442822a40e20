//! cgroup.freeze, and cgroup.events to know when it is done.

use std::path::Path;

use crate::cgroup::wait_until;
use crate::error::Result;
use crate::files;

pub(crate) fn set(dir: &Path, frozen: bool) -> Result<()> {
    let (value, name) = if frozen { ("1", "frozen") } else { ("0", "thawed") };
    files::write(dir, "cgroup.freeze", value)?;
    let want = u64::from(frozen);
    let reached =
        wait_until(dir, name, || Ok(files::lookup(&files::read(dir, "cgroup.events")?, "frozen") == want));
    if frozen && reached.is_err() {
        let _ = files::write(dir, "cgroup.freeze", "0");
    }
    reached
}
