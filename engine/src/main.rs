//! Thin: arguments to the library, its answer to an exit code.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match engine::run(engine::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engined: {error:#}");
            ExitCode::FAILURE
        }
    }
}
