//! A disk so small that it is soon full.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tmpfs of its own; unmounted at drop.
#[derive(Debug)]
pub struct SmallDisk {
    dir: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many megabytes on `dir`, which is made.
    ///
    /// # Panics
    /// It can't be mounted (it needs root).
    pub fn mount(dir: &Path, megabytes: usize) -> Self {
        std::fs::create_dir_all(dir).expect("make the mount point");
        let size = format!("size={megabytes}m,mode=0711");
        let mut mount = Command::new("mount");
        let status = mount.args(["-t", "tmpfs", "-o", &size, "small-disk"]).arg(dir).status();
        assert!(status.is_ok_and(|status| status.success()), "mount {}", dir.display());
        Self { dir: dir.to_owned() }
    }

    /// Where it is mounted.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }

    /// Takes all room that is left.
    ///
    /// # Panics
    /// The ballast can't be made.
    pub fn fill(&self) {
        let mut options = std::fs::File::options();
        let mut file = options.create(true).append(true).open(self.ballast()).expect("make the ballast");
        let page = [1; 4096];
        while file.write_all(&page).is_ok() {}
    }

    /// Gives it back.
    ///
    /// # Panics
    /// It was never filled.
    pub fn empty(&self) {
        std::fs::remove_file(self.ballast()).expect("remove the ballast");
    }

    /// Bytes in use.
    ///
    /// # Panics
    /// It can't be asked.
    pub fn used(&self) -> u64 {
        let stat = nix::sys::statvfs::statvfs(&self.dir).expect("statvfs");
        (stat.blocks() - stat.blocks_free()) * stat.fragment_size()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // So that what is still on it can be cleared up. Lazily: daemons on it may end later.
        let _ = std::fs::remove_file(self.ballast());
        let _ = Command::new("umount").arg("-l").arg(&self.dir).status();
    }
}
