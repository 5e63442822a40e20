//! Importing: a tar that is an OCI layout or Docker's → image store.

mod docker;

use std::collections::HashMap;
use std::io::{BufReader, Read};

use archive::{Kind as EntryKind, Limits, Reader};
use oci::image::MAX_DOCUMENT;
use oci::{Descriptor, Digest, Document, Index, Platform, media_type};
use proto::containerd::services::images::v1::Image;
use proto::containerd::types::transfer::ImageReference;

use super::bytes::ByteReader;
use super::export::{IMAGE_NAME, REF_NAME};
use super::fetch::Target;
use super::hold::Hold;
use super::progress::{Progress, to_proto};
use super::pull::{Copier, Unpack};
use super::stored::Stored;
use super::streams::Open;
use crate::blocking::blocking;
use crate::content::Finish;
use crate::error::{Error, Kind, Result};
use crate::metadata::labels::Labels;
use crate::unpack::Decompressed;

/// What a file is copied in, in bytes.
const CHUNK: usize = 256 << 10;
/// Most files that are remembered.
const MAX_FILES: usize = 100_000;

/// What to import, and as what.
#[derive(Debug)]
pub struct Import {
    /// Namespace of the images.
    pub namespace: String,
    /// The request's lease.
    pub lease: Option<String>,
    /// Where the tar comes from, compressed or not.
    pub stream: Open,
    /// Name of the image, or of the index of all of them; empty for the names in the archive.
    pub name: String,
    /// How names in the archive become names of images.
    pub references: Vec<ImageReference>,
    /// Labels of the images.
    pub labels: Labels,
    /// Platforms to keep; empty for all.
    pub platforms: Vec<Platform>,
    /// Platforms to unpack.
    pub unpacks: Vec<Unpack>,
    /// Where progress is told.
    pub progress: Progress,
}

/// What an archive was found to hold.
#[derive(Default)]
struct Contents {
    /// The small files at the top that say what is what.
    documents: HashMap<String, Vec<u8>>,
    /// Blobs by path.
    files: HashMap<String, (Digest, u64)>,
    /// Links between paths (old Docker archives).
    links: HashMap<String, String>,
}

impl Contents {
    fn file(&self, path: &str) -> Option<&(Digest, u64)> {
        let mut path = path;
        for _ in 0..8 {
            if let Some(found) = self.files.get(path) {
                return Some(found);
            }
            path = self.links.get(path)?;
        }
        None
    }
}

impl Copier {
    /// Imports the images of an archive.
    ///
    /// # Errors
    /// The archive is broken, isn't an image's, or lacks blobs; the disk is full.
    pub async fn import(&self, mut import: Import) -> Result<()> {
        let hold = Hold::take(&self.db, &import.namespace, import.lease.take()).await?;
        let result = self.import_under(import, hold.lease()).await;
        hold.end().await;
        result
    }

    async fn import_under(&self, import: Import, lease: &str) -> Result<()> {
        let target = Target {
            store: self.store.clone(),
            namespace: import.namespace.clone(),
            lease: lease.to_owned(),
            labels: Labels::new(),
            progress: import.progress.clone(),
        };
        let progress = import.progress;
        progress.step("Importing").await;
        let (reading, stream) = (target.clone(), import.stream);
        let index = blocking(move || read_archive(&reading, ByteReader::new(stream))).await?;
        let stored = Stored { store: self.store.clone(), namespace: import.namespace.clone() };

        let mut images: Vec<(String, Descriptor)> = Vec::new();
        for manifest in &index.manifests {
            images.extend(
                names_of(manifest, &import.references).into_iter().map(|name| (name, manifest.clone())),
            );
        }
        if !import.name.is_empty() {
            let root = match index.manifests.as_slice() {
                [only] => only.clone(),
                _ => {
                    let (target, index) = (target.clone(), index.clone());
                    blocking(move || {
                        let bytes = serde_json::to_vec(&index)
                            .map_err(|error| Error::caused("write the index of an import", error))?;
                        put(&target, media_type::INDEX, &bytes)
                    })
                    .await?
                }
            };
            images.push((import.name, root));
        }
        if images.is_empty() {
            return Err(Error::invalid("import: no image name found in the archive"));
        }
        for root in images.iter().map(|(_, root)| root).chain(&index.manifests) {
            let (stored, root, platforms) = (stored.clone(), root.clone(), import.platforms.clone());
            let manifests = blocking(move || {
                let tree = stored.tree(&root, &platforms)?;
                for document in &tree.documents {
                    stored.hold_children(&document.descriptor)?;
                }
                Ok(tree.manifests)
            })
            .await?;
            for (descriptor, manifest) in &manifests {
                self.unpack_stored(&target, descriptor, manifest, &import.unpacks).await?;
            }
        }
        for (name, root) in images {
            let mut root = root;
            root.annotations.clear();
            let image = Image {
                name: name.clone(),
                labels: import.labels.clone(),
                target: Some(to_proto(&root)),
                ..Image::default()
            };
            let (db, namespace, lease) = (self.db.clone(), import.namespace.clone(), lease.to_owned());
            blocking(move || db.images().create_or_update(&namespace, image, Some(&lease))).await?;
            progress.step(format!("saved {name}")).await;
        }
        progress.step("Completed import").await;
        Ok(())
    }
}

/// The names that a manifest of the archive gets.
fn names_of(manifest: &Descriptor, references: &[ImageReference]) -> Vec<String> {
    let full = manifest.annotations.get(IMAGE_NAME).cloned();
    let short = manifest.annotations.get(REF_NAME).cloned();
    if references.is_empty() {
        // A bare tag names nothing.
        return full.or(short.filter(|name| name.contains(['/', ':']))).into_iter().collect();
    }
    let mut names = Vec::new();
    for reference in references.iter().filter(|reference| reference.is_prefix) {
        let name = match (&full, &short) {
            (Some(full), _) => Some(full.clone()),
            (None, Some(short)) if short.contains('/') => Some(short.clone()),
            (None, Some(short)) => Some(format!("{}:{short}", reference.name)),
            (None, None) => None,
        };
        let is_taken = |name: &String| {
            reference.allow_overwrite
                || name
                    .strip_prefix(reference.name.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/', '@']))
        };
        let name = name.filter(is_taken);
        let add_digest = reference.add_digest && !(reference.skip_named_digest && name.is_some());
        if add_digest {
            names.push(format!("{}@{}", reference.name, manifest.digest));
        }
        names.extend(name);
    }
    names.sort();
    names.dedup();
    names
}

/// Puts every blob of the archive into the store; answers the index of its images.
fn read_archive(target: &Target, stream: ByteReader) -> Result<Index> {
    let failed = |error: archive::ArchiveError| Error::invalid("read the archive").because(error);
    let unpacked = Decompressed::new(stream).map_err(|error| Error::caused("read the archive", error))?;
    let mut tar = Reader::new(BufReader::with_capacity(CHUNK, unpacked), Limits::default());
    let mut contents = Contents::default();
    while let Some(entry) = tar.next_entry().map_err(failed)? {
        let name = String::from_utf8_lossy(&entry.name);
        let path = name.trim_start_matches("./").trim_matches('/').to_owned();
        if contents.files.len() + contents.links.len() > MAX_FILES {
            return Err(Error::invalid(format!("the archive has more than {MAX_FILES} files")));
        }
        match entry.kind {
            EntryKind::File if matches!(path.as_str(), "index.json" | "manifest.json" | "oci-layout") => {
                if entry.size > MAX_DOCUMENT as u64 {
                    return Err(Error::invalid(format!("{path} of the archive has {} bytes", entry.size)));
                }
                let mut bytes = Vec::new();
                tar.read_to_end(&mut bytes).map_err(|error| Error::caused("read the archive", error))?;
                contents.documents.insert(path, bytes);
            }
            EntryKind::File if entry.segments.is_none() => {
                let digest = copy_blob(target, &path, entry.size, &mut tar)?;
                contents.files.insert(path, (digest, entry.size));
            }
            EntryKind::Symlink | EntryKind::HardLink => {
                let link = String::from_utf8_lossy(&entry.link).into_owned();
                let to = if entry.kind == EntryKind::HardLink { link } else { beside(&path, &link) };
                contents.links.insert(path, to.trim_start_matches("./").to_owned());
            }
            _ => {}
        }
    }
    // The sender is done when all is read, whatever follows the archive's end.
    std::io::copy(&mut tar.into_inner(), &mut std::io::sink())
        .map_err(|error| Error::caused("read the archive", error))?;
    if let Some(bytes) = contents.documents.get("index.json") {
        return match Document::parse(media_type::INDEX, bytes) {
            Ok(Document::Index(index)) => Ok(index),
            Ok(Document::Manifest(_)) => Err(Error::invalid("index.json of the archive is no index")),
            Err(error) => Err(Error::invalid("read index.json of the archive").because(error)),
        };
    }
    docker::index(target, &contents)
}

/// The path that a relative symlink at `path` means.
fn beside(path: &str, link: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

fn copy_blob(target: &Target, path: &str, size: u64, data: &mut impl Read) -> Result<Digest> {
    // A blob's path says what it must be.
    let expected = match path.strip_prefix("blobs/").and_then(|rest| rest.split_once('/')) {
        Some((algorithm, hex)) => format!("{algorithm}:{hex}").parse::<Digest>().ok(),
        None => None,
    };
    let reference = format!("tar-{:016x}-{path}", rand::random::<u64>());
    let mut ingest = target.store.writer(&target.namespace, &reference, "", size, Some(&target.lease))?;
    let mut write = || -> Result<()> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = data.read(&mut buffer).map_err(|error| Error::caused("read the archive", error))?;
            if count == 0 {
                break;
            }
            ingest.write(&buffer[..count])?;
        }
        let expected = expected.as_ref().map(Digest::as_str).unwrap_or_default();
        match ingest.commit(Finish { size, expected }, target.labels.clone()) {
            Err(error) if error.kind() != Kind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    };
    let written = write();
    let digest = ingest.digest();
    drop(ingest);
    if let Err(error) = written {
        // Nobody will go on with a name that was made up.
        let _ = target.store.abort(&target.namespace, &reference);
        return Err(error);
    }
    digest.parse().map_err(|error| Error::caused(format!("digest {digest}"), error))
}

/// Stores a small document.
fn put(target: &Target, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
    copy_blob(target, "document", bytes.len() as u64, &mut &*bytes)?;
    Ok(Descriptor::of(media_type, bytes))
}
