//! One mount of the spec.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::{CWD, FileType, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use rustix::mount::{fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen};

use super::{attach_tree, cgroup, clone_tree, copy_up, dev, inside};
use crate::config::mounts::{ATIME, Attributes, Kind, MountPlan, RDONLY};
use crate::error::{Context, IntoErrno, Step, StepError};
use crate::init::plan::RootfsPlan;
use crate::sys::mount_attr;

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
            clone_tree(CWD, text, recursive).step(|| format!("open {}", source.display()))?
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
    attach_tree(&tree, target.as_fd()).step(|| "bind")?;
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
    let later = if dev::is_dev(&mount.destination) || mount.copy_up { RDONLY } else { 0 };
    let attributes = Attributes { set: mount.attributes.set & !later, clear: mount.attributes.clear };
    let mut options: Vec<String> = data.to_vec();
    if !plan.label.is_empty() && !matches!(fstype, "proc" | "sysfs" | "mqueue") {
        options.push(format!("context=\"{}\"", plan.label));
    }
    let tree = new_mount(fstype, source, &options, attributes)?;
    let tree = match tree {
        Some(tree) => tree,
        None => return classic(target.as_fd(), root, mount, fstype, source, &options, attributes),
    };
    check_proc(mount, &tree)?;
    if fstype == "tmpfs" && !options.iter().any(|o| o.starts_with("mode=")) {
        // As runc: a tmpfs over a directory of the image keeps that directory's mode.
        if let Ok(stat) = rustix::fs::fstat(&target) {
            let _ = set_mode(&tree, stat.st_mode & 0o7777);
        }
    }
    if mount.copy_up {
        copy_up::copy(target.as_fd(), tree.as_fd())?;
        change(&tree, false, Attributes { set: mount.attributes.set & RDONLY, clear: 0 })?;
    }
    attach_tree(&tree, target.as_fd()).step(|| "mount")?;
    finish(tree.as_fd(), mount, Attributes::default())
}

fn set_mode(tree: &OwnedFd, mode: u32) -> rustix::io::Result<()> {
    let mode = rustix::fs::Mode::from_raw_mode(mode);
    let dir = rustix::fs::openat(tree, ".", OFlags::RDONLY | OFlags::CLOEXEC, rustix::fs::Mode::empty())?;
    rustix::fs::fchmod(dir, mode)
}

/// A new detached mount; `None` if its options don't fit into the new interface (values over 255 bytes:
/// overlay's lower directories).
pub(crate) fn new_mount(
    fstype: &str,
    source: &str,
    data: &[String],
    attributes: Attributes,
) -> Step<Option<OwnedFd>> {
    if data.iter().any(|o| o.len() > 255) || source.len() > 255 {
        return Ok(None);
    }
    let fs =
        fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC).step(|| format!("open file system type {fstype:?}"))?;
    if !source.is_empty() {
        fsconfig_set_string(&fs, "source", source).step(|| format!("set source {source:?}"))?;
    }
    if attributes.set & RDONLY != 0 && !is_shared(fstype) {
        fsconfig_set_flag(&fs, "ro").step(|| "set option \"ro\"")?;
    }
    for option in data {
        let result = match option.split_once('=') {
            Some((key, value)) => fsconfig_set_string(&fs, key, value.trim_matches('"')),
            None => fsconfig_set_flag(&fs, option.as_str()),
        };
        result.step(|| format!("set option {option:?}"))?;
    }
    fsconfig_create(&fs).step(|| format!("mount {fstype}"))?;
    let attrs = MountAttrFlags::from_bits_retain(attributes.set as u32);
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attrs).map(Some).step(|| format!("mount {fstype}"))
}

/// File systems with one instance for several mounts: read-only must be the mount's property, not theirs.
fn is_shared(fstype: &str) -> bool {
    matches!(
        fstype,
        "proc" | "sysfs" | "cgroup" | "cgroup2" | "mqueue" | "tmpfs" | "devpts" | "securityfs" | "bpf"
    )
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
    let data = CString::new(data.join(",")).map_err(|_| StepError::plain("options contain a zero byte"))?;
    rustix::mount::mount(source, path, fstype, rustix::mount::MountFlags::empty(), Some(data.as_c_str()))
        .step(|| format!("mount {fstype}"))?;
    let mounted = inside::open(root, &mount.destination, OFlags::PATH).step(|| "open what was mounted")?;
    finish(mounted.as_fd(), mount, attributes)
}

fn change(tree: impl AsFd, recursive: bool, attributes: Attributes) -> Step<()> {
    if attributes.is_empty() {
        return Ok(());
    }
    let clear = if attributes.set & ATIME != 0 { attributes.clear | ATIME } else { attributes.clear };
    match mount_attr::change(&tree, recursive, attributes.set, clear) {
        // A user namespace may not lift what the host locked: what was asked to be lifted stays as it is.
        Err(Errno::EPERM) if clear != 0 => mount_attr::change(&tree, recursive, attributes.set, 0),
        other => other,
    }
    .step(|| "set mount attributes")
}

/// What comes after the mount is in place.
fn finish(mounted: BorrowedFd<'_>, mount: &MountPlan, attributes: Attributes) -> Step<()> {
    change(mounted, false, attributes)?;
    change(mounted, true, mount.recursive)?;
    for flags in &mount.propagation {
        mount_attr::propagation(mounted, flags & libc::MS_REC != 0, flags & !libc::MS_REC)
            .step(|| "change propagation")?;
    }
    Ok(())
}

/// /dev, once filled, gets the read-only attribute that it was asked for.
pub(crate) fn lock_dev(root: BorrowedFd<'_>, plan: &RootfsPlan) -> Step<()> {
    let wanted = |m: &&MountPlan| {
        dev::is_dev(&m.destination)
            && m.attributes.set & RDONLY != 0
            && matches!(m.kind, Kind::Filesystem { .. })
    };
    if plan.mounts.iter().any(|m| wanted(&m)) {
        let dev = inside::open(root, Path::new("/dev"), OFlags::PATH).step(|| "open /dev")?;
        mount_attr::change(&dev, false, RDONLY, 0)
            .map_err(IntoErrno::into_errno)
            .step(|| "make /dev read-only")?;
    }
    Ok(())
}
