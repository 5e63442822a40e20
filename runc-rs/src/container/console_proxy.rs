//! A foreground container's terminal, joined to the caller's.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, anyhow};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, socketpair,
};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use crate::config::spec::ConsoleSize;

/// The pair over which the child sends its terminal: the child's end and ours.
pub(crate) fn pair() -> anyhow::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .context("make a socket pair")
}

pub(crate) fn receive(socket: &OwnedFd) -> anyhow::Result<OwnedFd> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0u8; 128];
    let mut parts = [std::io::IoSliceMut::new(&mut name)];
    rustix::net::recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
        .context("receive the terminal")?;
    let fds = control.drain().filter_map(|m| match m {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    fds.flatten().next().ok_or_else(|| anyhow!("the container sent no terminal"))
}

/// The caller's terminal in raw mode; as it was when this is dropped.
#[derive(Debug)]
pub(crate) struct RawMode(Option<Termios>);

impl RawMode {
    pub(crate) fn enter() -> Self {
        let stdin = rustix::stdio::stdin();
        let saved = if isatty(stdin) { tcgetattr(stdin).ok() } else { None };
        if let Some(saved) = &saved {
            let mut raw = saved.clone();
            raw.make_raw();
            let _ = tcsetattr(stdin, OptionalActions::Now, &raw);
        }
        Self(saved)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if let Some(saved) = &self.0 {
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, saved);
        }
    }
}

/// The size of the caller's terminal, for one that is made: the program may look before [`copy_size`].
pub(crate) fn size() -> Option<ConsoleSize> {
    let size = tcgetwinsize(rustix::stdio::stdin()).ok()?;
    Some(ConsoleSize { height: size.ws_row, width: size.ws_col })
}

/// Gives the container's terminal the size of the caller's.
pub(crate) fn copy_size(master: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(rustix::stdio::stdin()) {
        let _ = tcsetwinsize(master, size);
    }
}

/// Moves what is there. `false` at the end of the source.
pub(crate) fn pump(from: impl AsFd, to: impl AsFd) -> bool {
    let mut buffer = [0u8; 8 << 10];
    match rustix::io::read(from, &mut buffer) {
        Ok(0) => false,
        Ok(mut left) => {
            let mut at = 0;
            while left > 0 {
                match rustix::io::write(&to, &buffer[at..at + left]) {
                    Ok(written) => (at, left) = (at + written, left - written),
                    Err(rustix::io::Errno::INTR) => {}
                    Err(_) => return false,
                }
            }
            true
        }
        Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => true,
        // What a terminal says when its last user is gone.
        Err(_) => false,
    }
}
