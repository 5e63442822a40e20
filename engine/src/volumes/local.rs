//! The local driver's options: `type`, `device` and `o` are a mount over `_data`.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::{fs, io};

use nix::mount::{MntFlags, MsFlags, umount2};

/// Refuses options that the driver doesn't know, in docker's words.
pub(super) fn check(options: &BTreeMap<String, String>) -> Result<(), String> {
    if let Some(key) = options.keys().find(|key| !matches!(key.as_str(), "type" | "o" | "device" | "size")) {
        return Err(format!("invalid option: \"{key}\""));
    }
    if options.contains_key("size") {
        return Err("quota size requested but no quota support".to_owned());
    }
    let given = |key: &str| options.get(key).is_some_and(|value| !value.is_empty());
    match (given("type"), given("device")) {
        (true, false) => Err("missing device in volume options".to_owned()),
        (false, true) if !options.get("o").is_some_and(|o| o.contains("bind")) => {
            Err("missing type in volume options".to_owned())
        }
        _ => Ok(()),
    }
}

/// Mounts what the options name, unless it is mounted.
pub(super) fn mount(path: &Path, options: &BTreeMap<String, String>) -> io::Result<()> {
    let Some(device) = options.get("device").filter(|device| !device.is_empty()) else { return Ok(()) };
    if is_mounted(path)? {
        return Ok(());
    }
    let mut flags = MsFlags::empty();
    let mut data = Vec::new();
    for option in options.get("o").map_or("", String::as_str).split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => flags |= MsFlags::MS_RDONLY,
            "rw" => {}
            "bind" => flags |= MsFlags::MS_BIND,
            "rbind" => flags |= MsFlags::MS_BIND | MsFlags::MS_REC,
            "nosuid" => flags |= MsFlags::MS_NOSUID,
            "nodev" => flags |= MsFlags::MS_NODEV,
            "noexec" => flags |= MsFlags::MS_NOEXEC,
            "noatime" => flags |= MsFlags::MS_NOATIME,
            "relatime" => flags |= MsFlags::MS_RELATIME,
            "sync" => flags |= MsFlags::MS_SYNCHRONOUS,
            other => data.push(other),
        }
    }
    let kind = options.get("type").map(String::as_str).filter(|kind| !kind.is_empty() && *kind != "none");
    let data = (!data.is_empty()).then(|| data.join(","));
    nix::mount::mount(Some(device.as_str()), path, kind, flags, data.as_deref())?;
    if flags.contains(MsFlags::MS_BIND | MsFlags::MS_RDONLY) {
        let again = flags | MsFlags::MS_REMOUNT;
        if let Err(error) = nix::mount::mount(None::<&str>, path, None::<&str>, again, None::<&str>) {
            unmount(path);
            return Err(error.into());
        }
    }
    Ok(())
}

/// A mount point is on another device than its parent, or bound within the same one.
fn is_mounted(path: &Path) -> io::Result<bool> {
    let path = fs::canonicalize(path)?;
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(table.lines().any(|line| line.split(' ').nth(4).is_some_and(|point| Path::new(point) == path)))
}

/// Takes mounts off the path; none is fine.
pub(super) fn unmount(path: &Path) {
    while umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).is_ok() {}
}

/// Bytes of the files below a directory as docker counts them: their lengths, one with several names once,
/// directories not at all; links are not followed.
pub(super) fn size(path: &Path) -> u64 {
    let mut several_names = HashSet::new();
    let (mut sum, mut open) = (0, vec![path.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(data) = entry.metadata() else { continue };
            if data.is_dir() {
                open.push(entry.path());
            } else if data.nlink() == 1 || several_names.insert((data.dev(), data.ino())) {
                sum += data.len();
            }
        }
    }
    sum
}
