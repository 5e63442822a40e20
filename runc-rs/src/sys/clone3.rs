//! `clone3` as a fork with namespaces and a cgroup.
#![allow(unsafe_code, reason = "raw clone3: no library wraps it as a fork")]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of the fork this is.
#[derive(Debug)]
pub(crate) enum Side {
    Child,
    /// The child's pid here, and a descriptor of it.
    Parent {
        pid: i32,
        pidfd: OwnedFd,
    },
}

/// Where the new process goes.
#[derive(Debug, Default)]
pub(crate) struct Request<'a> {
    /// `CLONE_NEW*` flags.
    pub(crate) namespaces: i32,
    /// The v2 cgroup to be born in.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
    /// The caller's parent becomes the parent.
    pub(crate) sibling: bool,
}

/// Copies this process. The program must be single-threaded (it always is): the child may then go on as the
/// parent would.
pub(crate) fn clone3(request: &Request<'_>) -> nix::Result<Side> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: clone_args is plain data; all zero is its documented "nothing asked for".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from(request.namespaces as u32) | libc::CLONE_PIDFD as u64;
    args.pidfd = &raw mut pidfd as u64;
    if request.sibling {
        args.flags |= libc::CLONE_PARENT as u64;
    } else {
        args.exit_signal = libc::SIGCHLD as u64;
    }
    if let Some(cgroup) = request.cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: args and pidfd outlive the call; without CLONE_VM the child has its own copy of the memory, and
    // without a stack it goes on on the copied one. No other thread exists whose locks could be held.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match result {
        0 => Ok(Side::Child),
        -1 => Err(Errno::last()),
        pid => {
            // SAFETY: the kernel has just made this descriptor for us.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Side::Parent { pid: pid as i32, pidfd })
        }
    }
}

/// Ends this process at once, without running anything that belongs to the parent (buffers, destructors).
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}
