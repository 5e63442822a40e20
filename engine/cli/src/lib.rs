//! The engine's command line, docker's in form.
//!
//! It speaks only the Docker Engine API over HTTP/1.1. A command is a file in [`commands`]: a struct whose
//! comments are the help, and `run`. [`client`] carries requests, [`stream`] attached sessions, [`embedded`]
//! starts a daemon where none listens. One thread; nothing outlives the command.

/// A line on standard output. Whoever closed it (`| head`) doesn't want to hear of it.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// The same without the line's end.
macro_rules! say_raw {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stdout(), $($text)*);
    }};
}

mod cli;
mod client;
mod commands;
mod container;
mod credentials;
mod embedded;
mod error;
mod filters;
mod host;
mod json;
mod progress;
mod signals;
mod stream;
mod table;
mod template;
mod timestamps;
mod tty;
mod units;
mod usage;

use std::ffi::OsString;

use clap::Parser;

/// Runs a command line; answers the exit code.
pub fn main(args: impl Iterator<Item = OsString>) -> u8 {
    let words: Vec<String> = args.map(|a| a.to_string_lossy().into_owned()).collect();
    let cli = match cli::Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(e) => return usage::report(&e, &words),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("engine: start the event loop: {e}");
            return 1;
        }
    };
    let code = match runtime.block_on(cli.run()) {
        Ok(code) => code,
        Err(e) => error::report(&e),
    };
    // A thread that still reads standard input must not hold the exit up.
    runtime.shutdown_background();
    code
}
