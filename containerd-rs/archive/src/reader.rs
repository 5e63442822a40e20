//! Reads a tar stream entry by entry, front to back, without seeking.

#[cfg(test)]
mod tests;

use std::io::{self, Read};

use crate::error::{ArchiveError, Result, show};
use crate::header::{BLOCK, Entry, Kind, RawHeader, Timestamp};
use crate::input::read_exact;
use crate::limits::Limits;
use crate::pax::Records;
use crate::sparse;

/// Most extension headers in front of one entry.
const MAX_EXTENSIONS: usize = 16;

/// A tar stream. After [`Reader::next_entry`] its data is read through [`Read`]: only the stored
/// bytes of a sparse file. What isn't read is skipped.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    limits: Limits,
    /// Data of the current entry that wasn't read yet.
    left: u64,
    /// Padding behind it.
    padding: u64,
    entries: u64,
    total: u64,
    current: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Reads from `input`; give it a buffered one.
    pub fn new(input: R, limits: Limits) -> Self {
        Self { input, limits, left: 0, padding: 0, entries: 0, total: 0, current: Vec::new() }
    }

    /// The input, wherever it stands.
    pub fn into_inner(self) -> R {
        self.input
    }

    /// The next entry; none at the end of the archive. What is behind the end isn't touched.
    ///
    /// # Errors
    /// The stream ends in the middle of something, isn't a tar, or goes beyond the limits.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        self.skip_rest()?;
        let mut records = Records::default();
        for _ in 0..MAX_EXTENSIONS {
            let mut block = [0; BLOCK];
            if !self.read_block(&mut block)? {
                return Ok(None);
            }
            let Some(header) = RawHeader::parse(&block)? else {
                self.check_end()?;
                return Ok(None);
            };
            match header.kind() {
                b'x' => {
                    let data = self.extension(header.size()?)?;
                    records.read(&data)?;
                }
                b'g' => {
                    self.extension(header.size()?)?;
                }
                b'L' => records.path = Some(without_nul(self.extension(header.size()?)?)),
                b'K' => records.link = Some(without_nul(self.extension(header.size()?)?)),
                _ => return self.entry(&header, records).map(Some),
            }
        }
        Err(ArchiveError::Limit { what: "extension headers of one entry", limit: MAX_EXTENSIONS as u64 })
    }

    fn entry(&mut self, header: &RawHeader<'_>, records: Records) -> Result<Entry> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(ArchiveError::Limit { what: "entries", limit: self.limits.entries });
        }
        let name = records.sparse.name.clone().or(records.path).unwrap_or_else(|| header.name());
        let kind = kind_of(header.kind(), &name)?;
        let mut entry = Entry {
            link: records.link.unwrap_or_else(|| header.link().to_vec()),
            kind,
            mode: header.mode()?,
            uid: id(records.uid.map_or_else(|| header.uid(), Ok)?)?,
            gid: id(records.gid.map_or_else(|| header.gid(), Ok)?)?,
            mtime: match records.mtime {
                Some(mtime) => mtime,
                None => Timestamp { seconds: header.mtime()?, nanoseconds: 0 },
            },
            atime: records.atime,
            xattrs: records.xattrs,
            name,
            ..Entry::default()
        };
        for text in [&entry.name, &entry.link] {
            if text.len() as u64 > self.limits.name {
                return Err(ArchiveError::Limit { what: "a name", limit: self.limits.name });
            }
        }
        if matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
            entry.device = header.device()?;
        }
        self.current.clone_from(&entry.name);
        // Only files have data; a size in any other header means nothing.
        let stored = if kind == Kind::File { records.size.map_or_else(|| header.size(), Ok)? } else { 0 };
        let stored = self.map_sparse(header, &records.sparse, &mut entry, stored)?;
        self.total = self.total.saturating_add(entry.size);
        if self.total > self.limits.size {
            return Err(ArchiveError::Limit { what: "bytes of files", limit: self.limits.size });
        }
        self.left = stored;
        Ok(entry)
    }

    /// Fills in size and segments; returns how much data follows the map.
    fn map_sparse(
        &mut self,
        header: &RawHeader<'_>,
        records: &crate::pax::SparseRecords,
        entry: &mut Entry,
        stored: u64,
    ) -> Result<u64> {
        self.padding = stored.wrapping_neg() % BLOCK as u64;
        entry.size = stored;
        let (size, segments, stored) = if header.kind() == b'S' {
            let (size, segments) = sparse::old_gnu(header, &mut self.input, &self.limits)?;
            (size, segments, stored)
        } else if records.major == Some(1) {
            let (segments, taken) = sparse::from_data(&mut self.input, stored, &self.limits)?;
            (records.real_size.unwrap_or(0), segments, stored - taken)
        } else if records.map.is_some() && entry.kind == Kind::File {
            (records.real_size.unwrap_or(0), sparse::from_records(records, &self.limits)?, stored)
        } else {
            return Ok(stored);
        };
        sparse::check(&segments, size, stored)?;
        entry.size = size;
        entry.segments = Some(segments);
        Ok(stored)
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > self.limits.records {
            return Err(ArchiveError::Limit { what: "records of one entry", limit: self.limits.records });
        }
        let mut data = vec![0; size as usize];
        read_exact(&mut self.input, &mut data, b"an extension header")?;
        self.padding = size.wrapping_neg() % BLOCK as u64;
        self.skip_rest()?;
        Ok(data)
    }

    /// False at a clean end of the stream.
    fn read_block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool> {
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(ArchiveError::Truncated("a header".to_owned())),
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ArchiveError::Read(error)),
            }
        }
        Ok(true)
    }

    /// Behind a first block of zeros there is a second one, or nothing.
    fn check_end(&mut self) -> Result<()> {
        let mut block = [0; BLOCK];
        if self.read_block(&mut block)? && block.iter().any(|&b| b != 0) {
            return Err(ArchiveError::Malformed("data behind the end".to_owned()));
        }
        Ok(())
    }

    fn skip_rest(&mut self) -> Result<()> {
        let rest = self.left + self.padding;
        if rest == 0 {
            return Ok(());
        }
        let skipped =
            io::copy(&mut (&mut self.input).take(rest), &mut io::sink()).map_err(ArchiveError::Read)?;
        if skipped < rest {
            return Err(ArchiveError::Truncated(show(&self.current)));
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if room == 0 {
            return Ok(0);
        }
        let count = self.input.read(&mut buffer[..room])?;
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "unexpected EOF: the archive is truncated",
            ));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

fn without_nul(mut text: Vec<u8>) -> Vec<u8> {
    text.truncate(crate::header::until_nul(&text).len());
    text
}

fn id(value: u64) -> Result<u32> {
    u32::try_from(value)
        .ok()
        .filter(|&id| id != u32::MAX)
        .ok_or_else(|| ArchiveError::Malformed(format!("owner {value} is out of range")))
}

fn kind_of(byte: u8, name: &[u8]) -> Result<Kind> {
    Ok(match byte {
        0 if name.ends_with(b"/") => Kind::Directory,
        0 | b'0' | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => return Err(ArchiveError::Unsupported { kind: char::from(other), path: show(name) }),
    })
}
