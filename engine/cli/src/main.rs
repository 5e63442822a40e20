//! Thin: arguments to the library, its answer to an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(engine_cli::main(std::env::args_os()))
}
