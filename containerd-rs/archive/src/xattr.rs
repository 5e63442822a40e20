//! Extended attributes of entries.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use crate::error::{ArchiveError, Result};

/// Sets the attributes of an entry on an open file or directory.
pub(crate) fn set(file: impl AsFd, xattrs: &[(Vec<u8>, Vec<u8>)], path: &[u8]) -> Result<()> {
    for (name, value) in allowed(xattrs) {
        let name = OsStr::from_bytes(name);
        tolerate(rustix::fs::fsetxattr(&file, name, value, XattrFlags::empty()), path)?;
    }
    Ok(())
}

/// Sets the attributes of something that can't be opened (a symlink, a device) in directory `parent`.
pub(crate) fn set_at(
    parent: impl AsFd,
    base: &[u8],
    xattrs: &[(Vec<u8>, Vec<u8>)],
    path: &[u8],
) -> Result<()> {
    if xattrs.is_empty() {
        return Ok(());
    }
    let by_fd = through_proc(parent, base);
    for (name, value) in allowed(xattrs) {
        let name = OsStr::from_bytes(name);
        tolerate(rustix::fs::lsetxattr(by_fd.as_slice(), name, value, XattrFlags::empty()), path)?;
    }
    Ok(())
}

/// The attributes that belong into a layer: capabilities and the users' own.
pub(crate) fn read_at(parent: impl AsFd, base: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let by_fd = through_proc(parent, base);
    let mut names = vec![0; 64 << 10];
    let Ok(length) = rustix::fs::llistxattr(by_fd.as_slice(), &mut names[..]) else { return Vec::new() };
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for name in names[..length].split(|&b| b == 0) {
        let wanted = name == b"security.capability"
            || name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
        if !wanted {
            continue;
        }
        let mut value = vec![0; 64 << 10];
        if let Ok(length) = rustix::fs::lgetxattr(by_fd.as_slice(), OsStr::from_bytes(name), &mut value[..]) {
            value.truncate(length);
            found.push((name.to_vec(), value));
        }
    }
    found.sort();
    found
}

/// The last component isn't followed, the ones before are our own descriptor.
fn through_proc(parent: impl AsFd, base: &[u8]) -> Vec<u8> {
    [format!("/proc/self/fd/{}/", parent.as_fd().as_raw_fd()).as_bytes(), base].concat()
}

/// overlayfs' own attributes would let a layer reach into others.
fn allowed(xattrs: &[(Vec<u8>, Vec<u8>)]) -> impl Iterator<Item = (&[u8], &[u8])> {
    xattrs
        .iter()
        .map(|(name, value)| (name.as_slice(), value.as_slice()))
        .filter(|(name, _)| !name.starts_with(b"trusted.overlay.") && !name.starts_with(b"user.overlay."))
}

/// A filesystem without attributes, or one that refuses foreign ones, doesn't fail the layer.
fn tolerate(set: rustix::io::Result<()>, path: &[u8]) -> Result<()> {
    match set {
        Ok(()) => Ok(()),
        Err(error @ (Errno::NOTSUP | Errno::PERM)) => {
            tracing::debug!(%error, path = %crate::error::show(path), "extended attribute left out");
            Ok(())
        }
        Err(error) => Err(ArchiveError::at("set extended attribute of", path, error)),
    }
}

/// Marks a directory as hiding what is below it, in overlayfs' form.
pub(crate) fn set_opaque(directory: impl AsFd, path: &[u8]) -> Result<()> {
    rustix::fs::fsetxattr(directory, crate::whiteout::OVERLAY_OPAQUE, b"y", XattrFlags::empty())
        .map_err(|error| ArchiveError::at("mark as opaque", path, error))
}
