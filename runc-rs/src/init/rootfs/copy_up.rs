//! `tmpcopyup`: a tmpfs starts with what the image has at its place.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

use crate::error::{Context, Step};

const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Copies directories, files, links and special files with owner and mode. Both sides by descriptor.
pub(crate) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Step<()> {
    let from = rustix::fs::openat(from, ".", DIR, Mode::empty()).step(|| "open what is copied up")?;
    copy_dir(from.as_fd(), to).map_err(|e| e.within("tmpcopyup"))
}

fn copy_dir(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Step<()> {
    for entry in Dir::read_from(from).step(|| "read directory")? {
        let entry = entry.step(|| "read directory")?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat =
            rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW).step(|| format!("stat {name:?}"))?;
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        let kind = FileType::from_raw_mode(stat.st_mode);
        match kind {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, mode).step(|| format!("make {name:?}"))?;
                let below =
                    rustix::fs::openat(from, name, DIR, Mode::empty()).step(|| format!("open {name:?}"))?;
                let copy =
                    rustix::fs::openat(to, name, DIR, Mode::empty()).step(|| format!("open {name:?}"))?;
                copy_dir(below.as_fd(), copy.as_fd())?;
            }
            FileType::Symlink => {
                let target =
                    rustix::fs::readlinkat(from, name, Vec::new()).step(|| format!("read {name:?}"))?;
                rustix::fs::symlinkat(target, to, name).step(|| format!("make {name:?}"))?;
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let source = rustix::fs::openat(from, name, flags, Mode::empty());
                let mut source = std::fs::File::from(source.step(|| format!("open {name:?}"))?);
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let target = rustix::fs::openat(to, name, flags, mode).step(|| format!("make {name:?}"))?;
                std::io::copy(&mut source, &mut std::fs::File::from(target))
                    .step(|| format!("copy {name:?}"))?;
            }
            _ => rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev).step(|| format!("make {name:?}"))?,
        }
        let (uid, gid) = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
        rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .step(|| format!("set the owner of {name:?}"))?;
        if kind != FileType::Symlink {
            rustix::fs::chmodat(to, name, mode, AtFlags::empty())
                .step(|| format!("set the mode of {name:?}"))?;
        }
    }
    Ok(())
}
