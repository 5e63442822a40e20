//! A session keyring of the container's own.
#![allow(unsafe_code, reason = "no library wraps keyctl")]

use std::ffi::CStr;

use nix::errno::Errno;

const JOIN_SESSION_KEYRING: libc::c_long = 1;
const SETPERM: libc::c_long = 5;
const DESCRIBE: libc::c_long = 6;
/// Search permission for the user: so that the container's other processes find it.
const USER_SEARCH: u32 = 0x0008_0000;

/// Joins (or makes) the named session keyring and opens it to the user. A kernel or a sandbox without
/// keyrings is no error.
pub(crate) fn join(name: &CStr) -> nix::Result<()> {
    // SAFETY: the name is a C string that outlives the call.
    let ring = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr()) };
    let ring = match Errno::result(ring) {
        Ok(ring) => ring,
        Err(Errno::ENOSYS | Errno::EPERM | Errno::EDQUOT) => return Ok(()),
        Err(e) => return Err(e),
    };
    let mut text = [0u8; 512];
    // SAFETY: the buffer's real size is passed.
    let size = unsafe { libc::syscall(libc::SYS_keyctl, DESCRIBE, ring, text.as_mut_ptr(), text.len()) };
    let size = Errno::result(size)? as usize;
    // "type;uid;gid;permissions;name", permissions in hexadecimal.
    let permissions = std::str::from_utf8(&text[..size.min(text.len())])
        .ok()
        .and_then(|t| t.split(';').nth(3))
        .and_then(|p| u32::from_str_radix(p, 16).ok())
        .unwrap_or(0x3f1f_0000);
    // SAFETY: plain integers.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, SETPERM, ring, permissions | USER_SEARCH) };
    Errno::result(result).map(drop)
}
