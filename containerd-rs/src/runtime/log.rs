//! A shim's log: a fifo in the bundle, copied to the daemon's standard error.

use std::io::Write;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::task::AbortHandle;

use super::bundle::Bundle;

/// Bytes copied at once.
const CHUNK: usize = 4 << 10;

/// Copies the shim's log until aborted.
pub(super) fn copy_log(bundle: &Bundle) -> AbortHandle {
    let path = bundle.log();
    // For read and write: it opens at once, and shims that come and go end nothing (facts §8.13).
    let opened = pipe::OpenOptions::new().read_write(true).open_receiver(&path);
    tokio::spawn(async move {
        let mut fifo = match opened {
            Ok(fifo) => fifo,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "open the shim's log");
                return;
            }
        };
        let mut chunk = vec![0; CHUNK];
        while let Ok(count) = fifo.read(&mut chunk).await {
            let _ = std::io::stderr().write_all(&chunk[..count]);
        }
    })
    .abort_handle()
}
