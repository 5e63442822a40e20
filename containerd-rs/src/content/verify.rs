//! Digests: their form, and hashing what is there.

use std::io::Read;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

const PREFIX: &str = "sha256:";

/// Whether `text` is a digest this store can hold.
pub fn is_digest(text: &str) -> bool {
    hex_of(text).is_some()
}

/// Checks a client's digest.
///
/// # Errors
/// Invalid argument.
pub fn check_digest(text: &str) -> Result<()> {
    if is_digest(text) {
        return Ok(());
    }
    let why = match text.split_once(':') {
        None => "invalid checksum digest format",
        Some(("sha256", hex)) if hex.len() != 64 => "invalid checksum digest length",
        Some(("sha256", _)) => "invalid checksum digest format",
        Some(_) => "unsupported digest algorithm",
    };
    Err(Error::invalid(format!("{text:?}: {why}")))
}

/// The hexadecimal part of a valid digest.
pub(super) fn hex_of(digest: &str) -> Option<&str> {
    digest
        .strip_prefix(PREFIX)
        .filter(|hex| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// The digest of all bytes given to `hasher`.
pub(super) fn finish(hasher: Sha256) -> String {
    format!("{PREFIX}{}", hex::encode(hasher.finalize()))
}

/// Hashes everything `source` has; returns the state and the number of bytes.
pub(super) fn hash(mut source: impl Read) -> std::io::Result<(Sha256, u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok((hasher, size)),
            n => {
                hasher.update(&buffer[..n]);
                size += n as u64;
            }
        }
    }
}
