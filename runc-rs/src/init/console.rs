//! The terminal: made from the container's devpts, its controlling side sent to whoever asked.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use mounts::detached;
use nix::errno::Errno;
use rustix::fs::{FileType, OFlags, makedev};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::rootfs::inside;
use crate::config::spec::ConsoleSize;
use crate::error::{Context, Step, StepError};

/// Makes a terminal with the container's own devpts below `root`, gives its controlling side away over
/// `socket`, and returns the other, which becomes stdio.
pub(crate) fn open(root: BorrowedFd<'_>, socket: BorrowedFd<'_>, size: Option<ConsoleSize>) -> Step<OwnedFd> {
    let master = open_ptmx(root)?;
    if let Some(size) = size {
        let size = Winsize { ws_row: size.height, ws_col: size.width, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, size).step(|| "set the terminal's size")?;
    }
    rustix::pty::unlockpt(&master).step(|| "unlock the terminal")?;
    // By descriptor: /dev/pts/N could be swapped for something else (CVE-2025-52565).
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = rustix::pty::ioctl_tiocgptpeer(&master, flags).step(|| "open the terminal")?;
    send_fd(socket, b"/dev/ptmx", master.as_fd()).step(|| "send the terminal over the console socket")?;
    Ok(terminal)
}

fn open_ptmx(root: BorrowedFd<'_>) -> Step<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    for path in ["/dev/pts/ptmx", "/dev/ptmx"] {
        let master = match inside::open(root, Path::new(path), OFlags::PATH) {
            Ok(found) => found,
            Err(Errno::ENOENT) => continue,
            Err(e) => return Err(e).step(|| format!("open {path}")),
        };
        // Looked at before it is opened for real: opening some devices has effects.
        let stat = rustix::fs::fstat(&master).step(|| format!("stat {path}"))?;
        let is_char = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
        if !is_char || stat.st_rdev != makedev(5, 2) {
            return Err(StepError::plain(format!("{path} is not the terminal multiplexer")));
        }
        let master = inside::open(root, Path::new(path), flags).step(|| format!("open {path}"))?;
        let stat = rustix::fs::fstat(&master).step(|| format!("stat {path}"))?;
        if stat.st_rdev != makedev(5, 2) {
            return Err(StepError::plain(format!("{path} was swapped while it was opened")));
        }
        return Ok(master);
    }
    Err(StepError::plain("a terminal is wanted, but the container has neither /dev/pts/ptmx nor /dev/ptmx"))
}

/// One descriptor with a message that says what it is.
pub(crate) fn send_fd(socket: BorrowedFd<'_>, text: &[u8], fd: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(rustix::io::Errno::NOBUFS);
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(text)], &mut control, SendFlags::NOSIGNAL).map(drop)
}

/// The terminal as /dev/console. A link of the image there would choose what is covered by something writable
/// before the masks are (CVE-2026-88264).
pub(crate) fn mount(root: BorrowedFd<'_>, terminal: &OwnedFd) -> Step<()> {
    let path = Path::new("/dev/console");
    let target = match inside::open_plain(root, path, OFlags::PATH) {
        Err(Errno::ENOENT) => {
            inside::make_file(root, path).step(|| "create /dev/console")?;
            inside::open_plain(root, path, OFlags::PATH)
        }
        other => other,
    };
    let target = match target {
        Err(Errno::ELOOP) => return Err(StepError::plain("/dev/console must not be reached through a link")),
        other => other.step(|| "open /dev/console")?,
    };
    let tree = detached::clone(terminal.as_fd(), "", false).step(|| "clone the terminal")?;
    detached::attach(&tree, target.as_fd()).step(|| "mount /dev/console")
}

/// Makes it this session's terminal, and stdio.
pub(crate) fn adopt(terminal: OwnedFd) -> Step<()> {
    rustix::process::ioctl_tiocsctty(&terminal).step(|| "set the controlling terminal")?;
    rustix::stdio::dup2_stdin(&terminal).step(|| "make the terminal stdin")?;
    rustix::stdio::dup2_stdout(&terminal).step(|| "make the terminal stdout")?;
    rustix::stdio::dup2_stderr(&terminal).step(|| "make the terminal stderr")
}
