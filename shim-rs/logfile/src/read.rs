//! Reading a log from its oldest file to its newest.

use std::path::{Path, PathBuf};

use crate::codec::Format;
use crate::cursor::{Cursor, generations};
use crate::entry::Entry;
use crate::error::Result;
use crate::follow::Follow;
use crate::timestamp::Timestamp;

/// Which entries are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// None before this time.
    pub since: Option<Timestamp>,
    /// None after this time; the first later one ends the reading.
    pub until: Option<Timestamp>,
    /// Only the last so many entries that there are now (`since` and `until` are applied to those).
    pub tail: Option<u64>,
}

/// Reads what a log has now, rotated files (compressed or not) first. An iterator of entries.
#[derive(Debug)]
pub struct LogReader {
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    pub(crate) options: ReadOptions,
    /// `None`: no file was there.
    pub(crate) cursor: Option<Cursor>,
    /// Inode and size of the newest file at the time of opening: reading ends there.
    limit: Option<((u64, u64), u64)>,
    done: bool,
}

impl LogReader {
    /// Opens a log; one that doesn't exist (yet) has no entries.
    ///
    /// # Errors
    /// A file can't be opened or read.
    pub fn open(path: &Path, format: Format, options: ReadOptions) -> Result<Self> {
        let limit = std::fs::metadata(path).ok().map(|meta| {
            use std::os::unix::fs::MetadataExt;
            ((meta.dev(), meta.ino()), meta.len())
        });
        let cursor = match options.tail {
            Some(count) => open_tail(path, format, count)?,
            None => open_oldest(path, format, options.since)?,
        };
        Ok(Self { path: path.to_owned(), format, options, cursor, limit, done: false })
    }

    /// Goes on with what is written later.
    ///
    /// # Errors
    /// The log's directory can't be watched.
    pub fn follow(self) -> Result<Follow> {
        Follow::new(self)
    }

    /// Where the next entry begins: inode and offset of its file. Compare with a [`crate::Mark`].
    pub fn position(&self) -> Option<(u64, u64)> {
        self.cursor.as_ref().map(|cursor| (cursor.inode.1, cursor.position))
    }

    /// The next entry that was there when the log was opened.
    fn step(&mut self) -> Result<Option<Entry>> {
        loop {
            let Some(cursor) = &mut self.cursor else { return Ok(None) };
            if self.limit.is_some_and(|(inode, size)| inode == cursor.inode && cursor.position >= size) {
                return Ok(None);
            }
            match cursor.next_entry()? {
                Some(entry) if self.options.since.is_some_and(|since| entry.time < since) => {}
                Some(entry) if self.options.until.is_some_and(|until| entry.time > until) => return Ok(None),
                Some(entry) => return Ok(Some(entry)),
                None if cursor.advance()? => {}
                None => return Ok(None),
            }
        }
    }
}

impl Iterator for LogReader {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.step().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

/// The oldest file that can hold entries since that time.
fn open_oldest(path: &Path, format: Format, since: Option<Timestamp>) -> Result<Option<Cursor>> {
    loop {
        let files = generations(path)?;
        let wanted = since.map(|since| since.as_nanos().div_euclid(1_000_000_000));
        let candidate = files.iter().rev().find(|g| g.index == 0 || wanted.is_none_or(|s| g.modified >= s));
        let Some(generation) = candidate else { return Ok(None) };
        if let Some(cursor) = Cursor::open(path, format, generation)? {
            return Ok(Some(cursor));
        }
    }
}

/// The place from which `count` entries remain.
fn open_tail(path: &Path, format: Format, count: u64) -> Result<Option<Cursor>> {
    let (mut best, mut wanted): (Option<Cursor>, u64) = (None, count);
    for generation in generations(path)? {
        let Some(mut cursor) = Cursor::open(path, format, &generation)? else { continue };
        // Moved up by a rotation since the list was made: counted already.
        if best.as_ref().is_some_and(|b| b.inode == cursor.inode) {
            continue;
        }
        let found = cursor.tail(wanted)?;
        if found > 0 || best.is_none() {
            best = Some(cursor);
        }
        wanted -= found;
        if wanted == 0 {
            break;
        }
    }
    Ok(best)
}
