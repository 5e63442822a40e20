//! One mount of the spec.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use mounts::{Attributes, Options, detached};
use nix::errno::Errno;
use rustix::fs::{CWD, FileType, OFlags};

use super::{cgroup, copy_up, dev, inside};
use crate::config::mounts::{Kind, MountPlan};
use crate::error::{Context, Step, StepError};
use crate::init::plan::RootfsPlan;

const PROC_MAGIC: u64 = 0x9fa0;

/// Does it, with the error text that callers know.
pub(crate) fn attach(
    root: BorrowedFd<'_>,
    plan: &RootfsPlan,
    mount: &MountPlan,
    source: Option<OwnedFd>,
) -> Step<()> {
    let result = match &mount.kind {
        Kind::Bind { source: path, recursive } => bind(root, mount, path, *recursive, source),
        Kind::Cgroup { v2 } => cgroup::attach(root, plan, mount, *v2),
        Kind::Filesystem { fstype, source, data } => filesystem(root, plan, mount, fstype, source, data),
        Kind::Remount => inside::open(root, &mount.destination, OFlags::PATH)
            .step(|| "open the mount point")
            .and_then(|target| finish(target.as_fd(), mount, mount.attributes)),
    };
    result.map_err(|e| {
        let source = match &mount.kind {
            Kind::Bind { source, .. } => source.display().to_string(),
            Kind::Filesystem { source, .. } => source.clone(),
            Kind::Cgroup { .. } => "cgroup".to_owned(),
            Kind::Remount => String::new(),
        };
        e.within(format!("error mounting {source:?} to rootfs at {:?}", mount.destination))
    })
}

fn bind(
    root: BorrowedFd<'_>,
    mount: &MountPlan,
    source: &Path,
    recursive: bool,
    detached: Option<OwnedFd>,
) -> Step<()> {
    let tree = match detached {
        Some(tree) => tree,
        None => {
            let text = source.to_str().ok_or_else(|| StepError::plain("the source is not UTF-8"))?;
            detached::clone(CWD, text, recursive).step(|| format!("open {}", source.display()))?
        }
    };
    let stat = rustix::fs::fstat(&tree).step(|| "stat the source")?;
    let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let target = if is_dir {
        inside::make_dirs(root, &mount.destination, 0o755)
    } else {
        inside::make_file(root, &mount.destination)
    };
    let target = target.step(|| format!("create mount point {}", mount.destination.display()))?;
    check_proc(mount, &tree)?;
    change(&tree, false, mount.attributes)?;
    detached::attach(&tree, target.as_fd()).step(|| "bind")?;
    finish(tree.as_fd(), mount, Attributes::default())
}

/// Only procfs may be on /proc, and only some files in it may be covered: masks, labels and sysctls are
/// written there and must reach the kernel (CVE-2019-16884, CVE-2019-19921).
fn check_proc(mount: &MountPlan, tree: &OwnedFd) -> Step<()> {
    const COVERABLE: &[&str] = &[
        "cpuinfo",
        "diskstats",
        "meminfo",
        "stat",
        "swaps",
        "uptime",
        "loadavg",
        "slabinfo",
        "net/dev",
        "sys/kernel/ns_last_pid",
        "sys/crypto/fips_enabled",
    ];
    let Ok(inside) = mount.destination.strip_prefix("/proc") else { return Ok(()) };
    if COVERABLE.iter().any(|path| inside == Path::new(path)) {
        return Ok(());
    }
    let place = mount.destination.display();
    let is_proc = rustix::fs::fstatfs(tree).step(|| "statfs the source")?.f_type as u64 == PROC_MAGIC;
    match (inside.as_os_str().is_empty(), is_proc) {
        (true, true) => Ok(()),
        (true, false) => {
            Err(StepError::plain(format!("\"{place}\" cannot be mounted because it is not of type proc")))
        }
        (false, _) => {
            Err(StepError::plain(format!("\"{place}\" cannot be mounted because it is inside /proc")))
        }
    }
}

fn filesystem(
    root: BorrowedFd<'_>,
    plan: &RootfsPlan,
    mount: &MountPlan,
    fstype: &str,
    source: &str,
    data: &[String],
) -> Step<()> {
    let target = if matches!(fstype, "proc" | "sysfs") {
        // Through a link in the image it could land anywhere, and we would trust a fake.
        let plain = inside::open_plain(root, &mount.destination, OFlags::PATH | OFlags::DIRECTORY);
        match plain {
            Err(Errno::ENOENT) => inside::make_dirs(root, &mount.destination, 0o755),
            Err(Errno::ELOOP | Errno::ENOTDIR) => {
                let text = format!("filesystem {fstype:?} must be mounted on ordinary directory");
                return Err(StepError::plain(text));
            }
            other => other,
        }
    } else {
        inside::make_dirs(root, &mount.destination, 0o755)
    };
    let target = target.step(|| format!("create mount point {}", mount.destination.display()))?;
    // /dev stays writable until it is filled.
    let later = if dev::is_dev(&mount.destination) || mount.copy_up { Attributes::RDONLY } else { 0 };
    let attributes = mount.attributes.without(later);
    let mut options: Vec<String> = data.to_vec();
    if !plan.label.is_empty() && !matches!(fstype, "proc" | "sysfs" | "mqueue") {
        options.push(format!("context=\"{}\"", plan.label));
    }
    // Overlay's lower directories may not fit into the new interface.
    if options.iter().any(|o| o.len() > detached::LONGEST) || source.len() > detached::LONGEST {
        return classic(target.as_fd(), root, mount, fstype, source, &options, attributes);
    }
    let tree = detached::new(fstype, source, &options, attributes)?;
    check_proc(mount, &tree)?;
    if fstype == "tmpfs" && !options.iter().any(|o| o.starts_with("mode=")) {
        // As runc: a tmpfs over a directory of the image keeps that directory's mode.
        if let Ok(stat) = rustix::fs::fstat(&target) {
            let _ = set_mode(&tree, stat.st_mode & 0o7777);
        }
    }
    if mount.copy_up {
        copy_up::copy(target.as_fd(), tree.as_fd())?;
        change(&tree, false, Attributes { set: mount.attributes.set & Attributes::RDONLY, clear: 0 })?;
    }
    detached::attach(&tree, target.as_fd()).step(|| "mount")?;
    finish(tree.as_fd(), mount, Attributes::default())
}

fn set_mode(tree: &OwnedFd, mode: u32) -> rustix::io::Result<()> {
    let mode = rustix::fs::Mode::from_raw_mode(mode);
    let dir = rustix::fs::openat(tree, ".", OFlags::RDONLY | OFlags::CLOEXEC, rustix::fs::Mode::empty())?;
    rustix::fs::fchmod(dir, mode)
}

/// mount(2) with the target by its descriptor. Sound before the pivot only: /proc is the host's.
fn classic(
    target: BorrowedFd<'_>,
    root: BorrowedFd<'_>,
    mount: &MountPlan,
    fstype: &str,
    source: &str,
    data: &[String],
    attributes: Attributes,
) -> Step<()> {
    let path = format!("/proc/self/fd/{}", target.as_raw_fd());
    let options = Options::parse(data);
    let data = CString::new(options.data()).map_err(|_| StepError::plain("options contain a zero byte"))?;
    let flags = rustix::mount::MountFlags::from_bits_retain(options.flags as u32);
    rustix::mount::mount(source, path, fstype, flags, Some(data.as_c_str()))
        .step(|| format!("mount {fstype}"))?;
    let mounted = inside::open(root, &mount.destination, OFlags::PATH).step(|| "open what was mounted")?;
    finish(mounted.as_fd(), mount, attributes)
}

fn change(tree: impl AsFd, recursive: bool, attributes: Attributes) -> Step<()> {
    if attributes.is_empty() {
        return Ok(());
    }
    match detached::change(&tree, recursive, attributes) {
        // A user namespace may not lift what the host locked: what was asked to be lifted stays as it is.
        Err(e) if e.errno() == Some(libc::EPERM) && attributes.clear != 0 => {
            detached::change(&tree, recursive, Attributes { clear: 0, ..attributes })
        }
        other => other,
    }
    .step(|| "set mount attributes")
}

/// What comes after the mount is in place.
fn finish(mounted: BorrowedFd<'_>, mount: &MountPlan, attributes: Attributes) -> Step<()> {
    change(mounted, false, attributes)?;
    change(mounted, true, mount.recursive)?;
    for flags in &mount.propagation {
        detached::propagate(mounted, *flags).step(|| "change propagation")?;
    }
    Ok(())
}

/// /dev, once filled, gets the read-only attribute that it was asked for.
pub(crate) fn lock_dev(root: BorrowedFd<'_>, plan: &RootfsPlan) -> Step<()> {
    let wanted = |m: &&MountPlan| {
        dev::is_dev(&m.destination)
            && m.attributes.is_read_only()
            && matches!(m.kind, Kind::Filesystem { .. })
    };
    if plan.mounts.iter().any(|m| wanted(&m)) {
        let dev = inside::open(root, Path::new("/dev"), OFlags::PATH).step(|| "open /dev")?;
        detached::change(&dev, false, Attributes::read_only()).step(|| "make /dev read-only")?;
    }
    Ok(())
}
