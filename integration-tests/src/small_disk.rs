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

    /// Takes all room that is left.
    pub fn fill(&self) -> Ballast {
        let ballast = Ballast(self.dir.join("ballast"));
        ballast.refill();
        ballast
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

/// What takes the room; gives it back when it is dropped, before a test's daemons clear up.
#[derive(Debug)]
pub struct Ballast(PathBuf);

impl Ballast {
    /// Takes what has come free meanwhile.
    ///
    /// # Panics
    /// The file can't be made.
    pub fn refill(&self) {
        let mut options = std::fs::File::options();
        let mut file = options.create(true).append(true).open(&self.0).expect("make the ballast");
        let page = [1; 4096];
        while file.write_all(&page).is_ok() {}
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.dir).status();
        // A folder that was removed around it lacks but this.
        let _ = std::fs::remove_dir(&self.dir);
        let _ = self.dir.parent().map(std::fs::remove_dir);
    }
}
