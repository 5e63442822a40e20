//! The file being written, and the files it leaves behind.
//!
//! A rotation moves `PATH.1` to `PATH.2` and so on, links `PATH` as `PATH.1` and renames a new file over
//! `PATH`, so that `PATH` always exists. Compression happens in small steps between writes
//! ([`RotatingFile::work`]), for the writer is a single thread that containers wait for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::codec::Format;
use crate::error::{Error, Result};
use crate::uri::LogUri;

/// Bytes compressed in one step: about a millisecond.
const STEP: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct RotatingFile {
    path: PathBuf,
    format: Format,
    file: File,
    size: u64,
    max_size: Option<u64>,
    max_file: u32,
    compress: bool,
    job: Option<Job>,
    /// A write was cut short: the next one begins on a new line.
    torn: bool,
}

/// A compression under way.
#[derive(Debug)]
struct Job {
    from: File,
    to: GzEncoder<File>,
}

/// `PATH.INDEX` or `PATH.INDEX.gz`.
pub(crate) fn rotated(path: &Path, index: u32, gz: bool) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{index}{}", if gz { ".gz" } else { "" }));
    PathBuf::from(name)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn create(path: &Path, fresh: bool) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o640);
    if fresh {
        drop(fs::remove_file(path));
    }
    options.open(path).map_err(|source| Error::io("open log", path, source))
}

/// A missing file is what was wanted.
fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl RotatingFile {
    /// Opens the log for appending, with its directory made and a broken last record put right.
    pub(crate) fn open(log: &LogUri) -> Result<Self> {
        let path = &log.path;
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(|source| Error::io("create log directory", dir, source))?;
        }
        let file = create(path, false)?;
        let meta = file.metadata().map_err(|source| Error::io("examine log", path, source))?;
        // Left by a writer that died while rotating.
        let first = rotated(path, 1, false);
        if fs::metadata(&first).is_ok_and(|m| (m.dev(), m.ino()) == (meta.dev(), meta.ino())) {
            drop(fs::remove_file(&first));
        }
        for leftover in [with_suffix(path, ".new"), with_suffix(path, ".1.gz.tmp")] {
            drop(fs::remove_file(leftover));
        }
        let mut this = Self {
            path: path.clone(),
            format: log.format,
            file,
            size: meta.len(),
            max_size: log.max_size,
            max_file: log.max_file.max(1),
            compress: log.compress,
            job: None,
            torn: false,
        };
        this.mend().map_err(|source| Error::io("repair log", path, source))?;
        Ok(this)
    }

    /// Text: remembers to begin a new line. Binary: cuts off what isn't a whole record.
    fn mend(&mut self) -> io::Result<()> {
        if self.format.is_text() {
            let mut last = [0u8];
            if self.size > 0 && self.file.read_at(&mut last, self.size - 1)? == 1 {
                self.torn = last[0] != b'\n';
            }
            return Ok(());
        }
        let mut good = 0;
        let mut length = [0u8; 4];
        while good < self.size {
            let read = self.file.read_at(&mut length, good)?;
            let whole = good + u64::from(u32::from_be_bytes(length)) + 8;
            if read < 4 || whole > self.size {
                self.file.set_len(good)?;
                self.size = good;
                break;
            }
            good = whole;
        }
        Ok(())
    }

    /// Bytes in the current file.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Inode number of the current file.
    pub(crate) fn inode(&self) -> io::Result<u64> {
        self.file.metadata().map(|meta| meta.ino())
    }

    /// Whether the file has to be rotated once `pending` more bytes are in it.
    pub(crate) fn is_full(&self, pending: usize) -> bool {
        self.max_size.is_some_and(|max| self.size + pending as u64 >= max)
    }

    /// Appends whole records.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        if self.torn && !bytes.is_empty() {
            self.torn = false;
            // Without room for that either, the next one still begins on a new line.
            if self.format.is_text()
                && let Err(error) = self.write(b"\n")
            {
                self.torn = true;
                return Err(error);
            }
        }
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(written) => {
                    self.size += written as u64;
                    bytes = &bytes[written..];
                    self.torn = !bytes.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if self.torn && !self.format.is_text() {
                        drop(self.mend());
                        self.torn = false;
                    }
                    return Err(Error::io("write log", &self.path, error));
                }
            }
        }
        Ok(())
    }

    /// Begins a new file.
    pub(crate) fn rotate(&mut self) -> Result<()> {
        while self.work()? {}
        let result = self.shift();
        let fresh = with_suffix(&self.path, ".new");
        result.map_err(|source| Error::io("rotate log", &self.path, source))?;
        let file = create(&fresh, true)?;
        fs::rename(&fresh, &self.path).map_err(|source| Error::io("rotate log", &self.path, source))?;
        self.file = file;
        (self.size, self.torn) = (0, false);
        if self.compress && self.max_file > 1 {
            let from = File::open(rotated(&self.path, 1, false));
            let to = File::create(with_suffix(&self.path, ".1.gz.tmp"));
            // Without room for it the rotated file just stays as it is.
            if let (Ok(from), Ok(to)) = (from, to) {
                self.job = Some(Job { from, to: GzEncoder::new(to, Compression::fast()) });
            }
        }
        Ok(())
    }

    /// Makes `PATH.1` free and links the current file there.
    fn shift(&self) -> io::Result<()> {
        let last = self.max_file - 1;
        if last == 0 {
            return Ok(());
        }
        for gz in [false, true] {
            gone_is_fine(fs::remove_file(rotated(&self.path, last, gz)))?;
            for index in (1..last).rev() {
                let (from, to) = (rotated(&self.path, index, gz), rotated(&self.path, index + 1, gz));
                gone_is_fine(fs::rename(from, to))?;
            }
        }
        fs::hard_link(&self.path, rotated(&self.path, 1, false))
    }

    /// Does a step of the compression of the newest rotated file; says whether there is more to do.
    pub(crate) fn work(&mut self) -> Result<bool> {
        let Some(job) = &mut self.job else { return Ok(false) };
        let mut chunk = vec![0u8; STEP];
        let step = job.from.read(&mut chunk).and_then(|read| job.to.write_all(&chunk[..read]).map(|()| read));
        match step {
            Ok(0) => {}
            Ok(_) => return Ok(true),
            Err(source) => {
                self.job = None;
                let temporary = with_suffix(&self.path, ".1.gz.tmp");
                drop(fs::remove_file(&temporary));
                return Err(Error::io("compress log", &temporary, source));
            }
        }
        let Some(job) = self.job.take() else { return Ok(false) };
        let temporary = with_suffix(&self.path, ".1.gz.tmp");
        let finish = || {
            job.to.finish()?;
            fs::rename(&temporary, rotated(&self.path, 1, true))?;
            fs::remove_file(rotated(&self.path, 1, false))
        };
        finish().map_err(|source| Error::io("compress log", &temporary, source))?;
        Ok(false)
    }
}
