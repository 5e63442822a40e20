//! What a pull is to bring, and docker's words when it can't.

use oci::{Digest, Platform, Reference};

use super::refusal;
use crate::error::{Error, Result};

/// An image for a platform.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) reference: Reference,
    pub(super) platform: Platform,
}

impl Wanted {
    /// From a request's words: `tag` is a tag, a digest, or empty for the name's own; no platform is the host's.
    ///
    /// # Errors
    /// 400 for a name, tag, digest or platform that is none.
    pub(super) fn parse(name: &str, tag: &str, platform: &str) -> Result<Self> {
        let platform = if platform.is_empty() {
            Platform::host()
        } else {
            platform.parse().map_err(|error: oci::PlatformError| Error::invalid(error.to_string()))?
        };
        let reference: Reference =
            name.parse().map_err(|error: oci::ReferenceError| Error::invalid(error.to_string()))?;
        let reference = if tag.is_empty() {
            reference.with_default_tag()
        } else if tag.contains(':') {
            let digest: Digest = tag.parse().map_err(|_| Error::invalid("invalid reference format"))?;
            reference.with_digest(digest)
        } else {
            reference.with_tag(tag).map_err(|error| Error::invalid(error.to_string()))?
        };
        Ok(Self { reference, platform })
    }

    /// The failure of a containerd that was asked for it.
    pub(super) fn failed(&self, error: &containerd_client::Error) -> Error {
        refusal::of_pull(&self.reference, &self.platform, error.message(), error.is_not_found())
    }
}
