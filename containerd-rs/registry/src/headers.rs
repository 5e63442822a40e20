//! What a request asks for.

use http::header::{ACCEPT, RANGE};
use http::{HeaderMap, HeaderValue};
use oci::media_type;

/// All that may be a manifest.
pub(crate) fn accept() -> HeaderMap {
    let types = [
        media_type::DOCKER_MANIFEST,
        media_type::DOCKER_INDEX,
        media_type::MANIFEST,
        media_type::INDEX,
        "*/*",
    ];
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&types.join(", ")) {
        headers.insert(ACCEPT, value);
    }
    headers
}

/// The bytes from `offset` on.
pub(crate) fn range(offset: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if offset > 0
        && let Ok(value) = HeaderValue::from_str(&format!("bytes={offset}-"))
    {
        headers.insert(RANGE, value);
    }
    headers
}
