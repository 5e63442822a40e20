//! The log that callers read: go-runc takes the last error line of `--log FILE --log-format json`, people
//! read text on stderr.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Debug,
    Warning,
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Where lines go, and how they look.
#[derive(Debug)]
pub(crate) struct Log {
    file: Option<File>,
    json: bool,
    debug: bool,
}

impl Log {
    /// `path` from `--log` (stderr without it), `format` from `--log-format`.
    pub(crate) fn open(path: Option<PathBuf>, format: &str, debug: bool) -> anyhow::Result<Self> {
        let json = match format {
            "json" => true,
            "text" | "" => false,
            other => bail!("invalid log-format: {other}"),
        };
        let file = match path.filter(|p| !p.as_os_str().is_empty()) {
            Some(path) => {
                let file = OpenOptions::new().append(true).create(true).open(&path);
                Some(file.with_context(|| format!("open {}", path.display()))?)
            }
            None => None,
        };
        Ok(Self { file, json, debug })
    }

    /// The log of a command line that could not be read that far.
    pub(crate) fn stderr() -> Self {
        Self { file: None, json: false, debug: false }
    }

    pub(crate) fn debug(&self, message: &str) {
        if self.debug {
            self.line(Level::Debug, message);
        }
    }

    pub(crate) fn warn(&self, message: &str) {
        self.line(Level::Warning, message);
    }

    /// The end of a command: into the log, and to stderr as well when the log is elsewhere.
    pub(crate) fn fatal(&self, message: &str) {
        self.line(Level::Error, message);
        if self.file.is_some() {
            drop(writeln!(std::io::stderr(), "{message}"));
        }
    }

    fn line(&self, level: Level, message: &str) {
        let time = rfc3339(SystemTime::now(), false);
        let line = if self.json {
            let text = serde_json::Value::from(message);
            format!("{{\"level\":\"{}\",\"msg\":{text},\"time\":\"{time}\"}}\n", level.name())
        } else if self.file.is_none() && std::io::stderr().is_terminal() {
            format!("{}[0000] {message}\n", &level.name().to_uppercase()[..4])
        } else {
            format!("time=\"{time}\" level={} msg={message:?}\n", level.name())
        };
        // One write per line, so that lines of several processes don't mix; a full disk must not hide the error.
        match &self.file {
            Some(file) => drop((&mut &*file).write_all(line.as_bytes())),
            None => drop(std::io::stderr().write_all(line.as_bytes())),
        }
    }
}

/// A moment in UTC, to the second or with nanoseconds, as RFC 3339 wants it.
pub(crate) fn rfc3339(time: SystemTime, nanos: bool) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = ((since.as_secs() / 86_400) as i64, since.as_secs() % 86_400);
    // Days to a civil date: eras of 400 years that start on 1 March, so that the leap day is the last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let mut text = format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        second / 3_600,
        second / 60 % 60,
        second % 60
    );
    if nanos && since.subsec_nanos() != 0 {
        let digits = format!("{:09}", since.subsec_nanos());
        let _ = write!(text, ".{}", digits.trim_end_matches('0'));
    }
    text.push('Z');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(rfc3339(UNIX_EPOCH, true), "1970-01-01T00:00:00Z");
        let leap = UNIX_EPOCH + Duration::new(951_782_400, 120_000_000);
        assert_eq!(rfc3339(leap, true), "2000-02-29T00:00:00.12Z");
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(1_795_540_645), false), "2026-11-24T17:17:25Z");
    }
}
