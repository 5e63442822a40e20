//! An OCI runtime, in place of runc.
//!
//! A command line is parsed ([`cli`]), a spec becomes a checked plan (`config`), the plan is executed by a
//! child in its new namespaces (`init`), and what later commands need is kept in a small state file
//! (`container`). No async, and no thread ever: the child is a plain copy of a single-threaded process.

mod cli;
mod commands;
mod config;
mod container;
mod error;
mod features;
mod init;
mod log;
mod sys;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs one command line (with the program's name first) and gives the exit code.
pub fn main(args: Vec<OsString>) -> ExitCode {
    ExitCode::from(commands::dispatch(args))
}
