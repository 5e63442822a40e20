//! The one way from async code to files and the database: tokio's blocking threads.

use crate::error::{Error, Result};

/// Runs `work` where it may block. It is not cancelled when the caller goes away.
///
/// # Errors
/// What `work` returns; a panic inside it becomes an error that names it.
pub async fn blocking<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|failure| Err(Error::caused("run a blocking step of the request", failure)))
}
