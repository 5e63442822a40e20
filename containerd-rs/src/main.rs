//! Thin: arguments to the library, its answer to an exit code.

fn main() -> std::process::ExitCode {
    containerd_rs::cli::run()
}
