//! Giving a program to the kernel.
#![allow(unsafe_code, reason = "seccomp(2) has no safe wrapper among our dependencies")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::FLAG_NEW_LISTENER;

const SET_MODE_FILTER: libc::c_uint = 1;

/// Installs a compiled filter for this process. With NOTIFY actions in it, answers the listener to hand to
/// the agent. Allocates nothing: usable between fork and exec.
///
/// # Errors
/// EACCES without no_new_privs and without CAP_SYS_ADMIN; EINVAL for a broken program.
pub(crate) fn load(bytes: &[u8], flags: u64) -> io::Result<Option<OwnedFd>> {
    let len = u16::try_from(bytes.len() / size_of::<libc::sock_filter>());
    let len = len.map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // The kernel copies from any alignment.
    let program = libc::sock_fprog { len, filter: bytes.as_ptr().cast_mut().cast() };
    // SAFETY: program points to `len` instructions that live through the call; the kernel only reads them.
    let answer = unsafe {
        libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags as libc::c_uint, std::ptr::from_ref(&program))
    };
    match answer {
        fd if fd >= 0 && flags & FLAG_NEW_LISTENER != 0 => {
            // SAFETY: with this flag the answer is a new descriptor that nobody else owns.
            Ok(Some(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
        }
        0 => Ok(None),
        _ => Err(io::Error::last_os_error()),
    }
}
