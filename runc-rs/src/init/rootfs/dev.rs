//! Device nodes and links of /dev.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use mounts::detached;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, makedev};

use super::inside;
use crate::config::mounts::Kind;
use crate::config::spec::Device;
use crate::error::{Context, Step, StepError};
use crate::init::plan::RootfsPlan;

/// What every container has, whatever its spec lists.
const DEFAULT: &[(&str, i64, i64)] = &[
    ("/dev/null", 1, 3),
    ("/dev/random", 1, 8),
    ("/dev/full", 1, 7),
    ("/dev/tty", 5, 0),
    ("/dev/zero", 1, 5),
    ("/dev/urandom", 1, 9),
];

const LINKS: &[(&str, &str)] = &[
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
];

pub(crate) fn is_dev(path: &Path) -> bool {
    path == Path::new("/dev")
}

/// A /dev that is bound from elsewhere is somebody's own.
pub(crate) fn is_ours(plan: &RootfsPlan) -> bool {
    !plan.mounts.iter().any(|m| is_dev(&m.destination) && matches!(m.kind, Kind::Bind { .. }))
}

pub(crate) fn populate(root: BorrowedFd<'_>, plan: &RootfsPlan) -> Step<()> {
    let named = |path: &str| plan.devices.iter().any(|d| d.path == Path::new(path));
    for (path, major, minor) in DEFAULT.iter().filter(|(path, _, _)| !named(path)) {
        let device = Device {
            path: path.into(),
            kind: "c".to_owned(),
            major: *major,
            minor: *minor,
            file_mode: Some(0o666),
            uid: None,
            gid: None,
        };
        make(root, &device, plan.user_namespace)?;
    }
    for device in &plan.devices {
        // It would be hidden by the link or the mount that stands there anyway.
        if device.path == Path::new("/dev/ptmx") || device.path == Path::new("/dev/console") {
            continue;
        }
        make(root, device, plan.user_namespace)?;
    }
    link(root)
}

fn link(root: BorrowedFd<'_>) -> Step<()> {
    let dev = inside::make_dirs(root, Path::new("/dev"), 0o755).step(|| "open /dev")?;
    for (target, name) in LINKS {
        match rustix::fs::symlinkat(*target, &dev, *name) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(e).step(|| format!("link /dev/{name}")),
        }
    }
    if Path::new("/proc/kcore").exists() {
        let _ = rustix::fs::symlinkat("/proc/kcore", &dev, "core");
    }
    // The image's own ptmx would open the host's terminals. By descriptor, so that a /dev that is a link
    // can't make us remove somebody else's file.
    match rustix::fs::unlinkat(&dev, "ptmx", AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(e) => return Err(e).step(|| "remove the image's /dev/ptmx"),
    }
    rustix::fs::symlinkat("pts/ptmx", &dev, "ptmx").step(|| "link /dev/ptmx")
}

fn make(root: BorrowedFd<'_>, device: &Device, user_namespace: bool) -> Step<()> {
    let failed = |e: StepError| e.within(format!("error creating device nodes: {}", device.path.display()));
    if user_namespace { bind_host(root, device) } else { node(root, device) }.map_err(failed)
}

fn node(root: BorrowedFd<'_>, device: &Device) -> Step<()> {
    let (Some(parent), Some(name)) = (device.path.parent(), device.path.file_name()) else {
        return Err(StepError::plain("not a path of a device"));
    };
    let dir = inside::make_dirs(root, parent, 0o755).step(|| "open its directory")?;
    let kind = match device.kind.as_str() {
        "c" | "u" => FileType::CharacterDevice,
        "b" => FileType::BlockDevice,
        "p" => FileType::Fifo,
        other => return Err(StepError::plain(format!("{other:?} is not a type of a device"))),
    };
    let number = makedev(device.major as u32, device.minor as u32);
    let mode = Mode::from_raw_mode(device.file_mode.unwrap_or(0o666) & 0o7777);
    match rustix::fs::mknodat(&dir, name, kind, mode, number) {
        Ok(()) => {}
        // The image's own node: used if it is the same device, replaced otherwise.
        Err(rustix::io::Errno::EXIST) => {
            let stat = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).step(|| "stat")?;
            if FileType::from_raw_mode(stat.st_mode) != kind || stat.st_rdev != number {
                rustix::fs::unlinkat(&dir, name, AtFlags::empty()).step(|| "remove what is there")?;
                rustix::fs::mknodat(&dir, name, kind, mode, number).step(|| "mknod")?;
            }
        }
        Err(rustix::io::Errno::PERM) => return bind_host(root, device),
        Err(e) => return Err(e).step(|| "mknod"),
    }
    // Owner and mode by the node itself, which nobody can have swapped for a link: it is opened unfollowed
    // and compared.
    let made =
        rustix::fs::openat(&dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            .step(|| "open the node")?;
    let stat = rustix::fs::fstat(&made).step(|| "stat the node")?;
    if FileType::from_raw_mode(stat.st_mode) != kind || stat.st_rdev != number {
        return Err(StepError::plain("it was swapped while it was made"));
    }
    let owner = (Some(Uid::from_raw(device.uid.unwrap_or(0))), Some(Gid::from_raw(device.gid.unwrap_or(0))));
    rustix::fs::chownat(&made, "", owner.0, owner.1, AtFlags::EMPTY_PATH).step(|| "chown")?;
    // The umask is 0 here, so the mode is what was asked; a node of the image may have another.
    if stat.st_mode & 0o7777 != mode.as_raw_mode() {
        // /proc is the host's: the root is not entered yet.
        let path = format!("/proc/self/fd/{}", made.as_raw_fd());
        rustix::fs::chmodat(CWD, path, mode, AtFlags::empty()).step(|| "chmod")?;
    }
    Ok(())
}

/// In a user namespace nodes can't be made: the host's is bound.
fn bind_host(root: BorrowedFd<'_>, device: &Device) -> Step<()> {
    let path = device.path.to_str().ok_or_else(|| StepError::plain("its path is not UTF-8"))?;
    let tree = detached::clone(CWD, path, false).step(|| "open the host's device")?;
    let stat = rustix::fs::fstat(&tree).step(|| "stat the host's device")?;
    if device.kind != "p" && stat.st_rdev != makedev(device.major as u32, device.minor as u32) {
        return Err(StepError::plain("the host's device of this name is another"));
    }
    let target = inside::make_file(root, &device.path).step(|| "create mount point")?;
    detached::attach(&tree, target.as_fd()).step(|| "bind")
}
