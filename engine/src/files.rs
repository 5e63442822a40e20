//! Files that the daemon makes for others to read.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Sees to it that `path` has exactly this text; whoever reads it meanwhile has the old or the new.
///
/// # Errors
/// It, or its folder, can't be written.
pub fn keep(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    if fs::read(path).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(format!(".{:016x}.new", rand::random::<u64>()));
    let fresh = Path::new(&fresh);
    fs::write(fresh, text)?;
    fs::set_permissions(fresh, Permissions::from_mode(mode))?;
    fs::rename(fresh, path)
}
