//! The socket through which a runtime hands over a terminal.

use std::fs::{self, File};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::cmsg_space;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use crate::descriptors;

/// A listening socket for one terminal. Its path goes when it is dropped.
pub(crate) struct ConsoleSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ConsoleSocket {
    /// Listens in `dir`, which only we may enter.
    pub(crate) fn bind(dir: &Path, number: u32) -> io::Result<Self> {
        let path = dir.join(format!("pty{}-{number}", std::process::id()));
        drop(fs::remove_file(&path));
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the terminal's master. The runtime has ended, so it is there or won't come.
    pub(crate) fn receive(&self) -> io::Result<File> {
        let (stream, _) = self.listener.accept()?;
        let master = receive_descriptor(&stream)?;
        let flags = OFlag::from_bits_retain(fcntl(&master, FcntlArg::F_GETFL)?);
        fcntl(&master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(File::from(master))
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

fn receive_descriptor(stream: &UnixStream) -> io::Result<OwnedFd> {
    let mut name = [0u8; 4096];
    let mut slices = [IoSliceMut::new(&mut name)];
    let mut control = cmsg_space!([i32; 1]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = part
            && let Some(number) = numbers.first()
        {
            return descriptors::take(*number);
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the runtime sent no terminal"))
}

/// Sets a terminal's size in characters.
pub(crate) fn resize(master: &File, width: u16, height: u16) -> io::Result<()> {
    descriptors::set_window_size(master, width, height)
}
