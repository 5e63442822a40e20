//! A container's root file system, from the mounts that the daemon sends.

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use proto::containerd::types::Mount;

use crate::failure::Failure;

/// What the kernel takes of options, in bytes.
const PAGE: usize = 4096;

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
    let (base, data) = shorten(data);
    let fail = |e: nix::Error| {
        let text = format!("mount source: \"{}\", target: {target:?}, fstype: {}", one.source, one.r#type);
        Failure::unknown(format!(
            "failed to mount rootfs component: {text}, flags: {}, data: {data:?}, err: {e}",
            flags.bits()
        ))
    };
    let kind = if flags.contains(MsFlags::MS_BIND) { None } else { Some(one.r#type.as_str()) };
    let first = || mount(Some(one.source.as_str()), &target, kind, flags, Some(data.as_str())).map_err(fail);
    match base {
        None => first()?,
        Some(base) => within(&base, first)?,
    }
    let rest = flags.difference(MsFlags::MS_BIND | MsFlags::MS_REC);
    if flags.contains(MsFlags::MS_BIND) && !rest.is_empty() {
        // The first call of a bind mount heeds no other flag.
        let again = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | rest;
        mount(None::<&str>, &target, None::<&str>, again, None::<&str>).map_err(fail)?;
    }
    Ok(())
}

/// The kernel takes a page of options, which the layers of a large image exceed: their paths are made relative
/// to the directory that they share, from which the mount is then to be made.
fn shorten(options: Vec<&str>) -> (Option<PathBuf>, String) {
    let whole = options.join(",");
    let lower = options.iter().position(|option| option.starts_with("lowerdir="));
    let Some(at) = lower.filter(|_| whole.len() >= PAGE) else { return (None, whole) };
    let layers: Vec<&str> = options[at].trim_start_matches("lowerdir=").split(':').collect();
    let mut base = layers[0];
    while let Some((parent, _)) = base.rsplit_once('/') {
        base = parent;
        let shared = |layer: &&str| layer.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'));
        if layers.iter().all(shared) {
            break;
        }
    }
    let relative = layers.iter().map(|layer| &layer[base.len()..]).map(|layer| layer.trim_start_matches('/'));
    let lowerdir = format!("lowerdir={}", relative.collect::<Vec<_>>().join(":"));
    let short: Vec<&str> =
        options.iter().enumerate().map(|(n, option)| if n == at { &lowerdir } else { *option }).collect();
    (Some(PathBuf::from(format!("{base}/"))), short.join(","))
}

/// Does something from another directory. The shim has one thread and names everything else by absolute paths.
fn within(dir: &Path, deed: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let fail = |e: std::io::Error| Failure::io("enter", dir.display(), e);
    let back = std::fs::File::open(".").map_err(fail)?;
    std::env::set_current_dir(dir).map_err(fail)?;
    let result = deed();
    nix::unistd::fchdir(&back).map_err(|e| fail(e.into()))?;
    result
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_of_a_large_image_are_named_from_their_common_directory() {
        let lower: Vec<String> = (100..300).map(|n| format!("/var/lib/c/snapshots/{n}/fs")).collect();
        let lower = format!("lowerdir={}", lower.join(":"));
        let (base, data) = shorten(vec!["workdir=/w", &lower, "index=off"]);
        assert_eq!(base, Some("/var/lib/c/snapshots/".into()));
        assert!(data.starts_with("workdir=/w,lowerdir=100/fs:101/fs:") && data.ends_with("299/fs,index=off"));
        assert!(data.len() < PAGE);
        assert_eq!(shorten(vec!["lowerdir=/a:/b"]), (None, "lowerdir=/a:/b".into()));
    }

    #[test]
    fn a_mounts_target_stays_inside() {
        assert_eq!(inside(Path::new("/b/rootfs"), "../../etc/./x"), Path::new("/b/rootfs/etc/x"));
    }
}
