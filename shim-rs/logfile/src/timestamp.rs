//! Times of entries: nanoseconds since 1970, printed in two ways.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time with nanoseconds, good for the years 1678 to 2262.
///
/// `Display` gives RFC 3339 with the zeros at the fraction's end left out, as json-file has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The clock's time.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_parts(since.as_secs() as i64, since.subsec_nanos())
    }

    /// From seconds since 1970 and nanoseconds of that second.
    pub fn from_parts(seconds: i64, nanos: u32) -> Self {
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(nanos)))
    }

    /// From nanoseconds since 1970.
    pub fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since 1970.
    pub fn as_nanos(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339, with any offset.
    pub fn parse(text: &str) -> Option<Self> {
        let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
        i64::try_from(nanos).ok().map(Self)
    }

    /// RFC 3339 in UTC with all nine digits, as `timestamps=1` and CRI have it.
    pub fn fixed(self) -> String {
        format!("{}.{:09}Z", Seconds(self.0.div_euclid(1_000_000_000)), self.0.rem_euclid(1_000_000_000))
    }

    /// How long from `self` to `later`; zero if that is in the past.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_nanos(later.0.saturating_sub(self.0).max(0) as u64)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.div_euclid(1_000_000_000), self.0.rem_euclid(1_000_000_000));
        if nanos == 0 {
            return write!(f, "{}Z", Seconds(seconds));
        }
        let fraction = format!("{nanos:09}");
        write!(f, "{}.{}Z", Seconds(seconds), fraction.trim_end_matches('0'))
    }
}

/// `2026-11-24T14:39:18`.
struct Seconds(i64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = OffsetDateTime::from_unix_timestamp(self.0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = (t.year(), u8::from(t.month()), t.day());
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", t.hour(), t.minute(), t.second())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_at_the_end_of_the_fraction_are_left_out_but_fixed_keeps_nine_digits() {
        let time = Timestamp::from_parts(1_795_531_161, 607_226_600);
        assert_eq!(time.to_string(), "2026-11-24T14:39:21.6072266Z");
        assert_eq!(time.fixed(), "2026-11-24T14:39:21.607226600Z");
        assert_eq!(Timestamp::from_parts(0, 0).to_string(), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_printed_time_reads_back_to_the_nanosecond_whatever_the_offset() {
        let time = Timestamp::from_parts(1_795_531_161, 1);
        assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
        assert_eq!(Timestamp::parse(&time.fixed()), Some(time));
        assert_eq!(Timestamp::parse("1970-01-01T01:00:00.5+01:00"), Some(Timestamp::from_nanos(500_000_000)));
        assert_eq!(Timestamp::parse("yesterday"), None);
    }
}
