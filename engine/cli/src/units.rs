//! Sizes and times as docker words them.

use anyhow::{Context, bail};

/// `1.24MB`: decimal, `digits` significant.
pub(crate) fn size(bytes: f64, digits: usize) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    scaled(bytes, 1000.0, &units, digits)
}

/// `1.5MiB`: binary, four significant digits.
pub(crate) fn binary_size(bytes: f64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"], 4)
}

fn scaled(mut value: f64, base: f64, units: &[&str], digits: usize) -> String {
    let mut unit = 0;
    // An empty sum is -0.
    value = value.max(0.0) + 0.0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!("{}{}", significant(value, digits), units[unit])
}

/// As Go's `%.Ng`: N significant digits, no zeros behind the point.
fn significant(value: f64, digits: usize) -> String {
    let whole = if value < 1.0 { 1 } else { value.log10().floor() as usize + 1 };
    let text = format!("{:.*}", digits.saturating_sub(whole), value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// `8 seconds`, `About a minute`, `3 weeks`.
pub(crate) fn duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds as f64 / 3600.0).round() as i64);
    match () {
        () if seconds < 1 => "Less than a second".into(),
        () if seconds == 1 => "1 second".into(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".into(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".into(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 14 => format!("{} days", hours / 24),
        () if hours < 24 * 63 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", hours / 24 / 365),
    }
}

/// `512m`, `1.5g`, `64KiB`: binary, as docker reads memory sizes.
pub(crate) fn bytes(text: &str) -> anyhow::Result<i64> {
    let lower = text.trim().to_lowercase();
    let number = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = lower[number.len()..].trim();
    let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(unit);
    let factor = match unit {
        "" => 1u64,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        "p" => 1 << 50,
        _ => bail!("invalid size: '{text}'"),
    };
    let value: f64 = number.trim().parse().ok().with_context(|| format!("invalid size: '{text}'"))?;
    if value < 0.0 {
        bail!("invalid size: '{text}'");
    }
    Ok((value * factor as f64) as i64)
}

/// A duration as Go writes it (`1h30m`, `10s`, `1.5h`), in nanoseconds.
pub(crate) fn go_duration(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut total) = (text, 0f64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let units =
            [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];
        let (unit, nanos) = units.into_iter().find(|(u, _)| rest.starts_with(u))?;
        total += value * nanos;
        rest = &rest[unit.len()..];
    }
    (!text.is_empty()).then_some(total as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_dockers_digits() {
        let cases = [
            (0.0, "0B"),
            (-0.0, "0B"),
            (1_235_000.0, "1.24MB"),
            (4_500_000.0, "4.5MB"),
            (103e6, "103MB"),
            (999.0, "999B"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes, 3), text);
        }
        assert_eq!(binary_size(1_572_864.0), "1.5MiB");
    }

    #[test]
    fn durations_have_dockers_words() {
        let cases = [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (61, "About a minute"),
            (600, "10 minutes"),
            (3600, "About an hour"),
            (200_000, "2 days"),
            (86_400 * 20, "2 weeks"),
            (86_400 * 100, "3 months"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn memory_sizes_are_binary() {
        assert_eq!(bytes("512m").unwrap(), 512 << 20);
        assert_eq!(bytes("1.5GiB").unwrap(), 3 << 29);
        assert_eq!(bytes("64kb").unwrap(), 65536);
        assert!(bytes("x").is_err() && bytes("5q").is_err());
    }

    #[test]
    fn go_durations_add_up() {
        assert_eq!(go_duration("1h30m"), Some(5_400_000_000_000));
        assert_eq!(go_duration("250ms"), Some(250_000_000));
        assert_eq!((go_duration("5"), go_duration("x"), go_duration("")), (None, None, None));
    }
}
