//! Joining namespaces by path, and what a new one needs before it is useful.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};

use crate::config::namespaces::{Joined, TYPES};
use crate::config::spec::IdMapping;
use crate::error::{Context, Step, StepError};

fn kind(flag: i32) -> &'static str {
    TYPES.iter().find(|(_, _, f)| *f == flag).map_or("unknown", |(name, _, _)| name)
}

/// Opens a namespace to join. That it is of the wanted type is checked by the kernel when it is entered.
pub(crate) fn open(joined: &Joined) -> Step<(i32, File)> {
    let path = joined.path.display();
    let file = File::open(&joined.path).step(|| format!("lstat {path}"))?;
    let magic = rustix::fs::fstatfs(&file).step(|| format!("statfs {path}"))?.f_type;
    if magic != 0x6e73_6673 {
        return Err(StepError::plain(format!("{path} is not a {} namespace", kind(joined.flag))));
    }
    Ok((joined.flag, file))
}

pub(crate) fn enter(fd: BorrowedFd<'_>, flag: i32) -> Step<()> {
    setns(fd, CloneFlags::from_bits_retain(flag)).step(|| format!("join the {} namespace", kind(flag)))
}

/// Enters all. Those that belong to the host must come before a user namespace, those that belong to it
/// after: what may not be entered yet is tried again afterwards.
pub(crate) fn enter_all(files: &[(i32, File)]) -> Step<()> {
    let (user, others): (Vec<_>, Vec<_>) = files.iter().partition(|(flag, _)| *flag == libc::CLONE_NEWUSER);
    let mut later = Vec::new();
    for (flag, file) in others {
        match setns(file, CloneFlags::from_bits_retain(*flag)) {
            Ok(()) => {}
            Err(Errno::EPERM) if !user.is_empty() => later.push((flag, file)),
            Err(e) => return Err(StepError::new(format!("join the {} namespace", kind(*flag)), e)),
        }
    }
    for (flag, file) in user {
        enter(file.as_fd(), *flag)?;
        become_root()?;
    }
    later.into_iter().try_for_each(|(flag, file)| enter(file.as_fd(), *flag))
}

/// In a user namespace just entered: take its ids. Its root may be unmapped, then nothing changes.
pub(crate) fn become_root() -> Step<()> {
    use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
    let ignore = |result: nix::Result<()>| match result {
        Err(Errno::EINVAL) => Ok(()),
        other => other,
    };
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    // setgroups may be denied in the namespace; the groups are set (or not) with the process' own later.
    let _ = setgroups(&[]);
    ignore(setresgid(gid, gid, gid)).step(|| "become group 0 of the user namespace")?;
    ignore(setresuid(uid, uid, uid)).step(|| "become root of the user namespace")
}

/// Parent: the id maps of the child's new user namespace.
pub(crate) fn write_maps(pid: i32, uids: &[IdMapping], gids: &[IdMapping]) -> Step<()> {
    for (file, maps) in [("uid_map", uids), ("gid_map", gids)] {
        let lines: String =
            maps.iter().map(|m| format!("{} {} {}\n", m.container_id, m.host_id, m.size)).collect();
        write(&format!("/proc/{pid}/{file}"), &lines)?;
    }
    Ok(())
}

pub(crate) fn write(path: &str, text: &str) -> Step<()> {
    let file = OpenOptions::new().write(true).open(path);
    // One write: the kernel takes these files whole or not at all.
    file.and_then(|mut f| f.write_all(text.as_bytes())).step(|| format!("write {path}"))
}

/// A cgroup namespace whose root is where this process is now: so it must be in its cgroup already, which
/// is why the clone doesn't make it.
pub(crate) fn new_cgroup_namespace() -> Step<()> {
    unshare(CloneFlags::CLONE_NEWCGROUP).step(|| "make a cgroup namespace")
}

/// Brings `lo` of a new network namespace up.
pub(crate) fn loopback_up() -> Step<()> {
    crate::sys::loopback::up().step(|| "bring the loopback interface up")
}
