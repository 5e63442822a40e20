//! PAX extended headers: `LENGTH KEY=VALUE\n` records in front of an entry.

use crate::error::{ArchiveError, Result};
use crate::header::Timestamp;

/// What the records said about the next entry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    pub(crate) mtime: Option<Timestamp>,
    pub(crate) atime: Option<Timestamp>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) sparse: SparseRecords,
}

/// GNU's records about a sparse file, in the formats 0.0, 0.1 and 1.0.
#[derive(Clone, Debug, Default)]
pub(crate) struct SparseRecords {
    pub(crate) major: Option<u64>,
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) real_size: Option<u64>,
    /// Offsets and lengths in turn.
    pub(crate) map: Option<Vec<u64>>,
}

impl Records {
    /// Adds the records of one header.
    pub(crate) fn read(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() && data[0] != 0 {
            let space = data.iter().take(20).position(|&b| b == b' ').ok_or_else(|| bad("length"))?;
            let length =
                decimal(&data[..space]).and_then(|n| usize::try_from(n).ok()).ok_or_else(|| bad("length"))?;
            if length <= space + 1 || length > data.len() || data[length - 1] != b'\n' {
                return Err(bad("length"));
            }
            let record = &data[space + 1..length - 1];
            let equals = record.iter().position(|&b| b == b'=').ok_or_else(|| bad("no \"=\""))?;
            self.set(&record[..equals], &record[equals + 1..])?;
            data = &data[length..];
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let text = || if value.contains(&0) { Err(bad("NUL in a name")) } else { Ok(value.to_vec()) };
        let number = || decimal(value).ok_or_else(|| bad("number"));
        match key {
            b"path" => self.path = Some(text()?),
            b"linkpath" => self.link = Some(text()?),
            b"size" => self.size = Some(number()?),
            b"uid" => self.uid = Some(number()?),
            b"gid" => self.gid = Some(number()?),
            b"mtime" => self.mtime = Some(time(value).ok_or_else(|| bad("time"))?),
            b"atime" => self.atime = Some(time(value).ok_or_else(|| bad("time"))?),
            b"GNU.sparse.major" => self.sparse.major = Some(number()?),
            b"GNU.sparse.name" => self.sparse.name = Some(text()?),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.sparse.real_size = Some(number()?),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                self.sparse.map.get_or_insert_default().push(number()?);
            }
            b"GNU.sparse.map" => {
                let numbers = value.split(|&b| b == b',').map(decimal).collect::<Option<Vec<u64>>>();
                self.sparse.map = Some(numbers.ok_or_else(|| bad("sparse map"))?);
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    if name.is_empty() || name.contains(&0) {
                        return Err(bad("name of an extended attribute"));
                    }
                    self.xattrs.retain(|(known, _)| known != name);
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

fn bad(what: &str) -> ArchiveError {
    ArchiveError::Malformed(format!("pax record: {what}"))
}

pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) { None } else { text.parse().ok() }
}

/// `-12.345`: seconds with any number of decimals.
fn time(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9.9}").parse::<u32>().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        return Some(Timestamp {
            seconds: seconds.checked_sub(1)?,
            nanoseconds: 1_000_000_000 - nanoseconds,
        });
    }
    Some(Timestamp { seconds, nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_nanoseconds_and_sign() {
        let at = |text: &str| time(text.as_bytes()).map(|t| (t.seconds, t.nanoseconds));
        assert_eq!(at("12"), Some((12, 0)));
        assert_eq!(at("12.5"), Some((12, 500_000_000)));
        assert_eq!(at("12.1234567891"), Some((12, 123_456_789)));
        assert_eq!(at("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(at("x"), None);
    }

    #[test]
    fn broken_records_are_refused() {
        for bad in ["5 a=", "99 path=x\n", "0 a=b\n", "x a=b\n", "7 path\n", "-7 a=b\n", "13 path=a\0b\nxx"] {
            assert!(Records::default().read(bad.as_bytes()).is_err(), "{bad:?}");
        }
        let mut records = Records::default();
        records.read(b"10 path=x\n27 SCHILY.xattr.user.a=b=c\n\n").expect_err("length is one short");
        records = Records::default();
        records.read(b"10 path=x\n27 SCHILY.xattr.user.ab=c=\n\0\0").expect("good");
        assert_eq!(
            (records.path, records.xattrs),
            (Some(b"x".to_vec()), vec![(b"user.ab".to_vec(), b"c=".to_vec())])
        );
    }
}
