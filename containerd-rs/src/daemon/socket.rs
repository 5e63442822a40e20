//! The sockets the daemon listens on.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener as StdListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tokio::net::UnixListener;

/// Longest path of a Unix socket, in bytes (`sun_path` with its closing zero).
const MAX_PATH: usize = 107;

/// A listening socket; its file goes when the value does.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    inode: u64,
}

impl Socket {
    /// Listens at `path` with mode 0660 and the owner given, in place of a socket that nobody
    /// listens on any more.
    pub(super) fn bind(path: &Path, uid: u32, gid: u32) -> anyhow::Result<(Self, UnixListener)> {
        if path.as_os_str().len() > MAX_PATH {
            bail!("listen on {}: the path is longer than {MAX_PATH} bytes", path.display());
        }
        remove_stale(path)?;
        let step = || format!("listen on {}", path.display());
        // Nobody may connect between bind and chmod: the file is made under a name that isn't
        // looked for, and renamed when it is right.
        let mut unready = path.as_os_str().to_owned();
        unready.push("~");
        let unready = PathBuf::from(unready);
        let made = if unready.as_os_str().len() > MAX_PATH { path } else { unready.as_path() };
        remove_file(made).with_context(step)?;
        let listener = StdListener::bind(made).with_context(step)?;
        std::fs::set_permissions(made, std::fs::Permissions::from_mode(0o660)).with_context(step)?;
        std::os::unix::fs::chown(made, Some(uid), Some(gid)).with_context(step)?;
        if made != path {
            std::fs::rename(made, path).with_context(step)?;
        }
        listener.set_nonblocking(true).with_context(step)?;
        let listener = UnixListener::from_std(listener).with_context(step)?;
        Ok((Self { path: path.to_owned(), inode: inode(path).with_context(step)? }, listener))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A daemon that took the path over meanwhile keeps its socket.
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> io::Result<u64> {
    Ok(std::os::unix::fs::MetadataExt::ino(&std::fs::symlink_metadata(path)?))
}

fn remove_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn remove_stale(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let kind = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("look at {}", path.display())),
    };
    if !kind.is_socket() {
        bail!("listen on {}: a file that is no socket is in the way", path.display());
    }
    if UnixStream::connect(path).is_ok() {
        bail!("listen on {}: somebody listens there already", path.display());
    }
    remove_file(path).with_context(|| format!("remove the stale socket {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_respected() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("s");
        drop(StdListener::bind(&path).expect("bind"));
        let (socket, _listener) = Socket::bind(&path, 0, 0).expect("the stale one is replaced");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o660);
        let error = Socket::bind(&path, 0, 0).expect_err("somebody listens");
        assert!(error.to_string().contains("already"), "{error}");
        drop(socket);
        assert!(!path.exists(), "the socket stayed behind");
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("s");
        std::fs::write(&path, "precious").expect("write");
        Socket::bind(&path, 0, 0).expect_err("in the way");
        assert_eq!(std::fs::read(&path).expect("still there"), b"precious");
    }
}
