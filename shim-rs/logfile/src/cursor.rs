//! A reader's place in a row of files that move on while it reads.
//!
//! Files are told apart by inode; one that was compressed under the reader is recognised by its first record.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::codec::Format;
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::rotate::rotated;

/// One of the files that are there now.
#[derive(Clone, Debug)]
pub(crate) struct Generation {
    /// 0 is the file being written, higher is older.
    pub(crate) index: u32,
    pub(crate) gz: bool,
    pub(crate) path: PathBuf,
    pub(crate) inode: (u64, u64),
    pub(crate) modified: i64,
}

/// The files there are, newest first. A plain file and its finished compression count once (the plain one).
pub(crate) fn generations(path: &Path) -> Result<Vec<Generation>> {
    let mut found: Vec<Generation> = Vec::new();
    let mut missing = 0;
    // A gap may be there for a moment while files are moved up.
    for index in 0.. {
        let names = if index == 0 { vec![(path.to_owned(), false)] } else { both(path, index) };
        let before = found.len();
        for (path, gz) in names {
            match fs::metadata(&path) {
                Ok(meta) => {
                    let inode = (meta.dev(), meta.ino());
                    if found.iter().all(|g| g.inode != inode) {
                        found.push(Generation { index, gz, path, inode, modified: meta.mtime() });
                    }
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(Error::io("examine log", &path, source)),
            }
        }
        missing = if found.len() == before { missing + 1 } else { 0 };
        if missing > 2 {
            break;
        }
    }
    Ok(found)
}

fn both(path: &Path, index: u32) -> Vec<(PathBuf, bool)> {
    vec![(rotated(path, index, false), false), (rotated(path, index, true), true)]
}

#[derive(Debug)]
enum Source {
    Plain(File),
    Gz(Box<MultiGzDecoder<BufReader<File>>>),
}

/// An open file of the log and the place in it.
#[derive(Debug)]
pub(crate) struct Cursor {
    path: PathBuf,
    format: Format,
    source: Source,
    pub(crate) inode: (u64, u64),
    buffer: Vec<u8>,
    start: usize,
    /// Where in the file the next record begins.
    pub(crate) position: u64,
}

impl Cursor {
    /// Opens one generation at its beginning; `None` if it has gone meanwhile.
    pub(crate) fn open(path: &Path, format: Format, generation: &Generation) -> Result<Option<Self>> {
        let file = match File::open(&generation.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::io("open log", &generation.path, source)),
        };
        let meta = file.metadata().map_err(|source| Error::io("examine log", &generation.path, source))?;
        let source = if generation.gz {
            Source::Gz(Box::new(MultiGzDecoder::new(BufReader::new(file))))
        } else {
            Source::Plain(file)
        };
        let inode = (meta.dev(), meta.ino());
        let path = path.to_owned();
        Ok(Some(Self { path, format, source, inode, buffer: Vec::new(), start: 0, position: 0 }))
    }

    /// Whether this is the file being written. `None`: there is no such file (the log is gone).
    pub(crate) fn is_current(&self) -> Option<bool> {
        fs::metadata(&self.path).ok().map(|meta| (meta.dev(), meta.ino()) == self.inode)
    }

    /// The next whole record of this file, decoded (damaged ones are left out); `None` at its end.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>> {
        while let Some(length) = self.next_record()? {
            let record = &self.buffer[self.start..self.start + length];
            let entry = self.format.decode(record);
            self.skip(length);
            if entry.is_some() {
                return Ok(entry);
            }
        }
        Ok(None)
    }

    /// Reads until a whole record is in the buffer, and says how long it is.
    pub(crate) fn next_record(&mut self) -> Result<Option<usize>> {
        let mut searched = 0;
        loop {
            let unread = &self.buffer[self.start..];
            let found = if self.format.is_text() {
                self.format.record_len(&unread[searched..]).map(|length| searched + length)
            } else {
                self.format.record_len(unread)
            };
            if found.is_some() {
                return Ok(found);
            }
            searched = unread.len();
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Passes over `length` bytes of the buffer.
    pub(crate) fn skip(&mut self, length: usize) {
        self.start += length;
        self.position += length as u64;
    }

    fn fill(&mut self) -> Result<bool> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let have = self.buffer.len();
        self.buffer.resize(have + 64 * 1024, 0);
        let read = match &mut self.source {
            Source::Plain(file) => file.read_at(&mut self.buffer[have..], self.position + have as u64),
            Source::Gz(decoder) => decoder.read(&mut self.buffer[have..]),
        };
        self.buffer.truncate(have + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(read) => Ok(read > 0),
            // A damaged archive ends where it is damaged.
            Err(_) if matches!(self.source, Source::Gz(_)) => Ok(false),
            Err(source) => Err(Error::io("read log", &self.path, source)),
        }
    }

    /// The file was cut short by somebody (`: > log`): begins again at its start.
    pub(crate) fn rewind_if_cut(&mut self) {
        if let Source::Plain(file) = &self.source
            && file.metadata().is_ok_and(|meta| meta.len() < self.position)
        {
            self.buffer.clear();
            (self.start, self.position) = (0, 0);
        }
    }

    /// Goes to the next newer file; `false` if there is none yet.
    pub(crate) fn advance(&mut self) -> Result<bool> {
        loop {
            let Some(next) = self.newer(&generations(&self.path)?) else { return Ok(false) };
            let Some(cursor) = Self::open(&self.path, self.format, &next)? else { continue };
            // Only if nothing moved meanwhile is it really the next one.
            let again = self.newer(&generations(&self.path)?);
            if cursor.inode == next.inode && again.is_some_and(|g| g.inode == next.inode) {
                *self = cursor;
                return Ok(true);
            }
        }
    }

    fn newer(&self, files: &[Generation]) -> Option<Generation> {
        let mine = files.iter().position(|g| g.inode == self.inode).or_else(|| {
            let identity = self.identity()?;
            files.iter().position(|g| g.gz && identity_of_gz(&g.path, self.format) == Some(identity))
        });
        match mine {
            Some(0) => None,
            Some(at) => Some(files[at - 1].clone()),
            // Mine was thrown away: whatever is oldest now comes next.
            None => files.last().cloned(),
        }
    }

    fn identity(&self) -> Option<u64> {
        match &self.source {
            Source::Plain(file) => identity(FromStart { file, at: 0 }, self.format),
            Source::Gz(_) => None,
        }
    }

    /// Leaves only the last `count` records of this file; says how many of them it has.
    pub(crate) fn tail(&mut self, count: u64) -> Result<u64> {
        if let (Source::Plain(file), true) = (&self.source, self.format.is_text()) {
            let (offset, found) =
                last_lines(file, count).map_err(|source| Error::io("read log", &self.path, source))?;
            self.position = offset;
            return Ok(found);
        }
        let mut total = 0u64;
        while let Some(length) = self.next_record()? {
            self.skip(length);
            total += 1;
        }
        let found = total.min(count);
        if found > 0 {
            self.restart()?;
            for _ in found..total {
                if let Some(length) = self.next_record()? {
                    self.skip(length);
                }
            }
        }
        Ok(found)
    }

    fn restart(&mut self) -> Result<()> {
        self.buffer.clear();
        (self.start, self.position) = (0, 0);
        if let Source::Gz(decoder) = &mut self.source {
            let file = decoder.get_mut().get_ref().try_clone();
            let mut file = file.map_err(|source| Error::io("read log", &self.path, source))?;
            file.seek(SeekFrom::Start(0)).map_err(|source| Error::io("read log", &self.path, source))?;
            self.source = Source::Gz(Box::new(MultiGzDecoder::new(BufReader::new(file))));
        }
        Ok(())
    }
}

struct FromStart<'a> {
    file: &'a File,
    at: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// A hash of the first record: with its time in nanoseconds it is as good as a name.
fn identity(mut source: impl Read, format: Format) -> Option<u64> {
    let mut head = Vec::new();
    loop {
        if let Some(length) = format.record_len(&head) {
            let mut hasher = DefaultHasher::new();
            head[..length].hash(&mut hasher);
            return Some(hasher.finish());
        }
        let have = head.len();
        head.resize(have + 4096, 0);
        let read = source.read(&mut head[have..]).unwrap_or(0);
        head.truncate(have + read);
        if read == 0 || head.len() > 1 << 20 {
            return None;
        }
    }
}

fn identity_of_gz(path: &Path, format: Format) -> Option<u64> {
    identity(MultiGzDecoder::new(BufReader::new(File::open(path).ok()?)), format)
}

/// Offset of the last `count` lines, found from the end, and how many there are. A torn last line is left out.
fn last_lines(file: &File, count: u64) -> io::Result<(u64, u64)> {
    const BLOCK: u64 = 64 * 1024;
    let mut block = vec![0u8; BLOCK as usize];
    let mut end = file.metadata()?.len();
    let (mut newlines, mut whole) = (0u64, 0);
    while end > 0 {
        let begin = end.saturating_sub(BLOCK);
        let part = &mut block[..(end - begin) as usize];
        file.read_exact_at(part, begin)?;
        for at in (0..part.len()).rev().filter(|at| part[*at] == b'\n') {
            newlines += 1;
            if newlines == 1 {
                whole = begin + at as u64 + 1;
            }
            if newlines > count {
                return Ok((begin + at as u64 + 1, count));
            }
        }
        end = begin;
    }
    Ok(if count == 0 { (whole, 0) } else { (0, newlines) })
}
