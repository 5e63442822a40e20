//! An empty volume gets what the image has at its path.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use nix::sys::stat::{Mode, SFlag, mknod};
use rustix::fs::{AtFlags, OFlags, StatxFlags};

use super::rootfs::Rootfs;

/// Copies the directory `inside` of the rootfs into the volume at `volume`, if that is empty.
///
/// # Errors
/// Something can't be read or written; what was copied stays.
pub fn copy_up(rootfs: &Rootfs, inside: &str, volume: &Path) -> io::Result<()> {
    if fs::read_dir(volume)?.next().is_some() {
        return Ok(());
    }
    let source = match rootfs.open(inside, OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(source) => source,
        // Not in the image, or no directory: nothing to copy.
        Err(_) => return Ok(()),
    };
    let meta = source.metadata()?;
    copy_dir(&source, volume)?;
    std::os::unix::fs::chown(volume, Some(meta.uid()), Some(meta.gid()))?;
    fs::set_permissions(volume, fs::Permissions::from_mode(meta.mode() & 0o7777))
}

/// The source is walked by descriptors, so that its links lead nowhere.
fn copy_dir(source: &File, target: &Path) -> io::Result<()> {
    let base = format!("/proc/self/fd/{}", source.as_fd().as_raw_fd());
    for entry in fs::read_dir(&base)? {
        let name = entry?.file_name();
        let to = target.join(&name);
        let stat =
            rustix::fs::statx(source, Path::new(&name), AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)?;
        let kind = SFlag::from_bits_truncate(u32::from(stat.stx_mode) & SFlag::S_IFMT.bits());
        let open = |flags| {
            rustix::fs::openat(
                source,
                Path::new(&name),
                flags | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                rustix::fs::Mode::empty(),
            )
        };
        match kind {
            SFlag::S_IFDIR => {
                fs::create_dir(&to)?;
                copy_dir(&File::from(open(OFlags::RDONLY | OFlags::DIRECTORY)?), &to)?;
            }
            SFlag::S_IFREG => {
                io::copy(&mut File::from(open(OFlags::RDONLY)?), &mut File::create_new(&to)?)?;
            }
            SFlag::S_IFLNK => {
                let link = rustix::fs::readlinkat(source, Path::new(&name), Vec::new())?;
                rustix::fs::symlink(link, &to)?;
            }
            other => mknod(
                &to,
                other,
                Mode::from_bits_truncate(0o600),
                nix::sys::stat::makedev(stat.stx_rdev_major.into(), stat.stx_rdev_minor.into()),
            )?,
        }
        std::os::unix::fs::lchown(&to, Some(stat.stx_uid), Some(stat.stx_gid))?;
        if kind != SFlag::S_IFLNK {
            fs::set_permissions(&to, fs::Permissions::from_mode(u32::from(stat.stx_mode) & 0o7777))?;
        }
    }
    Ok(())
}
