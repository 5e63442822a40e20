//! When and how often a request is tried again.

use std::time::Duration;

use http::StatusCode;

/// Tries of one request or, for a blob, tries without a single byte of progress.
pub(crate) const TRIES: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Whether the same request may succeed a little later.
pub(crate) fn may_pass(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// Waits before the `n`-th repetition, counted from 1.
pub(crate) async fn pause(n: u32) {
    tokio::time::sleep(FIRST_WAIT * 2_u32.pow(n.saturating_sub(1).min(5))).await;
}
