//! Complaints: lines to standard error, which is the daemon's log fifo.
//!
//! `eprintln!` panics where nobody reads: a daemon that is away mustn't end its shims.

/// Says a line on standard error if anybody listens.
macro_rules! complain {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}

pub(crate) use complain;
