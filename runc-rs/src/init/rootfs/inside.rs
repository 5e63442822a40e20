//! Paths inside a root that somebody else may be changing: always by descriptor, resolved by the kernel.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::error::IntoErrno;

/// As many as the kernel follows itself.
const MAX_LINKS: u32 = 40;

/// Opens what `path` names when `root` is `/`: symbolic links stay inside, magic links (/proc/PID/fd) are
/// refused.
pub(crate) fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> nix::Result<OwnedFd> {
    open_with(root, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// The same, but no component may be a symbolic link.
pub(crate) fn open_plain(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> nix::Result<OwnedFd> {
    open_with(root, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)
}

fn open_with(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    resolve: ResolveFlags,
) -> nix::Result<OwnedFd> {
    let relative = below(path);
    // EAGAIN: something was renamed meanwhile and the kernel can't be sure. It settles, or an attacker loops.
    for _ in 0..128 {
        match rustix::fs::openat2(root, &relative, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            other => return other.map_err(IntoErrno::into_errno),
        }
    }
    Err(Errno::EAGAIN)
}

/// Cleaned by its letters (`a/../b` is `b`, as every runtime reads it) and relative to the root.
fn below(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    if clean.as_os_str().is_empty() { PathBuf::from(".") } else { clean }
}

/// Opens a directory, made with its parents where it is missing. A dangling link's target is made.
pub(crate) fn make_dirs(root: BorrowedFd<'_>, path: &Path, mode: u32) -> nix::Result<OwnedFd> {
    make_dirs_within(root, path, mode, MAX_LINKS)
}

fn make_dirs_within(root: BorrowedFd<'_>, path: &Path, mode: u32, links: u32) -> nix::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    match open(root, path, flags) {
        Err(Errno::ENOENT) => {}
        other => return other,
    }
    let path = below(path);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::ENOENT) };
    let parent_fd = make_dirs_within(root, parent, mode, links)?;
    match rustix::fs::mkdirat(&parent_fd, name, Mode::from_raw_mode(mode)) {
        Ok(()) => {}
        Err(rustix::io::Errno::EXIST) => {
            if let Some(target) = link_target(parent_fd.as_fd(), parent, name) {
                let links = links.checked_sub(1).ok_or(Errno::ELOOP)?;
                return make_dirs_within(root, &target, mode, links);
            }
        }
        Err(e) => return Err(e.into_errno()),
    }
    open_with(parent_fd.as_fd(), Path::new(name), flags, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
}

/// Opens a file for mounting on, made empty (with its parents) where it is missing.
pub(crate) fn make_file(root: BorrowedFd<'_>, path: &Path) -> nix::Result<OwnedFd> {
    make_file_within(root, path, MAX_LINKS)
}

fn make_file_within(root: BorrowedFd<'_>, path: &Path, links: u32) -> nix::Result<OwnedFd> {
    match open(root, path, OFlags::PATH) {
        Err(Errno::ENOENT) => {}
        other => return other,
    }
    let path = below(path);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::ENOENT) };
    let parent_fd = make_dirs(root, parent, 0o755)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(&parent_fd, name, flags, Mode::from_raw_mode(0o755)) {
        Ok(_) => {}
        Err(rustix::io::Errno::EXIST) => {
            if let Some(target) = link_target(parent_fd.as_fd(), parent, name) {
                let links = links.checked_sub(1).ok_or(Errno::ELOOP)?;
                return make_file_within(root, &target, links);
            }
        }
        Err(e) => return Err(e.into_errno()),
    }
    open_with(
        parent_fd.as_fd(),
        Path::new(name),
        OFlags::PATH,
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
    )
}

/// Where a link leads, as a path from the root.
fn link_target(dir: BorrowedFd<'_>, dir_path: &Path, name: &std::ffi::OsStr) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let target = rustix::fs::readlinkat(dir, name, Vec::new()).ok()?;
    let target = PathBuf::from(std::ffi::OsString::from_vec(target.into_bytes()));
    Some(if target.is_absolute() { target } else { dir_path.join(target) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A directory of this test's own, removed at its end.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("runc-rs-inside-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn links_never_lead_out_of_the_root() {
        let dir = Dir::new("links");
        let root_path = dir.0.join("root");
        fs::create_dir_all(root_path.join("etc")).unwrap();
        fs::create_dir_all(dir.0.join("host")).unwrap();
        symlink("/../../host", root_path.join("up")).unwrap();
        symlink(dir.0.join("host"), root_path.join("abs")).unwrap();
        let root = fs::File::open(&root_path).unwrap();
        for path in ["/up/made", "/abs/made", "/etc/../../host/made", "../host/made"] {
            make_dirs(root.as_fd(), Path::new(path), 0o755).unwrap();
            make_file(root.as_fd(), &Path::new(path).join("file")).unwrap();
        }
        assert_eq!(fs::read_dir(dir.0.join("host")).unwrap().count(), 0);
        assert!(root_path.join("host/made/file").is_file());
    }

    #[test]
    fn dangling_links_get_their_target_made_and_loops_end() {
        let dir = Dir::new("dangling");
        fs::create_dir_all(dir.0.join("etc")).unwrap();
        symlink("../run/resolv.conf", dir.0.join("etc/resolv.conf")).unwrap();
        symlink("b", dir.0.join("a")).unwrap();
        symlink("a", dir.0.join("b")).unwrap();
        let root = fs::File::open(&dir.0).unwrap();
        make_file(root.as_fd(), Path::new("/etc/resolv.conf")).unwrap();
        assert!(dir.0.join("run/resolv.conf").is_file());
        assert_eq!(make_dirs(root.as_fd(), Path::new("/a/x"), 0o755).unwrap_err(), Errno::ELOOP);
    }
}
