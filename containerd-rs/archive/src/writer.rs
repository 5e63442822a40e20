//! Writes a tar stream: ustar headers, PAX records where a field doesn't fit.

use std::io::{self, Write};

use crate::error::{ArchiveError, Result};
use crate::header::{BLOCK, Entry, Kind};

/// A tar stream being written. End it with [`Writer::finish`].
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
}

impl<W: Write> Writer<W> {
    /// Writes to `output`; give it a buffered one.
    pub fn new(output: W) -> Self {
        Self { output }
    }

    /// Writes an entry with its data: exactly `entry.size` bytes for a file, none for others.
    ///
    /// # Errors
    /// The output fails, or `data` has fewer bytes.
    pub fn append(&mut self, entry: &Entry, data: impl io::Read) -> Result<()> {
        let size = if entry.kind == Kind::File { entry.size } else { 0 };
        self.header(entry, size)?;
        let copied = io::copy(&mut data.take(size), &mut self.output).map_err(ArchiveError::Write)?;
        if copied < size {
            return Err(ArchiveError::Truncated(crate::error::show(&entry.name)));
        }
        self.pad(size)
    }

    /// Writes a file with the data in memory; owner 0, mode 0644, time 0.
    ///
    /// # Errors
    /// The output fails.
    pub fn append_bytes(&mut self, name: &str, data: &[u8]) -> Result<()> {
        let entry = Entry { name: name.into(), mode: 0o644, size: data.len() as u64, ..Entry::default() };
        self.append(&entry, data)
    }

    /// Writes the end mark and gives the output back.
    ///
    /// # Errors
    /// The output fails.
    pub fn finish(mut self) -> Result<W> {
        self.write(&[0; 2 * BLOCK])?;
        self.output.flush().map_err(ArchiveError::Write)?;
        Ok(self.output)
    }

    fn header(&mut self, entry: &Entry, size: u64) -> Result<()> {
        let mut records: Vec<u8> = Vec::new();
        let mut name = entry.name.clone();
        if entry.kind == Kind::Directory && !name.ends_with(b"/") {
            name.push(b'/');
        }
        if name.len() > 100 || !name.is_ascii() {
            record(&mut records, b"path", &name);
        }
        if entry.link.len() > 100 || !entry.link.is_ascii() {
            record(&mut records, b"linkpath", &entry.link);
        }
        let too_large = [
            (b"size".as_slice(), size, 0o77_777_777_777),
            (b"uid".as_slice(), u64::from(entry.uid), 0o7_777_777),
            (b"gid".as_slice(), u64::from(entry.gid), 0o7_777_777),
        ];
        for (key, value, largest) in too_large {
            if value > largest {
                record(&mut records, key, value.to_string().as_bytes());
            }
        }
        if !(0..=0o77_777_777_777).contains(&entry.mtime.seconds) {
            record(&mut records, b"mtime", entry.mtime.seconds.to_string().as_bytes());
        }
        for (key, value) in &entry.xattrs {
            record(&mut records, &[b"SCHILY.xattr.", key.as_slice()].concat(), value);
        }
        if !records.is_empty() {
            let extension = Entry { name: b"PaxHeaders.0/entry".to_vec(), mode: 0o644, ..Entry::default() };
            let block = block(&extension, &extension.name, b'x', records.len() as u64);
            self.write(&block)?;
            self.write(&records)?;
            self.pad(records.len() as u64)?;
        }
        let kind = match entry.kind {
            Kind::File => b'0',
            Kind::HardLink => b'1',
            Kind::Symlink => b'2',
            Kind::CharDevice => b'3',
            Kind::BlockDevice => b'4',
            Kind::Directory => b'5',
            Kind::Fifo => b'6',
        };
        self.write(&block(entry, &name, kind, size))
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let padding = size.wrapping_neg() % BLOCK as u64;
        self.write(&[0; BLOCK][..padding as usize])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write_all(bytes).map_err(ArchiveError::Write)
    }
}

/// Appends `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn block(entry: &Entry, name: &[u8], kind: u8, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, room: usize, bytes: &[u8]| {
        let count = bytes.len().min(room);
        block[at..at + count].copy_from_slice(&bytes[..count]);
    };
    let octal = |value: u64, digits: usize| format!("{:0digits$o}\0", value & ((1 << (3 * digits)) - 1));
    put(0, 100, name);
    put(100, 8, octal(u64::from(entry.mode & 0o7777), 7).as_bytes());
    put(108, 8, octal(u64::from(entry.uid), 7).as_bytes());
    put(116, 8, octal(u64::from(entry.gid), 7).as_bytes());
    put(124, 12, octal(size, 11).as_bytes());
    put(136, 12, octal(u64::try_from(entry.mtime.seconds).unwrap_or(0), 11).as_bytes());
    put(148, 8, b"        ");
    put(156, 1, &[kind]);
    put(157, 100, &entry.link);
    put(257, 8, b"ustar\x0000");
    put(329, 8, octal(u64::from(entry.device.0), 7).as_bytes());
    put(337, 8, octal(u64::from(entry.device.1), 7).as_bytes());
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
