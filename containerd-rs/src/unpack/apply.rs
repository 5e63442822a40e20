//! One layer into one directory, hashed on the way.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use archive::{ApplyOptions, WhiteoutForm};
use proto::containerd::types::Mount;
use sha2::{Digest, Sha256};

use super::decompress::Decompressed;
use crate::error::{Error, Result};

/// Bytes read at once when the rest of a stream is hashed.
const CHUNK: usize = 64 << 10;

/// What a layer turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedLayer {
    /// `sha256:…` of the uncompressed tar: the layer's diff id.
    pub diff_id: String,
    /// Size of the uncompressed tar in bytes.
    pub size: u64,
    /// Bytes of all its files.
    pub files: u64,
    /// Directories that the layer uses without announcing them.
    pub implied: Vec<Vec<u8>>,
}

/// Counts and hashes what is read.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
    size: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.size += count as u64;
        Ok(count)
    }
}

/// Applies the layer in `blob`, compressed or not, to the directory `root`.
///
/// # Errors
/// The stream is damaged or cut, the archive is bad or asks for too much, or a file can't be made.
pub fn apply_layer(blob: impl Read, root: &Path, form: WhiteoutForm) -> Result<AppliedLayer> {
    let step = || format!("apply the layer to {}", root.display());
    let tar = Decompressed::new(blob).map_err(|error| Error::caused(step(), error))?;
    let mut tar = Hashed { inner: tar, hash: Sha256::new(), size: 0 };
    let applied = archive::apply(&mut tar, root, &ApplyOptions::new(form))
        .map_err(|error| Error::caused(step(), error))?;
    // The digest covers what follows the end of the archive, padding included.
    let mut rest = vec![0; CHUNK];
    while tar.read(&mut rest).map_err(|error| Error::caused(step(), error))? > 0 {}
    let diff_id = format!("sha256:{}", hex::encode(tar.hash.finalize()));
    Ok(AppliedLayer { diff_id, size: tar.size, files: applied.size, implied: applied.implied })
}

/// The directory behind a snapshot's mounts, and the form whiteouts take there.
///
/// # Errors
/// The mounts are of a kind that no snapshotter of ours gives.
pub fn target_of(mounts: &[Mount]) -> Result<(PathBuf, WhiteoutForm)> {
    match mounts {
        [mount] if mount.r#type == "bind" && !mount.options.iter().any(|option| option == "ro") => {
            Ok((mount.source.clone().into(), WhiteoutForm::Removal))
        }
        [mount] if mount.r#type == "overlay" => mount
            .options
            .iter()
            .find_map(|option| option.strip_prefix("upperdir="))
            .map(|upper| (upper.into(), WhiteoutForm::Overlay))
            .ok_or_else(|| Error::invalid("apply a layer: the snapshot is read-only")),
        _ => Err(Error::invalid(format!("apply a layer: unsupported mounts {mounts:?}"))),
    }
}

/// Makes the directories that a layer only implied look as in the layers below, `below` being mounts
/// that show those. A layer that is applied onto its parent's files needs none of this.
///
/// # Errors
/// A directory can't be changed.
pub fn inherit_implied(root: &Path, below: &[Mount], applied: &AppliedLayer) -> Result<()> {
    let lowers: Vec<&Path> = match below {
        [mount] if mount.r#type == "bind" => vec![Path::new(&mount.source)],
        [mount] => {
            let lower = mount.options.iter().find_map(|option| option.strip_prefix("lowerdir="));
            lower.into_iter().flat_map(|list| list.split(':')).map(Path::new).collect()
        }
        _ => Vec::new(),
    };
    archive::inherit(root, &lowers, &applied.implied)
        .map_err(|error| Error::caused(format!("apply the layer to {}", root.display()), error))
}
