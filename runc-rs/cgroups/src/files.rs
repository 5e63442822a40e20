//! Control files: one write is one value, one read is one short text.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// Writes `value` in a single write(2), as the kernel's parsers expect.
pub(crate) fn write(dir: &Path, file: &str, value: &str) -> Result<()> {
    let path = dir.join(file);
    let answer = OpenOptions::new().write(true).open(&path).and_then(|mut f| f.write_all(value.as_bytes()));
    answer.map_err(|source| Error::Write { value: value.to_owned(), path, source })
}

pub(crate) fn read(dir: &Path, file: &str) -> Result<String> {
    let path = dir.join(file);
    let mut text = String::new();
    File::open(&path)
        .and_then(|mut f| f.read_to_string(&mut text))
        .map_err(|source| Error::io("read", &path, source))?;
    Ok(text)
}

/// The text of a file that may be missing on this kernel or with this controller off.
pub(crate) fn read_optional(dir: &Path, file: &str) -> Result<Option<String>> {
    match read(dir, file) {
        Ok(text) => Ok(Some(text)),
        Err(e) if matches!(e.errno(), Some(libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// A single number; `max` is `u64::MAX`, a missing file 0.
pub(crate) fn read_number(dir: &Path, file: &str) -> Result<u64> {
    Ok(read_optional(dir, file)?.map_or(0, |text| number(&text)))
}

pub(crate) fn number(text: &str) -> u64 {
    match text.trim() {
        "max" => u64::MAX,
        digits => digits.parse().unwrap_or(0),
    }
}

/// `key value` lines.
pub(crate) fn keyed(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once([' ', '='])?;
        Some((key, value.trim().parse().ok()?))
    })
}

/// The number behind `key` in `key value` lines, else 0.
pub(crate) fn lookup(text: &str, key: &str) -> u64 {
    keyed(text).find(|(k, _)| *k == key).map_or(0, |(_, v)| v)
}
