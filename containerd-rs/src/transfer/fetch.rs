//! One blob from the registry into the content store, and to whoever unpacks it meanwhile.

use std::io::{self, Read};
use std::time::Duration;

use bytes::{Buf, Bytes};
use oci::Descriptor;
use oci::image::MAX_DOCUMENT;
use registry::Repository;
use tokio::sync::mpsc;

use super::progress::{Progress, name_of};
use crate::blocking::blocking;
use crate::content::{Finish, Ingest, Store};
use crate::error::{Error, Kind, Result};
use crate::metadata::labels::Labels;

/// Chunks on their way to disk: bounds memory for a slow disk.
const CHUNKS: usize = 32;
/// Tries to take away an ingest while the disk is full.
const FORGET_TRIES: u32 = 20;
/// Tries while another pull writes the same blob.
const LOCKED_TRIES: u32 = 6000;

/// What is needed to store blobs.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) store: Store,
    pub(super) namespace: String,
    pub(super) lease: String,
    pub(super) labels: Labels,
    pub(super) progress: Progress,
}

enum Chunk {
    Data(Bytes),
    End,
}

/// A blob's bytes while they come in. Ends with an error if the blob doesn't come whole.
#[derive(Debug)]
pub(super) struct Tee {
    chunks: mpsc::Receiver<Option<Bytes>>,
    current: Bytes,
    ended: bool,
}

/// Where a [`Tee`]'s bytes are put; `None` is the end.
pub(super) type TeeSender = mpsc::Sender<Option<Bytes>>;

/// A pair of ends.
pub(super) fn tee() -> (TeeSender, Tee) {
    let (sender, chunks) = mpsc::channel(CHUNKS);
    (sender, Tee { chunks, current: Bytes::new(), ended: false })
}

impl Read for Tee {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.chunks.blocking_recv() {
                Some(Some(chunk)) => self.current = chunk,
                Some(None) => self.ended = true,
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the download broke off")),
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// Fetches a blob unless the store has it, and whole. `tee` gets every byte if the blob is fetched from its
/// beginning in one go; true says that it did.
pub(super) async fn fetch(
    target: &Target,
    client: &Repository,
    blob: &Descriptor,
    parent: &str,
    mut tee: Option<TeeSender>,
) -> Result<bool> {
    // Documents are small, and what is unpacked is read to its end anyway.
    discard_damaged(target, blob, tee.is_some() || blob.size <= MAX_DOCUMENT as u64).await?;
    loop {
        let Some(ingest) = open(target, blob).await? else {
            target.progress.state("already exists", blob, parent, blob.size).await;
            return Ok(false);
        };
        let is_new = ingest.offset() == 0;
        let tee = if ingest.needs_bytes() && is_new { tee.take() } else { None };
        let whole = tee.is_some();
        match fetch_once(target, client, blob, parent, ingest, tee).await {
            Ok(()) => {
                target.progress.state("complete", blob, parent, blob.size).await;
                return Ok(whole);
            }
            // What an earlier try had left was bad, and is thrown away by now.
            Err(error) if error.kind() == Kind::FailedPrecondition && !is_new => {
                tracing::info!(digest = %blob.digest, %error, "fetching from the beginning");
            }
            // A line that broke may be mended: the next try goes on. All else would fail again.
            Err(error) if error.kind() == Kind::Unavailable => return Err(error),
            Err(error) => {
                forget(target, blob).await;
                return Err(error);
            }
        }
    }
}

async fn discard_damaged(target: &Target, blob: &Descriptor, every_byte: bool) -> Result<()> {
    let (store, digest, size) = (target.store.clone(), blob.digest.to_string(), blob.size);
    blocking(move || store.discard_damaged(&digest, size, every_byte)).await
}

/// Takes away what came of a blob that can't come right, or that the disk has no room for.
async fn forget(target: &Target, blob: &Descriptor) {
    for _ in 0..FORGET_TRIES {
        let (store, namespace, name) = (target.store.clone(), target.namespace.clone(), name_of(blob));
        match blocking(move || store.abort(&namespace, &name)).await {
            Err(error) if error.kind() != Kind::NotFound => {
                tracing::debug!(digest = %blob.digest, %error, "an ingest can't be taken away");
            }
            _ => return,
        }
        // Other layers of the pull, which the disk had no room for either, are taken away meanwhile.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tracing::warn!(digest = %blob.digest, "an ingest stays until it expires");
}

/// Opens the blob's ingest; `None` if the blob is there already. Waits for another pull's writer.
async fn open(target: &Target, blob: &Descriptor) -> Result<Option<Ingest>> {
    for _ in 0..LOCKED_TRIES {
        let (target, blob) = (target.clone(), blob.clone());
        let opened = blocking(move || {
            let (digest, reference) = (blob.digest.to_string(), name_of(&blob));
            target.store.writer(&target.namespace, &reference, &digest, blob.size, Some(&target.lease))
        })
        .await;
        match opened {
            Ok(ingest) => return Ok(Some(ingest)),
            Err(error) if error.kind() == Kind::AlreadyExists => return Ok(None),
            Err(error) if error.kind() == Kind::Unavailable => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::new(Kind::Unavailable, format!("fetch {}: another transfer holds it", blob.digest)))
}

async fn fetch_once(
    target: &Target,
    client: &Repository,
    blob: &Descriptor,
    parent: &str,
    ingest: Ingest,
    tee: Option<TeeSender>,
) -> Result<()> {
    let broken = |error| refused(format!("fetch {}", blob.digest), error);
    let mut done = ingest.offset();
    let mut bytes = if ingest.needs_bytes() && done < blob.size {
        Some(client.blob(blob, done).await.map_err(broken)?)
    } else {
        None
    };
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let writer = tokio::task::spawn_blocking({
        let (blob, labels) = (blob.clone(), target.labels.clone());
        move || write(ingest, receiver, tee, &blob, labels)
    });
    target.progress.amount("downloading", blob, parent, done);
    let mut told = std::time::Instant::now();
    let (mut failure, mut is_writing) = (None, true);
    while let Some(body) = &mut bytes {
        match body.next().await {
            Ok(Some(chunk)) => {
                done += chunk.len() as u64;
                is_writing = sender.send(Chunk::Data(chunk)).await.is_ok();
                if !is_writing {
                    break;
                }
                if told.elapsed() > Duration::from_millis(100) {
                    told = std::time::Instant::now();
                    target.progress.amount("downloading", blob, parent, done);
                }
            }
            Err(error) => {
                failure = Some(broken(error));
                break;
            }
            Ok(None) => break,
        }
    }
    // A writer that gave up says why itself.
    if failure.is_none() && is_writing && done < blob.size {
        let text = format!("fetch {}: the download broke off at {done} of {} bytes", blob.digest, blob.size);
        failure = Some(Error::new(Kind::Unavailable, text));
    }
    if failure.is_none() {
        let _ = sender.send(Chunk::End).await;
    }
    drop(sender);
    let written = writer.await.map_err(|error| Error::caused(format!("store {}", blob.digest), error))?;
    match failure {
        Some(failure) => Err(failure),
        None => written,
    }
}

/// What a registry's failure means to the caller.
pub(super) fn refused(step: String, error: registry::RegistryError) -> Error {
    use registry::RegistryError as Failure;
    let kind = match &error {
        Failure::NotFound { .. } => Kind::NotFound,
        Failure::Unreachable { .. } | Failure::Truncated { .. } => Kind::Unavailable,
        Failure::Configuration { .. } => Kind::InvalidArgument,
        _ => Kind::Unknown,
    };
    Error::new(kind, step).because(error)
}

/// Writes what comes; commits at the end, and leaves the ingest for another try without one.
fn write(
    mut ingest: Ingest,
    mut chunks: mpsc::Receiver<Chunk>,
    tee: Option<TeeSender>,
    blob: &Descriptor,
    labels: Labels,
) -> Result<()> {
    let digest = blob.digest.to_string();
    while let Some(chunk) = chunks.blocking_recv() {
        match chunk {
            Chunk::Data(bytes) => {
                ingest.write(&bytes)?;
                if let Some(tee) = &tee {
                    // An unpacker that gave up is told of where its result is asked for.
                    let _ = tee.blocking_send(Some(bytes));
                }
            }
            Chunk::End => {
                let finish = Finish { size: blob.size, expected: &digest };
                match ingest.commit(finish, labels) {
                    Ok(_) => {}
                    Err(error) if error.kind() == Kind::AlreadyExists => {}
                    Err(error) => {
                        if error.kind() == Kind::FailedPrecondition {
                            // Wrong bytes: the next try must not go on with them.
                            ingest.restart()?;
                        }
                        return Err(error);
                    }
                }
                if let Some(tee) = &tee {
                    let _ = tee.blocking_send(None);
                }
                return Ok(());
            }
        }
    }
    Ok(())
}
