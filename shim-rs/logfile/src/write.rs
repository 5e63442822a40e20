//! Writing: bytes of two streams in, entries of one file out.

use crate::codec::{Format, Piece};
use crate::entry::Stream;
use crate::error::{Error, Result};
use crate::json_file;
use crate::lines::{End, LineBuffer};
use crate::rotate::RotatingFile;
use crate::timestamp::Timestamp;
use crate::uri::LogUri;

/// Writes one log. All entries of a call are in the file when it returns; only an unfinished line waits.
#[derive(Debug)]
pub struct LogWriter {
    format: Format,
    file: RotatingFile,
    attrs: Vec<u8>,
    lines: [Line; 2],
    /// Encoded entries of the call under way.
    out: Vec<u8>,
}

/// The line that a stream is in.
#[derive(Debug, Default)]
struct Line {
    buffer: LineBuffer,
    /// Time of its first piece.
    time: Option<Timestamp>,
    pieces: u32,
}

/// Where a stream stands in its log, to join the log and a copy of the raw bytes without a gap.
///
/// Everything before `offset` of the file with that inode has been logged; `pending` is the unfinished line
/// behind it. As the first line of a marked tee: `inode offset pending-length\n`, then the pending bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Inode number of the current file.
    pub inode: u64,
    /// Its size in bytes.
    pub offset: u64,
    /// What was read from the container but isn't in the file yet.
    pub pending: Vec<u8>,
}

impl Mark {
    /// The bytes that a marked tee begins with.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} {}\n", self.inode, self.offset, self.pending.len()).into_bytes();
        bytes.extend_from_slice(&self.pending);
        bytes
    }

    /// Reads the head of a marked tee: the mark (with `pending` still empty), the head's length in bytes and the
    /// length of the pending line that follows it; `None` until the head is whole.
    pub fn decode_head(bytes: &[u8]) -> Option<(Self, usize, usize)> {
        let end = bytes.iter().position(|b| *b == b'\n')?;
        let mut numbers = std::str::from_utf8(&bytes[..end]).ok()?.split(' ').map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        let (inode, offset, length) = (next()?, next()?, next()?);
        Some((Self { inode, offset, pending: Vec::new() }, end + 1, length as usize))
    }
}

impl LogWriter {
    /// Opens a log for appending; its directory is made if need be, the file's mode is 0640.
    ///
    /// # Errors
    /// The directory or file can't be made or opened.
    pub fn open(log: &LogUri) -> Result<Self> {
        Ok(Self {
            format: log.format,
            file: RotatingFile::open(log)?,
            attrs: json_file::encode_attrs(&log.attrs),
            lines: Default::default(),
            out: Vec::new(),
        })
    }

    /// Takes output of a stream that came at `time`.
    ///
    /// # Errors
    /// The file can't be written (entries of this call are lost), or can't be rotated (none is lost).
    pub fn write(&mut self, stream: Stream, bytes: &[u8], time: Timestamp) -> Result<()> {
        let line = &mut self.lines[stream as usize];
        let mut entries = Entries {
            format: self.format,
            file: &mut self.file,
            attrs: &self.attrs,
            out: &mut self.out,
            line_time: &mut line.time,
            pieces: &mut line.pieces,
            stream,
            now: time,
            failed: None,
        };
        line.buffer.feed(bytes, |piece, end| entries.put(piece, end))?;
        let failed = entries.failed;
        self.flush()?;
        failed.map_or(Ok(()), Err)
    }

    /// The stream has ended: a last line without newline is written as it is.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn close_stream(&mut self, stream: Stream, time: Timestamp) -> Result<()> {
        let line = &mut self.lines[stream as usize];
        let mut entries = Entries {
            format: self.format,
            file: &mut self.file,
            attrs: &self.attrs,
            out: &mut self.out,
            line_time: &mut line.time,
            pieces: &mut line.pieces,
            stream,
            now: time,
            failed: None,
        };
        line.buffer.finish(|piece, end| entries.put(piece, end))?;
        let failed = entries.failed;
        self.flush()?;
        failed.map_or(Ok(()), Err)
    }

    /// Does a bounded piece of pending work (compression of a rotated file); says whether there is more.
    ///
    /// # Errors
    /// The compressed file can't be written; the plain one stays.
    pub fn work(&mut self) -> Result<bool> {
        self.file.work()
    }

    /// Where `stream` stands. Call it between writes.
    ///
    /// # Errors
    /// The file can't be examined.
    pub fn mark(&self, stream: Stream) -> std::io::Result<Mark> {
        let pending = self.lines[stream as usize].buffer.pending().to_vec();
        Ok(Mark { inode: self.file.inode()?, offset: self.file.size(), pending })
    }

    fn flush(&mut self) -> Result<()> {
        let out = std::mem::take(&mut self.out);
        self.file.write(&out)
    }
}

/// The entries of one call, encoded and written file by file.
struct Entries<'a> {
    format: Format,
    file: &'a mut RotatingFile,
    attrs: &'a [u8],
    out: &'a mut Vec<u8>,
    line_time: &'a mut Option<Timestamp>,
    pieces: &'a mut u32,
    stream: Stream,
    now: Timestamp,
    /// A rotation that didn't work out; everything is written nevertheless.
    failed: Option<Error>,
}

impl Entries<'_> {
    fn put(&mut self, log: &[u8], end: End) -> Result<()> {
        if self.file.is_full(self.out.len()) {
            let out = std::mem::take(self.out);
            self.file.write(&out)?;
            // A file that grows too large is better than lines that are lost.
            self.failed = self.file.rotate().err().or(self.failed.take());
        }
        let time = *self.line_time.get_or_insert(self.now);
        let piece = Piece { log, end, ordinal: *self.pieces };
        self.format.encode(self.out, self.stream, time, piece, self.attrs);
        if end == End::Cut {
            *self.pieces += 1;
        } else {
            (*self.line_time, *self.pieces) = (None, 0);
        }
        Ok(())
    }
}
