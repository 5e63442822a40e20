//! Words for the daemon's log, which may not be there to take them.

use std::fmt;
use std::io::Write;

/// Writes a line to stderr. That is a fifo whose reader dies with the daemon, and `eprintln` would panic then; a
/// line that nobody takes is dropped.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// [`line`] with the arguments of `format!`.
macro_rules! report {
    ($($arg:tt)*) => { $crate::report::line(format_args!($($arg)*)) };
}
pub(crate) use report;
