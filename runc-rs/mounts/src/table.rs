//! `/proc/thread-self/mountinfo`, parsed.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub id: u64,
    /// Of the mount below it.
    pub parent: u64,
    /// Device number of the file system.
    pub major: u32,
    /// Device number of the file system.
    pub minor: u32,
    /// What of the file system is seen.
    pub root: PathBuf,
    /// Where.
    pub target: PathBuf,
    /// Options of the mount.
    pub options: String,
    /// `shared:N`, `master:N`, `propagate_from:N`, `unbindable`.
    pub propagation: Vec<String>,
    /// Type of the file system.
    pub kind: String,
    /// Device or name.
    pub source: String,
    /// Options of the file system.
    pub super_options: String,
}

/// The table of the calling thread's mount namespace, oldest first.
pub fn read() -> Result<Vec<Entry>> {
    let path = "/proc/thread-self/mountinfo";
    let text = std::fs::read(path).map_err(|e| Error::path("read", path, e))?;
    Ok(parse(&text))
}

/// From the file's text. Lines that can't be understood are passed over.
pub fn parse(text: &[u8]) -> Vec<Entry> {
    text.split(|b| *b == b'\n').filter_map(line).collect()
}

/// The mounts at and below `path`, the deepest and newest first: the order to unmount in.
pub fn at_and_below(table: &[Entry], path: &Path) -> Vec<PathBuf> {
    table.iter().rev().filter(|e| e.target.starts_with(path)).map(|e| e.target.clone()).collect()
}

fn line(line: &[u8]) -> Option<Entry> {
    let fields: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    let text = |at: usize| Some(String::from_utf8_lossy(fields.get(at)?).into_owned());
    let dash = fields.iter().position(|f| *f == b"-")?;
    let device = text(2)?;
    let (major, minor) = device.split_once(':')?;
    Some(Entry {
        id: text(0)?.parse().ok()?,
        parent: text(1)?.parse().ok()?,
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        root: unescape(fields.get(3)?),
        target: unescape(fields.get(4)?),
        options: text(5)?,
        propagation: (6..dash).filter_map(text).collect(),
        kind: text(dash + 1)?,
        source: unescape(fields.get(dash + 2)?).to_string_lossy().into_owned(),
        super_options: text(dash + 3).unwrap_or_default(),
    })
}

/// `\040` and the like: three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|d| *first == b'\\' && d.iter().all(|b| (b'0'..=b'7').contains(b)));
        match digits {
            Some(digits) => {
                out.push(digits.iter().fold(0u8, |n, d| n.wrapping_mul(8).wrapping_add(d - b'0')));
                rest = &tail[3..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_escapes_and_optional_fields() {
        let text = b"36 35 98:0 /m\\0401 /mnt/a\\134b\\011c rw,noatime master:1 shared:7 - ext3 /dev/r\\040t rw,errors=continue\nrubbish\n";
        let entries = parse(text);
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].target, Path::new("/mnt/a\\b\tc"));
        assert_eq!(entries[0].root, Path::new("/m 1"));
        assert_eq!(entries[0].propagation, ["master:1", "shared:7"]);
        assert_eq!((entries[0].kind.as_str(), entries[0].source.as_str()), ("ext3", "/dev/r t"));
    }

    #[test]
    fn below_is_by_component_and_newest_first() {
        let text = b"1 0 0:1 / /a rw - t s rw\n2 1 0:1 / /ab rw - t s rw\n3 1 0:1 / /a/b rw - t s rw\n";
        assert_eq!(at_and_below(&parse(text), Path::new("/a")), [Path::new("/a/b"), Path::new("/a")]);
    }
}
