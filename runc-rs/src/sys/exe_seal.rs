//! Runs this program again from a copy that a container can't write to (CVE-2019-5736).
//!
//! A process that enters a container is for a moment within its reach: `/proc/PID/exe` would lead to the
//! runtime's file on the host. A detached read-only mount of the file costs 0.1 ms at any size; where mounts
//! are not allowed, a sealed copy in memory serves.

use std::ffi::CString;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::error::{Context, Step};
use mounts::{Attributes, detached};

const EXE: &str = "/proc/self/exe";

/// Returns only if this process already runs from such a copy (or from a read-only file system).
pub(crate) fn ensure() -> Step<()> {
    let exe = File::open(EXE).step(|| "open /proc/self/exe")?;
    if is_protected(&exe)? {
        // execveat names the process after the descriptor's number.
        let _ = rustix::thread::set_name(c"runc-rs");
        return Ok(());
    }
    let copy = match read_only_mount() {
        Ok(mount) => mount,
        Err(_) => sealed_copy(exe)?,
    };
    let args: Vec<CString> = std::env::args_os().filter_map(|a| CString::new(a.into_vec()).ok()).collect();
    let env: Vec<CString> = std::env::vars_os()
        .filter_map(|(k, v)| CString::new([k.as_bytes(), b"=", v.as_bytes()].concat()).ok())
        .collect();
    let Err(e) = nix::unistd::execveat(copy.as_fd(), c"", &args, &env, nix::fcntl::AtFlags::AT_EMPTY_PATH);
    Err(e).step(|| "execute a read-only copy of the runtime")
}

fn is_protected(exe: &File) -> Step<bool> {
    let stat = rustix::fs::fstatvfs(exe).step(|| "statfs /proc/self/exe")?;
    if stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        return Ok(true);
    }
    let wanted = rustix::fs::SealFlags::WRITE | rustix::fs::SealFlags::SEAL;
    Ok(rustix::fs::fcntl_get_seals(exe).is_ok_and(|seals| seals.contains(wanted)))
}

fn read_only_mount() -> mounts::Result<OwnedFd> {
    let tree = detached::clone(rustix::fs::CWD, EXE, false)?;
    detached::change(&tree, false, Attributes::read_only())?;
    Ok(tree)
}

fn sealed_copy(mut exe: File) -> Step<OwnedFd> {
    use rustix::fs::{MemfdFlags, SealFlags};
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // MFD_EXEC: kernels with vm.memfd_noexec want it said; older ones refuse the flag.
    let copy = rustix::fs::memfd_create("runc-rs", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create("runc-rs", flags))
        .step(|| "make a memory file")?;
    let mut copy = File::from(copy);
    std::io::copy(&mut exe, &mut copy).step(|| "copy the runtime into memory")?;
    copy.seek(SeekFrom::Start(0)).step(|| "rewind the copy")?;
    let all = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&copy, all).step(|| "seal the copy")?;
    // A descriptor open for writing can't be executed.
    let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
    Ok(File::open(path).step(|| "reopen the copy")?.into())
}
