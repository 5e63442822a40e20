//! Directories that a layer uses without announcing them look as they do in the layers below.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timestamps, Uid};

use crate::error::{ArchiveError, Result};
use crate::safe_path;

/// Gives the `implied` directories below `root` the mode, owner and times that they have in the
/// nearest of `lowers` (nearest first; each one layer's own files in overlayfs' form). One that no
/// layer below has stays as it is.
///
/// # Errors
/// A directory that was made can't be opened or changed.
pub fn inherit(root: &Path, lowers: &[impl AsRef<Path>], implied: &[Vec<u8>]) -> Result<()> {
    let open = |path: &Path| {
        rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| ArchiveError::at("open directory", path.as_os_str().as_encoded_bytes(), error))
    };
    if implied.is_empty() {
        return Ok(());
    }
    let root = open(root)?;
    let lowers = lowers.iter().map(|lower| open(lower.as_ref())).collect::<Result<Vec<_>>>()?;
    // Deepest first: what is made below a directory changes its times.
    for path in implied.iter().rev() {
        let Some(stat) = lowers.iter().find_map(|lower| entry(lower, path)) else { continue };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            continue;
        }
        let fail = |error| ArchiveError::at("set attributes of", path, error);
        let directory = beneath(&root, path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(fail)?;
        let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        rustix::fs::fchown(&directory, Some(uid), Some(gid)).map_err(fail)?;
        rustix::fs::fchmod(&directory, Mode::from_raw_mode(stat.st_mode & 0o7777)).map_err(fail)?;
        let time = |tv_sec, tv_nsec| rustix::fs::Timespec { tv_sec, tv_nsec };
        let times = Timestamps {
            last_access: time(stat.st_atime, i64::try_from(stat.st_atime_nsec).unwrap_or(0)),
            last_modification: time(stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        };
        rustix::fs::futimens(&directory, &times).map_err(fail)?;
    }
    Ok(())
}

fn entry(lower: &OwnedFd, path: &[u8]) -> Option<Stat> {
    let (parent_path, base) = safe_path::split(path);
    let parent = match parent_path {
        b"" => rustix::io::fcntl_dupfd_cloexec(lower, 0).ok()?,
        path => beneath(lower, path, OFlags::PATH | OFlags::DIRECTORY).ok()?,
    };
    rustix::fs::statat(&parent, base, AtFlags::SYMLINK_NOFOLLOW).ok()
}

fn beneath(root: &OwnedFd, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), how)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn an_implied_directory_looks_as_in_the_nearest_layer_and_never_leads_out() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = |name: &str| dir.path().join(name);
        for (name, mode) in
            [("near/tmp", 0o1777), ("far/tmp", 0o700), ("far/var/deep", 0o750), ("outside", 0o711)]
        {
            fs::create_dir_all(path(name)).expect("directory");
            fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).expect("mode");
        }
        std::os::unix::fs::chown(path("near/tmp"), Some(5), Some(6)).expect("owner");
        for name in ["tmp", "var/deep", "new"] {
            fs::create_dir_all(path("root").join(name)).expect("directory");
        }
        symlink(path("outside"), path("root/out")).expect("symlink");
        let implied = [b"tmp".to_vec(), b"var/deep".to_vec(), b"new".to_vec()];
        inherit(&path("root"), &[path("near"), path("far")], &implied).expect("inherit");
        let meta = |name: &str| fs::metadata(path("root").join(name)).expect("directory");
        assert_eq!((meta("tmp").mode() & 0o7777, meta("tmp").uid(), meta("tmp").gid()), (0o1777, 5, 6));
        assert_eq!(meta("var/deep").mode() & 0o7777, 0o750);
        assert_eq!(meta("new").mode() & 0o7777, 0o755);
        fs::create_dir(path("near/out")).expect("directory");
        inherit(&path("root"), &[path("near")], &[b"out".to_vec()]).expect_err("a symlink is no directory");
        assert_eq!(fs::metadata(path("outside")).expect("outside").mode() & 0o7777, 0o711);
    }
}
