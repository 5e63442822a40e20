//! Named pipes, opened so that nobody waits.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

/// The write end, whether or not somebody reads.
///
/// Only the write end is kept: with a read end of our own we could never learn that the reader has gone.
pub(crate) fn open_writer(path: &Path) -> io::Result<File> {
    let both = open(path, true, true)?;
    let writer = open(path, false, true)?;
    drop(both);
    Ok(writer)
}

/// The write end, if somebody reads now.
pub(crate) fn open_writer_if_read(path: &Path) -> io::Result<File> {
    open(path, false, true)
}

/// The read end, and a write end that keeps it from ending until it is dropped.
pub(crate) fn open_reader(path: &Path) -> io::Result<(File, File)> {
    let keep = open(path, true, true)?;
    let reader = open(path, true, false)?;
    let writer = open(path, false, true)?;
    drop(keep);
    Ok((reader, writer))
}

fn open(path: &Path, read: bool, write: bool) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(read).write(write).custom_flags(flags).open(path)?;
    if !file.metadata()?.file_type().is_fifo() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a fifo"));
    }
    Ok(file)
}

/// Whether somebody has the other end of a writer open.
pub(crate) fn has_reader(writer: &File) -> bool {
    let mut fds = [PollFd::new(writer.as_fd(), PollFlags::empty())];
    let polled = poll(&mut fds, PollTimeout::ZERO);
    polled.is_ok() && !fds[0].revents().is_some_and(|flags| flags.contains(PollFlags::POLLERR))
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// So many bytes went in; fewer than given means that it is full.
    Some(usize),
    /// Nobody reads.
    NoReader,
}

/// Writes as much as goes in now.
pub(crate) fn write(mut file: &File, bytes: &[u8]) -> io::Result<Wrote> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write(&bytes[done..]) {
            Ok(count) => done += count,
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => break,
                io::ErrorKind::BrokenPipe if done == 0 => return Ok(Wrote::NoReader),
                io::ErrorKind::BrokenPipe => break,
                _ => return Err(error),
            },
        }
    }
    Ok(Wrote::Some(done))
}
