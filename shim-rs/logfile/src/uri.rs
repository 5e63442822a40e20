//! The stdio URIs that ask for a log, and the same as arguments of a `binary://` logger.
//!
//! `FORMAT:///PATH?key=value&…` with FORMAT `json-file`, `local` or `cri`. Keys: `max-size` (bytes, or with
//! `k`, `m`, `g`; absent: never rotated), `max-file` (files kept in all, default 1), `compress`, `tee` (a fifo
//! that gets a copy while somebody reads it), `tee-mark` (see [`crate::Mark`]), `tee-wait` (a slow reader makes
//! the process wait, one that has gone doesn't), `attr.KEY`. Path and values are
//! percent-encoded. An unknown key is an error: a log that isn't kept as asked is worse than none.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::codec::Format;
use crate::error::{Error, Result};

/// Where and how one output is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogUri {
    /// Format of the file.
    pub format: Format,
    /// Absolute path of the file.
    pub path: PathBuf,
    /// A file of at least so many bytes is rotated before the next write.
    pub max_size: Option<u64>,
    /// How many files there may be, the current one among them; at least 1.
    pub max_file: u32,
    /// Rotated files are compressed by gzip.
    pub compress: bool,
    /// A fifo that gets the raw bytes while somebody reads it.
    pub tee: Option<PathBuf>,
    /// Each reader of the tee gets a [`crate::Mark`] first.
    pub tee_mark: bool,
    /// A reader of the tee that is slow is waited for; else it loses the tee and has to go to the log.
    pub tee_wait: bool,
    /// Attributes for every entry (json-file only).
    pub attrs: BTreeMap<String, String>,
}

/// Says whether a stdio string names one of our formats.
pub fn is_log_uri(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| Format::from_name(scheme).is_some())
}

impl LogUri {
    /// A log that is never rotated.
    pub fn new(format: Format, path: impl Into<PathBuf>) -> Self {
        Self {
            format,
            path: path.into(),
            max_size: None,
            max_file: 1,
            compress: false,
            tee: None,
            tee_mark: false,
            tee_wait: false,
            attrs: BTreeMap::new(),
        }
    }

    fn set(&mut self, key: &str, value: &str) -> std::result::Result<(), String> {
        match key {
            "max-size" => {
                self.max_size = Some(parse_size(value).ok_or_else(|| format!("{value:?} is no size"))?)
            }
            "max-file" => {
                self.max_file = match value.parse() {
                    Ok(number) if number >= 1 => number,
                    _ => return Err(format!("max-file is a number from 1, not {value:?}")),
                };
            }
            "compress" => self.compress = parse_bool(key, value)?,
            "tee" if value.starts_with('/') => self.tee = Some(PathBuf::from(value)),
            "tee" => return Err(format!("tee is an absolute path, not {value:?}")),
            "tee-mark" => self.tee_mark = parse_bool(key, value)?,
            "tee-wait" => self.tee_wait = parse_bool(key, value)?,
            _ => match key.strip_prefix("attr.") {
                Some(name) => drop(self.attrs.insert(name.to_owned(), value.to_owned())),
                None => return Err(format!("unknown key {key:?}")),
            },
        }
        Ok(())
    }

    /// Keys and values, without format and path.
    fn pairs(&self) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        let mut put = |key: &str, value: String| pairs.push((key.to_owned(), value));
        if let Some(size) = self.max_size {
            put("max-size", size.to_string());
        }
        if self.max_file != 1 {
            put("max-file", self.max_file.to_string());
        }
        if self.compress {
            put("compress", "true".into());
        }
        if let Some(tee) = &self.tee {
            put("tee", tee.to_string_lossy().into_owned());
        }
        if self.tee_mark {
            put("tee-mark", "true".into());
        }
        if self.tee_wait {
            put("tee-wait", "true".into());
        }
        self.attrs.iter().for_each(|(key, value)| put(&format!("attr.{key}"), value.clone()));
        pairs
    }
}

impl FromStr for LogUri {
    type Err = Error;

    fn from_str(uri: &str) -> Result<Self> {
        let refuse = |reason: &str| Error::Uri { uri: uri.to_owned(), reason: reason.to_owned() };
        let (scheme, rest) = uri.split_once("://").ok_or_else(|| refuse("it has no scheme"))?;
        let format = Format::from_name(scheme).ok_or_else(|| refuse("the scheme is no log format"))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = decode(path);
        if path.first() != Some(&b'/') || path.last() == Some(&b'/') || path.contains(&0) {
            return Err(refuse("the path is no absolute path of a file"));
        }
        let mut log = Self::new(format, PathBuf::from(std::ffi::OsString::from_vec(path)));
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let text = |part| String::from_utf8(decode(part)).map_err(|_| refuse("the query isn't UTF-8"));
            log.set(&text(key)?, &text(value)?).map_err(|reason| refuse(&reason))?;
        }
        Ok(log)
    }
}

impl fmt::Display for LogUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.format, encode(self.path.as_os_str().as_bytes()))?;
        write_query(f, &self.pairs())
    }
}

/// The same log written by a logger process, for shims that know only `binary://`.
///
/// The shim binary is such a logger. containerd turns the query into arguments, `key value key value` in any
/// order; stdout and stderr go to one log, each with its own tee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinaryLogger {
    /// The log; its `tee` is that of stdout.
    pub log: LogUri,
    /// The tee of stderr.
    pub tee_stderr: Option<PathBuf>,
}

impl BinaryLogger {
    /// The URI that makes a shim run `binary` as this logger.
    pub fn uri(&self, binary: &Path) -> String {
        let mut pairs = vec![
            ("logger".to_owned(), self.log.format.name().to_owned()),
            ("path".to_owned(), self.log.path.to_string_lossy().into_owned()),
        ];
        pairs.extend(self.log.pairs());
        if let Some(tee) = &self.tee_stderr {
            pairs.push(("tee-stderr".into(), tee.to_string_lossy().into_owned()));
        }
        struct Uri<'a>(&'a Path, &'a [(String, String)]);
        impl fmt::Display for Uri<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "binary://{}", encode(self.0.as_os_str().as_bytes()))?;
                write_query(f, self.1)
            }
        }
        Uri(binary, &pairs).to_string()
    }

    /// Reads a logger's arguments; `None` if they have no `logger` key, so are somebody else's.
    ///
    /// # Errors
    /// An unknown format or key, a bad value, no path.
    pub fn from_args(args: &[String]) -> Option<Result<Self>> {
        let pairs: Vec<(&str, &str)> =
            args.chunks(2).map(|pair| (pair[0].as_str(), pair.get(1).map_or("", String::as_str))).collect();
        let find = |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let format = find("logger")?;
        let parse = || {
            let format = Format::from_name(format).ok_or_else(|| format!("unknown format {format:?}"))?;
            let path = find("path").filter(|path| path.starts_with('/')).ok_or("it has no absolute path")?;
            let mut logger = Self { log: LogUri::new(format, path), tee_stderr: None };
            for (key, value) in &pairs {
                match *key {
                    "logger" | "path" => {}
                    "tee-stderr" => logger.tee_stderr = Some(PathBuf::from(value)),
                    _ => logger.log.set(key, value)?,
                }
            }
            Ok(logger)
        };
        Some(parse().map_err(|reason: String| Error::Uri { uri: args.join(" "), reason }))
    }
}

fn write_query(f: &mut fmt::Formatter<'_>, pairs: &[(String, String)]) -> fmt::Result {
    pairs.iter().enumerate().try_for_each(|(index, (key, value))| {
        let mark = if index == 0 { '?' } else { '&' };
        write!(f, "{mark}{}={}", encode(key.as_bytes()), encode(value.as_bytes()))
    })
}

fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' | b',' | b':' => {
                out.push(*byte as char);
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

/// Decodes a part of a URI; a lone `%` stands for itself.
pub fn percent_decode(text: &str) -> std::ffi::OsString {
    std::ffi::OsString::from_vec(decode(text))
}

/// A lone `%` stands for itself.
fn decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let escaped = tail.get(..2).filter(|_| *byte == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(value) = escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            out.push(value);
            rest = &tail[2..];
        } else {
            out.push(*byte);
            rest = tail;
        }
    }
    out
}

fn parse_bool(key: &str, value: &str) -> std::result::Result<bool, String> {
    value.parse().map_err(|_| format!("{key} is true or false, not {value:?}"))
}

/// `10m`, `2k`, `1g`, plain bytes; units are powers of 1024, a `b` behind them is allowed. None for zero and for
/// what is no size.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let (digits, unit) = match lower.char_indices().last() {
        Some((at, 'k')) => (&lower[..at], 1 << 10),
        Some((at, 'm')) => (&lower[..at], 1 << 20),
        Some((at, 'g')) => (&lower[..at], 1 << 30),
        _ => (lower, 1u64),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).filter(|size| *size > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_uri_reads_back_as_it_was_written() {
        let uri =
            "json-file:///var/l%20og/a.log?max-size=10m&max-file=3&compress=true&tee=/run/f&attr.tag=a%26b";
        let log: LogUri = uri.parse().expect("a good URI");
        assert_eq!(log.path, Path::new("/var/l og/a.log"));
        assert_eq!((log.max_size, log.max_file, log.compress), (Some(10 << 20), 3, true));
        assert_eq!(log.attrs["tag"], "a&b");
        assert_eq!(log.to_string().parse::<LogUri>().expect("own output"), log);
    }

    #[test]
    fn bad_uris_are_refused_with_the_reason() {
        for (uri, reason) in [
            ("json-file://relative", "absolute"),
            ("json-file:///a?max-size=lots", "no size"),
            ("json-file:///a?max-file=0", "from 1"),
            ("json-file:///a?compress=perhaps", "true or false"),
            ("json-file:///a?colour=red", "unknown key"),
            ("file:///a", "no log format"),
            ("/a", "no scheme"),
        ] {
            let error = uri.parse::<LogUri>().expect_err(uri).to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert!(is_log_uri("cri:///a") && !is_log_uri("file:///a") && !is_log_uri("/a"));
    }

    #[test]
    fn a_binary_uri_becomes_arguments_in_any_order() {
        let log: LogUri = "json-file:///l?max-size=5&attr.a=b".parse().expect("a good URI");
        let logger = BinaryLogger { log, tee_stderr: Some("/e".into()) };
        let uri = logger.uri(Path::new("/bin/shim"));
        let mut args: Vec<Vec<String>> = uri
            .split_once('?')
            .expect("a query")
            .1
            .split('&')
            .map(|pair| pair.split('=').map(|part| String::from_utf8(decode(part)).expect("UTF-8")).collect())
            .collect();
        args.reverse();
        let read = BinaryLogger::from_args(&args.concat()).expect("a logger").expect("good arguments");
        assert_eq!(read, logger);
        assert!(BinaryLogger::from_args(&["-namespace".into(), "x".into()]).is_none());
    }
}
