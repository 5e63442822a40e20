//! Thin: arguments to the library, its answer to an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    shim::run(std::env::args().skip(1).collect())
}
