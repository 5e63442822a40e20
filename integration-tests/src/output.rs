//! What a command said and how it ended.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

/// What a command said.
#[derive(Debug)]
pub struct Output {
    /// Exit code; 128 + n for signals.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Runs a command to its end, with nothing on its standard input.
    ///
    /// # Panics
    /// It can't be started.
    pub fn of(command: &mut Command) -> Self {
        command.stdin(Stdio::null());
        let output = command.output().unwrap_or_else(|e| panic!("run {command:?}: {e}"));
        Self::from(output)
    }

    /// The output of a command that must succeed, without its last line feed.
    ///
    /// # Panics
    /// It failed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout.trim_end_matches('\n').to_owned()
    }
}

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Self {
        Self {
            code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
