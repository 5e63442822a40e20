//! The host around a container: cgroup files of either version, processes.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bundle::Bundle;

const CGROUPS: &str = "/sys/fs/cgroup";

/// Whether this mount namespace shows cgroup v2 alone.
pub(crate) fn is_v2() -> bool {
    Path::new(CGROUPS).join("cgroup.controllers").exists()
}

/// The directories of that name below the cgroup mounts.
pub(crate) fn cgroups_named(name: &str) -> Vec<PathBuf> {
    let found = Command::new("find").args([CGROUPS, "-type", "d", "-name", name]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(PathBuf::from).collect()
}

/// A container's cgroup file: `controller/file` where v1 has the controllers, else the v2 name.
pub(crate) fn cgroup_file(bundle: &Bundle, v1: &str, v2: &str) -> PathBuf {
    let found = cgroups_named(bundle.id());
    let (start, file) = match v1.split_once('/') {
        Some((controller, file)) if !is_v2() => (Path::new(CGROUPS).join(controller), file),
        _ => (PathBuf::from(CGROUPS), v2),
    };
    let dir = found.iter().find(|dir| dir.starts_with(&start));
    dir.unwrap_or_else(|| panic!("no cgroup of {} in {}: {found:?}", bundle.id(), start.display())).join(file)
}

/// Its content, without the newline.
pub(crate) fn cgroup_value(bundle: &Bundle, v1: &str, v2: &str) -> String {
    let path = cgroup_file(bundle, v1, v2);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.trim_end().to_owned()
}

/// Whether the process exists and is more than a zombie.
pub(crate) fn is_alive(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Asks in short steps until it is so; a test that waits in vain fails with what it waited for.
pub(crate) fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if ready() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{what}: never");
}
