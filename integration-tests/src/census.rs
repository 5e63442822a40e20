//! What the kernel holds for containers, counted before and after a test.

use std::collections::BTreeSet;
use std::path::Path;

/// Mounts, cgroups and shims whose paths or arguments name a test's folder or containers.
#[derive(Debug, PartialEq, Eq)]
pub struct Census(BTreeSet<String>);

impl Census {
    /// Counts what names `needle`: mount points, cgroup directories and command lines.
    ///
    /// # Panics
    /// /proc can't be read.
    pub fn of(needle: &str) -> Self {
        let mut found = BTreeSet::new();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        found.extend(mounts.lines().filter(|l| l.contains(needle)).map(|l| format!("mount {l}")));
        cgroups(Path::new("/sys/fs/cgroup"), needle, 4, &mut found);
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.bytes().all(|b| b.is_ascii_digit()) {
                continue;
            }
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(needle) && line.contains("shim") {
                found.insert(format!("process {name} {line}"));
            }
        }
        Self(found)
    }

    /// Counts what belongs to a stack in `dir`: mount points in it, shims that serve it, and the
    /// cgroups of containers with these ids, with what still runs in them.
    ///
    /// # Panics
    /// /proc can't be read.
    pub fn of_stack(dir: &Path, ids: &BTreeSet<String>) -> BTreeSet<String> {
        let Self(mut found) = Self::of(dir.to_str().expect("a temporary path is UTF-8"));
        cgroups_of(Path::new("/sys/fs/cgroup"), ids, 3, &mut found);
        found
    }

    /// Fails the test if something is there.
    ///
    /// # Panics
    /// Something was left behind; it is listed.
    pub fn assert_empty(&self) {
        assert!(self.0.is_empty(), "left behind: {:#?}", self.0);
    }

    /// Nothing is there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn cgroups(dir: &Path, needle: &str, depth: usize, found: &mut BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
        let path = entry.path();
        if entry.file_name().to_string_lossy().contains(needle) {
            found.insert(format!("cgroup {}", path.display()));
        } else if depth > 0 {
            cgroups(&path, needle, depth - 1, found);
        }
    }
}

fn cgroups_of(dir: &Path, ids: &BTreeSet<String>, depth: usize, found: &mut BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
        let path = entry.path();
        if ids.contains(entry.file_name().to_string_lossy().as_ref()) {
            let processes = std::fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
            found.insert(format!("cgroup {} with {:?}", path.display(), processes.trim()));
        } else if depth > 0 {
            cgroups_of(&path, ids, depth - 1, found);
        }
    }
}
