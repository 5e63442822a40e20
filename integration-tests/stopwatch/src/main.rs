//! `stopwatch RESULT COMMAND [ARG…]`: starts COMMAND once and writes its cost as one line to RESULT.
//!
//! The line is `STATUS WALL_US USER_US SYSTEM_US PEAK_KB`: the exit code (128 + n for a signal), the time
//! from just before the start to just after the reaping, the CPU time of the command and of every
//! descendant that was waited for, and the largest resident set among them.
//!
//! A program of its own, static and tiny, because the kernel counts the memory of the process that a
//! command was started from as that command's: the peak can't read below the starter's own size.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(result), Some(program)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: stopwatch RESULT COMMAND [ARG…]");
        return ExitCode::from(2);
    };
    let mut command = Command::new(&program);
    command.args(arguments);
    let start = Instant::now();
    let status = match command.status() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("stopwatch: start {}: {error}", program.display());
            return ExitCode::from(127);
        }
    };
    let wall = start.elapsed();
    // One child was ever started, so all children's usage is this command's.
    let usage = match getrusage(UsageWho::RUSAGE_CHILDREN) {
        Ok(usage) => usage,
        Err(error) => {
            eprintln!("stopwatch: read the usage: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    let line = format!(
        "{code} {} {} {} {}\n",
        wall.as_micros(),
        usage.user_time().num_microseconds(),
        usage.system_time().num_microseconds(),
        usage.max_rss()
    );
    if let Err(error) = std::fs::write(&result, line) {
        eprintln!("stopwatch: write {}: {error}", result.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
