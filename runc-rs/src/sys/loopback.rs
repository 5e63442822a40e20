//! Brings the loopback interface up.
#![allow(unsafe_code, reason = "SIOCSIFFLAGS has no safe wrapper")]

use std::os::fd::AsRawFd;

use nix::errno::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

pub(crate) fn up() -> nix::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .map_err(|e| Errno::from_raw(e.raw_os_error()))?;
    // SAFETY: ifreq is plain data; all zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request outlives the call and its name ends in a zero.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) })
        .map(drop)
}
