//! `--since` and `--until`: a duration back from now, a date, or seconds.

use anyhow::bail;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, PrimitiveDateTime, macros::format_description};

/// As `seconds.nanoseconds`.
pub(crate) fn parse(text: &str, now: OffsetDateTime) -> anyhow::Result<String> {
    if let Some(nanos) = crate::units::go_duration(text).filter(|_| text != "0") {
        return Ok(format(now - time::Duration::nanoseconds(nanos)));
    }
    if text.chars().all(|c| c.is_ascii_digit() || c == '.') && !text.is_empty() {
        return Ok(text.to_owned());
    }
    if let Ok(date) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(format(date));
    }
    let local = [
        format_description!(version = 2, "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond]"),
        format_description!(version = 2, "[year]-[month]-[day]T[hour]:[minute]:[second]"),
        format_description!(version = 2, "[year]-[month]-[day]T[hour]:[minute]"),
    ];
    let offset = time::UtcOffset::current_local_offset().unwrap_or(time::UtcOffset::UTC);
    for shape in local {
        if let Ok(date) = PrimitiveDateTime::parse(text, &shape) {
            return Ok(format(date.assume_offset(offset)));
        }
    }
    if let Ok(date) = time::Date::parse(text, format_description!(version = 2, "[year]-[month]-[day]")) {
        return Ok(format(date.midnight().assume_offset(offset)));
    }
    bail!("invalid value for \"since\": failed to parse value as time or duration: {text:?}")
}

fn format(date: OffsetDateTime) -> String {
    format!("{}.{:09}", date.unix_timestamp(), date.nanosecond())
}

/// `2026-11-24 14:39:19 +0000 UTC`.
pub(crate) fn date(seconds: i64) -> String {
    let shape = format_description!(version = 2, "[year]-[month]-[day] [hour]:[minute]:[second] +0000 UTC");
    let date = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    date.format(shape).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_dates_and_seconds_are_understood() {
        let now = OffsetDateTime::from_unix_timestamp(1000).unwrap();
        assert_eq!(parse("10s", now).unwrap(), "990.000000000");
        assert_eq!(parse("1970-01-01T00:00:05Z", now).unwrap(), "5.000000000");
        assert_eq!(parse("1234.5", now).unwrap(), "1234.5");
        assert!(parse("yesterday", now).is_err());
    }
}
