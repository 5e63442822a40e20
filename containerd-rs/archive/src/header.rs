//! One entry of an archive, and the 512-byte block it is announced with.

use crate::error::{ArchiveError, Result};

/// Size of a tar block.
pub(crate) const BLOCK: usize = 512;

/// Seconds since 1970 and nanoseconds within the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// What an entry makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A file with data.
    #[default]
    File,
    /// Another name of an earlier entry.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// One entry, with what extension headers said about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The name as it stands in the archive.
    pub name: Vec<u8>,
    /// Target of a link.
    pub link: Vec<u8>,
    /// What it makes.
    pub kind: Kind,
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size of the file in bytes, holes included.
    pub size: u64,
    /// Last modification.
    pub mtime: Timestamp,
    /// Last access, if told.
    pub atime: Option<Timestamp>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes: name and value.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the data of a sparse file goes: offset and length, ascending. None: it is all data.
    pub segments: Option<Vec<(u64, u64)>>,
}

/// The fixed fields of a header block, not yet interpreted together with extensions.
pub(crate) struct RawHeader<'a>(&'a [u8; BLOCK]);

impl<'a> RawHeader<'a> {
    /// Checks the checksum. None: the block is all zeros.
    pub(crate) fn parse(block: &'a [u8; BLOCK]) -> Result<Option<Self>> {
        if block.iter().all(|&b| b == 0) {
            return Ok(None);
        }
        let raw = Self(block);
        let field = 148..156;
        let outside = |n: &usize| !field.contains(n);
        let unsigned: i64 = (0..BLOCK).map(|n| if outside(&n) { i64::from(block[n]) } else { 32 }).sum();
        let signed: i64 = (0..BLOCK).map(|n| if outside(&n) { i64::from(block[n] as i8) } else { 32 }).sum();
        let told = number(&block[148..156]).ok_or_else(|| ArchiveError::Malformed("checksum".to_owned()))?;
        if told != unsigned && told != signed {
            return Err(ArchiveError::Malformed("checksum mismatch".to_owned()));
        }
        Ok(Some(raw))
    }

    pub(crate) fn kind(&self) -> u8 {
        self.0[156]
    }

    /// Name with ustar's prefix.
    pub(crate) fn name(&self) -> Vec<u8> {
        let name = until_nul(&self.0[..100]);
        let prefix = if self.is_ustar() { until_nul(&self.0[345..500]) } else { &[] };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub(crate) fn link(&self) -> &[u8] {
        until_nul(&self.0[157..257])
    }

    pub(crate) fn size(&self) -> Result<u64> {
        self.unsigned(124..136, "size")
    }

    pub(crate) fn mode(&self) -> Result<u32> {
        Ok((self.unsigned(100..108, "mode")? & 0o7777) as u32)
    }

    pub(crate) fn uid(&self) -> Result<u64> {
        self.unsigned(108..116, "uid")
    }

    pub(crate) fn gid(&self) -> Result<u64> {
        self.unsigned(116..124, "gid")
    }

    pub(crate) fn mtime(&self) -> Result<i64> {
        number(&self.0[136..148]).ok_or_else(|| ArchiveError::Malformed("mtime".to_owned()))
    }

    pub(crate) fn device(&self) -> Result<(u32, u32)> {
        let part = |range: std::ops::Range<usize>| {
            let value = self.unsigned(range, "device number")?;
            u32::try_from(value).map_err(|_| ArchiveError::Malformed("device number".to_owned()))
        };
        Ok((part(329..337)?, part(337..345)?))
    }

    pub(crate) fn block(&self) -> &[u8; BLOCK] {
        self.0
    }

    fn is_ustar(&self) -> bool {
        &self.0[257..263] == b"ustar\0"
    }

    fn unsigned(&self, range: std::ops::Range<usize>, what: &str) -> Result<u64> {
        number(&self.0[range])
            .and_then(|value| u64::try_from(value).ok())
            .ok_or_else(|| ArchiveError::Malformed(what.to_owned()))
    }
}

pub(crate) fn until_nul(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|&b| b == 0).unwrap_or(field.len())]
}

/// Octal text, or GNU's big-endian binary with the top bit set.
pub(crate) fn number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let negative = first & 0x40 != 0;
        let start = if negative { i128::from(first | 0x80) - 256 } else { i128::from(first & 0x7f) };
        let value = rest.iter().try_fold(start, |value, &b| {
            let next = value * 256 + i128::from(b);
            (next.unsigned_abs() < 1 << 100).then_some(next)
        })?;
        return i64::try_from(value).ok();
    }
    let text = std::str::from_utf8(until_nul(field)).ok()?.trim_matches([' ', '\0']);
    if text.is_empty() { Some(0) } else { i64::from_str_radix(text, 8).ok() }
}
