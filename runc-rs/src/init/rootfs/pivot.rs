//! Makes the prepared root the process' root.

use std::os::fd::BorrowedFd;

use mounts::detached;
use rustix::fs::{Mode, OFlags};
use rustix::mount::UnmountFlags;

use crate::error::{Context, Step};

/// The usual way: afterwards the host's tree is not mounted here any more.
pub(crate) fn pivot(root: BorrowedFd<'_>) -> Step<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::open("/", flags, Mode::empty()).step(|| "open the old root")?;
    rustix::process::fchdir(root).step(|| "enter the rootfs")?;
    // Old root on top of new: no directory for it is needed in the image.
    rustix::process::pivot_root(".", ".").step(|| "pivot_root")?;
    // By its descriptor: "." is the new root, whose shared mounts are to stay shared. A shared old root would
    // hand its unmounting, and that of all below it, to the host.
    detached::propagate(&old, libc::MS_SLAVE | libc::MS_REC).step(|| "detach the old root's propagation")?;
    rustix::process::fchdir(&old).step(|| "enter the old root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).step(|| "unmount the old root")?;
    rustix::process::chdir("/").step(|| "enter the new root")
}

/// `--no-pivot`, for a root on the initial ramfs: the old tree stays mounted, covered.
pub(crate) fn move_over(root: BorrowedFd<'_>) -> Step<()> {
    rustix::process::fchdir(root).step(|| "enter the rootfs")?;
    rustix::mount::mount_move(".", "/").step(|| "move the rootfs over /")?;
    rustix::process::chroot(".").step(|| "chroot")?;
    rustix::process::chdir("/").step(|| "enter the new root")
}
