//! Events that the daemon hasn't acknowledged yet, on disk.
//!
//! `BUNDLE/events` is a row of `u32 length, big endian; encoded ForwardRequest`, oldest first. It is emptied
//! when the last one has been acknowledged, so it stays small. The file outlives its bundle by its descriptor.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub(crate) struct Journal {
    file: Option<File>,
    queue: VecDeque<Vec<u8>>,
}

impl Journal {
    /// Begins a journal. Without a writable file it is kept in memory alone, and said so in the log.
    pub(crate) fn create(path: &Path) -> Self {
        let opened = File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
        let file = opened
            .inspect_err(|error| {
                crate::complaint::complain!("open event journal {}: {error}", path.display())
            })
            .ok();
        Self { file, queue: VecDeque::new() }
    }

    /// Writes an event down, before anybody tries to send it.
    pub(crate) fn push(&mut self, event: Vec<u8>) {
        if let Err(error) = self.append(&event) {
            crate::complaint::complain!("write event journal: {error}");
        }
        self.queue.push_back(event);
    }

    fn append(&mut self, event: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut record = (event.len() as u32).to_be_bytes().to_vec();
        record.extend_from_slice(event);
        file.write_all(&record)
    }

    /// The oldest event that is still to be sent.
    pub(crate) fn front(&self) -> Option<&[u8]> {
        self.queue.front().map(Vec::as_slice)
    }

    /// The oldest one has arrived.
    pub(crate) fn pop(&mut self) {
        self.queue.pop_front();
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
            if let Some(file) = &mut self.file {
                use std::io::Seek;
                let _ = file.set_len(0).and_then(|()| file.rewind());
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_stay_on_disk_in_order_until_all_have_arrived() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("events");
        let mut journal = Journal::create(&path);
        journal.push(b"one".to_vec());
        journal.push(b"two".to_vec());
        assert_eq!(std::fs::read(&path).expect("readable"), b"\0\0\0\x03one\0\0\0\x03two");
        assert_eq!(journal.front(), Some(&b"one"[..]));
        journal.pop();
        assert_eq!(journal.front(), Some(&b"two"[..]));
        journal.pop();
        assert!(journal.is_empty());
        assert_eq!(std::fs::metadata(&path).expect("there").len(), 0);
    }
}
