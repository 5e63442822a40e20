//! Signals by name and number.

use crate::error::{Error, Result};

const NAMES: &[(&str, u32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("RTMIN", 34),
    ("RTMAX", 64),
];

/// Reads a signal: a name in any case with or without SIG, `RTMIN+n`, or a number.
///
/// # Errors
/// 400, with the reason.
pub fn parse(text: &str) -> Result<u32> {
    if let Ok(number) = text.parse::<u32>() {
        return if (1..=64).contains(&number) {
            Ok(number)
        } else {
            Err(Error::invalid(format!("the linux daemon does not support signal {number}")))
        };
    }
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let known = |name: &str| NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    let real_time = || {
        let up = bare
            .strip_prefix("RTMIN+")
            .and_then(|number| number.parse::<u32>().ok())
            .map(|number| 34 + number);
        let down = bare
            .strip_prefix("RTMAX-")
            .and_then(|number| number.parse::<u32>().ok())
            .and_then(|number| 64u32.checked_sub(number));
        up.or(down).filter(|number| (34..=64).contains(number))
    };
    known(bare).or_else(real_time).ok_or_else(|| Error::invalid(format!("invalid signal: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read() {
        for (text, number) in [("TERM", 15), ("sigkill", 9), ("9", 9), ("SIGRTMIN+1", 35), ("RTMAX-1", 63)] {
            assert_eq!(parse(text).expect(text), number);
        }
        assert_eq!(parse("BOGUS").expect_err("bogus").to_string(), "invalid signal: BOGUS");
        assert!(parse("99").expect_err("99").to_string().contains("does not support signal 99"));
    }
}
