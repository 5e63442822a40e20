//! Points in time: nanoseconds since 1970 in records, RFC 3339 on the wire.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What Docker shows for "never".
pub const NEVER: &str = "0001-01-01T00:00:00Z";

/// Nanoseconds since 1970 now.
pub fn now() -> i64 {
    from_system(SystemTime::now())
}

/// Nanoseconds since 1970 of a system time; 0 before that.
pub fn from_system(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// As Go writes it: UTC, the fraction without trailing zeros; `None` is [`NEVER`].
pub fn rfc3339(nanos: Option<i64>) -> String {
    nanos
        .and_then(|nanos| OffsetDateTime::from_unix_timestamp_nanos(nanos.into()).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| NEVER.into())
}

/// Parses RFC 3339 or `seconds[.nanos]`.
///
/// # Errors
/// Neither of them; the text is the one Go's parser gives.
pub fn parse(text: &str) -> Result<i64, String> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return i64::try_from(time.unix_timestamp_nanos()).map_err(|_| format!("{text:?} is out of range"));
    }
    let bad = || format!("strconv.ParseInt: parsing {text:?}: invalid syntax");
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().map_err(|_| bad())?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let nanos: i64 = format!("{fraction:0<9}")[..9].parse().map_err(|_| bad())?;
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_lose_trailing_zeros_and_never_is_year_one() {
        assert_eq!(rfc3339(Some(1_500_000_000)), "1970-01-01T00:00:01.5Z");
        assert_eq!(rfc3339(Some(1_000_000_000)), "1970-01-01T00:00:01Z");
        assert_eq!(rfc3339(None), NEVER);
    }

    #[test]
    fn seconds_with_nanos_and_rfc_3339_are_read() {
        assert_eq!(parse("12.5"), Ok(12_500_000_000));
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(parse("1970-01-01T00:00:02Z"), Ok(2_000_000_000));
        assert!(parse("abc").is_err_and(|text| text.contains("ParseInt")));
    }
}
