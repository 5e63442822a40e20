//! Thin: arguments to the library, its answer to an exit code.

fn main() -> std::process::ExitCode {
    runc_rs::main(std::env::args_os().collect())
}
