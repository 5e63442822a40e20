//! The engine's command line, docker's in form.
//!
//! It speaks only the Docker Engine API over HTTP/1.1. A command is a file in [`commands`]: a struct whose
//! comments are the help, and `run`. [`client`] carries requests, [`stream`] attached sessions, [`embedded`]
//! starts a daemon where none listens. One thread; nothing outlives the command.

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

use std::ffi::OsString;

use clap::Parser;

/// Runs a command line; answers the exit code.
pub fn main(args: impl Iterator<Item = OsString>) -> u8 {
    let cli = match cli::Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => {
            let help = !e.use_stderr();
            let _ = e.print();
            // docker's: 125 for a wrong flag, 0 for help.
            return if help { 0 } else { 125 };
        }
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
