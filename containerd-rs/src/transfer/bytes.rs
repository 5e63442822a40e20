//! Bytes on a stream, with the window that keeps a fast sender from a slow receiver.
//!
//! The receiver grants bytes by `WindowUpdate`, the sender spends them by `Data`. Both ends here
//! block: they run where files are read and written.

use std::io::{self, Read, Write};

use proto::containerd::types::transfer::{Data, WindowUpdate};
use proto::typeurl;

use super::streams::Open;

/// Bytes that may be under way, as in containerd.
const WINDOW: i32 = 64 << 10;
/// Most bytes of one message.
const MESSAGE: usize = 32 << 10;

/// What a client sends on a stream.
#[derive(Debug)]
pub(super) struct ByteReader {
    stream: Open,
    granted: i32,
    data: Vec<u8>,
    taken: usize,
}

impl ByteReader {
    pub(super) fn new(stream: Open) -> Self {
        Self { stream, granted: 0, data: Vec::new(), taken: 0 }
    }
}

impl Read for ByteReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.data.len() {
            if self.granted < WINDOW / 2 {
                let update = WindowUpdate { update: WINDOW - self.granted };
                // A client that has sent all may not listen any more.
                let _ = self.stream.send.blocking_send(Ok(typeurl::pack(&update)));
                self.granted = WINDOW;
            }
            let Some(message) = self.stream.receive.blocking_recv() else { return Ok(0) };
            let Ok(data) = typeurl::unpack::<Data>(&message) else { continue };
            self.granted = self.granted.saturating_sub(i32::try_from(data.data.len()).unwrap_or(i32::MAX));
            (self.data, self.taken) = (data.data, 0);
        }
        let count = buffer.len().min(self.data.len() - self.taken);
        buffer[..count].copy_from_slice(&self.data[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

/// What a client is sent on a stream. The stream ends when this is dropped.
#[derive(Debug)]
pub(super) struct ByteWriter {
    stream: Open,
    granted: i64,
}

impl ByteWriter {
    pub(super) fn new(stream: Open) -> Self {
        Self { stream, granted: 0 }
    }
}

impl Write for ByteWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the client closed the stream");
        while self.granted <= 0 {
            let message = self.stream.receive.blocking_recv().ok_or_else(gone)?;
            if let Ok(update) = typeurl::unpack::<WindowUpdate>(&message) {
                self.granted += i64::from(update.update);
            }
        }
        let room = usize::try_from(self.granted).unwrap_or(usize::MAX);
        let count = bytes.len().min(MESSAGE).min(room);
        let data = Data { data: bytes[..count].to_vec() };
        self.stream.send.blocking_send(Ok(typeurl::pack(&data))).map_err(|_| gone())?;
        self.granted -= count as i64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::Streams;

    /// Joins a reader and a writer as a client in between would.
    #[tokio::test(flavor = "multi_thread")]
    async fn bytes_arrive_whole_and_the_window_is_kept() {
        let streams = Streams::default();
        let (to_reader, mut from_reader) = streams.open("n", "r").expect("open");
        let (to_writer, mut from_writer) = streams.open("n", "w").expect("open");
        let mut reader = ByteReader::new(streams.take("n", "r").expect("take").expect("stream"));
        let mut writer = ByteWriter::new(streams.take("n", "w").expect("take").expect("stream"));
        let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
        let copy = sent.clone();
        let writing = tokio::task::spawn_blocking(move || writer.write_all(&copy));
        let reading = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        });
        let grants = tokio::spawn(async move {
            while let Some(Ok(update)) = from_reader.recv().await {
                if to_writer.send(update).await.is_err() {
                    break;
                }
            }
        });
        while let Some(Ok(data)) = from_writer.recv().await {
            to_reader.send(data).await.expect("reader");
        }
        drop(to_reader);
        writing.await.expect("thread").expect("written");
        assert!(reading.await.expect("thread").expect("read") == sent);
        grants.abort();
    }
}
