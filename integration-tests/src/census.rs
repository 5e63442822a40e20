//! What the kernel holds for containers, counted before and after a test.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

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
        let named = cgroups(Path::new("/sys/fs/cgroup"), 4, &|name| name.contains(needle));
        found.extend(named.iter().map(|path| format!("cgroup {}", path.display())));
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
        found.extend(cgroups(Path::new("/sys/fs/cgroup"), 3, &|name| ids.contains(name)).iter().map(
            |path| {
                let processes = std::fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
                format!("cgroup {} with {:?}", path.display(), processes.trim())
            },
        ));
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

/// The cgroups whose names `matches`, this deep below `dir` at most; not those inside them.
fn cgroups(dir: &Path, depth: usize, matches: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let folders = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    folders
        .flat_map(|entry| match matches(&entry.file_name().to_string_lossy()) {
            true => vec![entry.path()],
            false if depth > 0 => cgroups(&entry.path(), depth - 1, matches),
            false => Vec::new(),
        })
        .collect()
}
