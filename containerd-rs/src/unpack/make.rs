//! A layer made of what one snapshot has over another.

#[cfg(test)]
mod tests;

use std::io::{self, BufWriter, Write};

use archive::DiffOptions;
use oci::media_type::{self, Compression};
use oci::{Descriptor, Hasher};
use proto::containerd::types::Mount;

use super::view::with_mounted;
use crate::content::{Finish, Ingest, Store};
use crate::error::{Error, Kind, Result};
use crate::metadata::labels::Labels;

/// Label of a packed layer: the digest of its tar.
pub const UNCOMPRESSED: &str = "containerd.io/uncompressed";
/// What a tar is written out in, in bytes.
const CHUNK: usize = 256 << 10;

/// What to make a layer of.
#[derive(Clone, Debug, Default)]
pub struct MakeLayer {
    /// Mounts of what the layer is put onto; may be empty.
    pub left: Vec<Mount>,
    /// Mounts of what is to come out.
    pub right: Vec<Mount>,
    /// Type of the layer; empty for OCI's gzip.
    pub media_type: String,
    /// Name of the ingest; empty for a random one.
    pub reference: String,
    /// Labels of the blob.
    pub labels: Labels,
    /// No time in the layer is later; seconds since 1970.
    pub source_date_epoch: Option<i64>,
}

/// Writes the layer into the store. Blocks.
///
/// # Errors
/// The type isn't known, the snapshots can't be read, or the blob can't be written.
pub fn make_layer(store: &Store, ns: &str, lease: Option<&str>, make: MakeLayer) -> Result<Descriptor> {
    let media_type = if make.media_type.is_empty() { media_type::LAYER_GZIP } else { &make.media_type };
    let compression = media_type::compression(media_type).ok_or_else(|| {
        Error::new(Kind::Unimplemented, format!("unsupported diff media type: {media_type}"))
    })?;
    let reference = if make.reference.is_empty() {
        format!("diff-{:016x}", rand::random::<u64>())
    } else {
        make.reference.clone()
    };
    let mut ingest = store.writer(ns, &reference, "", 0, lease)?;
    if ingest.offset() > 0 {
        ingest.restart()?;
    }
    let options = DiffOptions { source_date_epoch: make.source_date_epoch };
    let written = with_mounted(&[&make.left, &make.right], |roots| {
        let upper = roots[1].as_deref().ok_or_else(|| Error::invalid("diff: no mounts on the right"))?;
        let failed = |error: archive::ArchiveError| Error::caused("make a layer", error);
        let packed = |error: io::Error| Error::caused(format!("write ingest {reference}"), error);
        let blob = BufWriter::with_capacity(CHUNK, Blob(&mut ingest));
        let (diff_id, blob) = match compression {
            Compression::None => {
                let tar =
                    archive::diff(roots[0].as_deref(), upper, Hashed::new(blob), &options).map_err(failed)?;
                (tar.hasher.finish(), tar.inner)
            }
            Compression::Gzip => {
                let gzip = flate2::write::GzEncoder::new(blob, flate2::Compression::new(6));
                let tar =
                    archive::diff(roots[0].as_deref(), upper, Hashed::new(gzip), &options).map_err(failed)?;
                (tar.hasher.finish(), tar.inner.finish().map_err(packed)?)
            }
            Compression::Zstd => {
                let zstd = zstd::Encoder::new(blob, 3).map_err(packed)?;
                let tar =
                    archive::diff(roots[0].as_deref(), upper, Hashed::new(zstd), &options).map_err(failed)?;
                (tar.hasher.finish(), tar.inner.finish().map_err(packed)?)
            }
        };
        blob.into_inner().map_err(|error| packed(error.into_error()))?;
        Ok(diff_id)
    });
    let diff_id = match written {
        Ok(diff_id) => diff_id,
        Err(error) => {
            drop(ingest);
            // Half a layer is of no use to anybody.
            if let Err(left) = store.abort(ns, &reference) {
                tracing::warn!(%left, reference, "the ingest of a failed diff stays");
            }
            return Err(error);
        }
    };
    let (digest, size) = (ingest.digest(), ingest.offset());
    let mut labels = make.labels;
    labels.insert(UNCOMPRESSED.to_owned(), diff_id.to_string());
    match ingest.commit(Finish { size, expected: "" }, labels.clone()) {
        Ok(_) => {}
        Err(error) if error.kind() == Kind::AlreadyExists => {
            store.set_labels(ns, &digest, labels)?;
        }
        Err(error) => return Err(error),
    }
    let digest = digest.parse().map_err(|error| Error::caused(format!("digest {digest}"), error))?;
    Ok(Descriptor::new(media_type, digest, size))
}

/// Writes into an ingest.
struct Blob<'a>(&'a mut Ingest);

impl Write for Blob<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hashes what is written.
struct Hashed<W> {
    inner: W,
    hasher: Hasher,
}

impl<W> Hashed<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::default() }
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
