//! A container's file system looked into by the daemon: mounted for a moment, and only opened from within.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use proto::containerd::types::Mount;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

/// A snapshot mounted at a directory of its own; unmounted when dropped.
#[derive(Debug)]
pub struct Rootfs {
    path: PathBuf,
}

impl Rootfs {
    /// Mounts `mounts` at `path`, only to be read.
    ///
    /// Only to be read in the superblock too: the kernel syncs the whole file system below a writable
    /// overlay when that is unmounted, which takes from 2 to 150 ms.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn mount(mounts: &[Mount], path: &Path) -> std::io::Result<Self> {
        release(path);
        std::fs::create_dir_all(path)?;
        let rootfs = Self { path: path.to_path_buf() };
        for one in mounts {
            let mut flags = MsFlags::MS_RDONLY;
            let mut data = Vec::new();
            for option in &one.options {
                match option.as_str() {
                    "ro" | "rw" => {}
                    "bind" => flags |= MsFlags::MS_BIND,
                    "rbind" => flags |= MsFlags::MS_BIND | MsFlags::MS_REC,
                    "nosuid" => flags |= MsFlags::MS_NOSUID,
                    "nodev" => flags |= MsFlags::MS_NODEV,
                    "noexec" => flags |= MsFlags::MS_NOEXEC,
                    other => data.push(other.to_owned()),
                }
            }
            let data = (!data.is_empty()).then(|| data.join(","));
            mount(Some(one.source.as_str()), path, Some(one.r#type.as_str()), flags, data.as_deref())?;
            let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
            mount(None::<&str>, path, None::<&str>, private, None::<&str>)?;
        }
        Ok(rootfs)
    }

    /// Opens something inside; links stay inside too.
    ///
    /// # Errors
    /// It isn't there or can't be opened.
    pub fn open(&self, inside: &str, flags: OFlags) -> std::io::Result<File> {
        Root(File::open(&self.path)?).open(inside, flags)
    }

    /// A small text file; empty if it is missing or no regular file. At most `limit` bytes.
    pub fn text(&self, inside: &str, limit: u64) -> String {
        File::open(&self.path).map(|root| Root(root).text(inside, limit)).unwrap_or_default()
    }
}

/// The root directory of a container, opened.
#[derive(Debug)]
pub struct Root(File);

impl Root {
    /// What a running process sees as its root.
    pub fn of_process(pid: u32) -> Option<Self> {
        File::open(format!("/proc/{pid}/root")).ok().map(Self)
    }

    fn open(&self, inside: &str, flags: OFlags) -> std::io::Result<File> {
        let relative = inside.trim_start_matches('/');
        let relative = if relative.is_empty() { "." } else { relative };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(&self.0, relative, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?.into())
    }

    /// As [`Rootfs::text`].
    pub fn text(&self, inside: &str, limit: u64) -> String {
        let read = || -> std::io::Result<String> {
            // Not blocking: a fifo in its place must not hang the daemon.
            let file = self.open(inside, OFlags::RDONLY | OFlags::NONBLOCK)?;
            let mut bytes = Vec::new();
            if file.metadata()?.is_file() {
                file.take(limit).read_to_end(&mut bytes)?;
            }
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_default()
    }
}

impl Drop for Rootfs {
    fn drop(&mut self) {
        release(&self.path);
    }
}

/// Unmounts and removes what a killed daemon may have left at `path`.
pub fn release(path: &Path) {
    while umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).is_ok() {}
    // Not empty or missing: nothing of ours.
    let _ = std::fs::remove_dir(path);
}
