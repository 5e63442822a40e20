//! A container's root file system, from the mounts that the daemon sends.

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use proto::containerd::types::Mount;

use crate::failure::Failure;

/// Mount options that are flags: name, flag, whether it is cleared.
const FLAGS: &[(&str, MsFlags, bool)] = &[
    ("ro", MsFlags::MS_RDONLY, false),
    ("rw", MsFlags::MS_RDONLY, true),
    ("bind", MsFlags::MS_BIND, false),
    ("rbind", MsFlags::MS_BIND.union(MsFlags::MS_REC), false),
    ("nosuid", MsFlags::MS_NOSUID, false),
    ("suid", MsFlags::MS_NOSUID, true),
    ("nodev", MsFlags::MS_NODEV, false),
    ("dev", MsFlags::MS_NODEV, true),
    ("noexec", MsFlags::MS_NOEXEC, false),
    ("exec", MsFlags::MS_NOEXEC, true),
    ("sync", MsFlags::MS_SYNCHRONOUS, false),
    ("async", MsFlags::MS_SYNCHRONOUS, true),
    ("dirsync", MsFlags::MS_DIRSYNC, false),
    ("noatime", MsFlags::MS_NOATIME, false),
    ("atime", MsFlags::MS_NOATIME, true),
    ("nodiratime", MsFlags::MS_NODIRATIME, false),
    ("diratime", MsFlags::MS_NODIRATIME, true),
    ("relatime", MsFlags::MS_RELATIME, false),
    ("norelatime", MsFlags::MS_RELATIME, true),
    ("strictatime", MsFlags::MS_STRICTATIME, false),
    ("nostrictatime", MsFlags::MS_STRICTATIME, true),
    ("mand", MsFlags::MS_MANDLOCK, false),
    ("nomand", MsFlags::MS_MANDLOCK, true),
    ("defaults", MsFlags::empty(), false),
];

/// Mounts all of them on `BUNDLE/rootfs`, the first at the bottom. Says whether there was anything to mount.
///
/// # Errors
/// One can't be mounted; those before it are unmounted again.
pub(crate) fn assemble(bundle: &Path, mounts: &[Mount]) -> Result<bool, Failure> {
    let target = bundle.join("rootfs");
    if mounts.is_empty() {
        return Ok(false);
    }
    std::fs::create_dir_all(&target).map_err(|e| Failure::io("create", target.display(), e))?;
    for one in mounts {
        if let Err(failure) = attach(one, &target) {
            disassemble(bundle);
            return Err(failure);
        }
    }
    Ok(true)
}

/// Unmounts whatever is on `BUNDLE/rootfs`; nothing there is fine.
pub(crate) fn disassemble(bundle: &Path) {
    let target = bundle.join("rootfs");
    let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
    // EINVAL: nothing is mounted there any more.
    while umount2(&target, flags).is_ok() {}
}

fn attach(one: &Mount, target: &Path) -> Result<(), Failure> {
    let target: PathBuf = if one.target.is_empty() { target.to_owned() } else { inside(target, &one.target) };
    let (mut flags, mut data) = (MsFlags::empty(), Vec::new());
    for option in &one.options {
        match FLAGS.iter().find(|(name, ..)| name == option) {
            Some((_, flag, true)) => flags.remove(*flag),
            Some((_, flag, false)) => flags.insert(*flag),
            None => data.push(option.as_str()),
        }
    }
    let data = data.join(",");
    let fail = |e: nix::Error| {
        let text = format!("mount source: \"{}\", target: {target:?}, fstype: {}", one.source, one.r#type);
        Failure::unknown(format!(
            "failed to mount rootfs component: {text}, flags: {}, data: {data:?}, err: {e}",
            flags.bits()
        ))
    };
    let kind = if flags.contains(MsFlags::MS_BIND) { None } else { Some(one.r#type.as_str()) };
    mount(Some(one.source.as_str()), &target, kind, flags, Some(data.as_str())).map_err(fail)?;
    let rest = flags.difference(MsFlags::MS_BIND | MsFlags::MS_REC);
    if flags.contains(MsFlags::MS_BIND) && !rest.is_empty() {
        // The first call of a bind mount heeds no other flag.
        let again = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | rest;
        mount(None::<&str>, &target, None::<&str>, again, None::<&str>).map_err(fail)?;
    }
    Ok(())
}

/// `target` below the root file system, without ways out.
fn inside(root: &Path, target: &str) -> PathBuf {
    let parts = target.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
    parts.fold(root.to_owned(), |path, part| {
        let mut path = path.into_os_string();
        path.push("/");
        path.push(part);
        PathBuf::from(path)
    })
}
