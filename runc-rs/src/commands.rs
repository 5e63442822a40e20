//! The commands, one file each: its flags, then what it does.

mod create;
mod delete;
mod events;
mod exec;
mod features;
mod kill;
mod list;
mod pause;
mod ps;
mod run;
mod spec;
mod start;
mod state;
mod update;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::anyhow;

use crate::cli::{Args, Flag, GLOBAL_FLAGS, Global, Order};
use crate::error::report;
use crate::log::Log;

/// A command of the table.
struct Command {
    name: &'static str,
    about: &'static str,
    usage: &'static str,
    flags: &'static [Flag],
    order: Order,
    run: fn(&Global, &Args) -> anyhow::Result<i32>,
    /// Of a failure, if not 1.
    failure: u8,
    /// What stands before its errors.
    prefix: &'static str,
    /// A process of ours goes into a container.
    enters: bool,
}

const ID: &str = "<container-id>";

const COMMANDS: &[Command] = &[
    command("create", "create a container", ID, create::FLAGS, create::run).entering("runc create failed"),
    command("delete", "delete any resources held by a container", ID, delete::FLAGS, delete::run),
    command(
        "events",
        "display the container's counters and kills for memory",
        ID,
        events::FLAGS,
        events::run,
    ),
    Command {
        order: Order::First,
        failure: 255,
        ..command("exec", "execute a new process inside the container", exec::USAGE, exec::FLAGS, exec::run)
            .entering("exec failed")
    },
    command("features", "show the enabled features", "", &[], features::run),
    command("kill", "send a signal to the container's init process", kill::USAGE, kill::FLAGS, kill::run),
    command("list", "list containers started with the given root", "", list::FLAGS, list::run),
    command("pause", "suspend all processes inside the container", ID, &[], pause::pause),
    Command {
        order: Order::First,
        ..command("ps", "display the processes of a container", ps::USAGE, ps::FLAGS, ps::run)
    },
    command("resume", "resume all processes that have been paused", ID, &[], pause::resume),
    command("run", "create and run a container", ID, run::FLAGS, run::run).entering("runc run failed"),
    command("spec", "create a new specification file", "", spec::FLAGS, spec::run),
    command("start", "execute the user defined process in a created container", ID, &[], start::run),
    command("state", "output the state of a container", ID, &[], state::run),
    command("update", "update container resource constraints", ID, update::FLAGS, update::run),
];

const fn command(
    name: &'static str,
    about: &'static str,
    usage: &'static str,
    flags: &'static [Flag],
    run: fn(&Global, &Args) -> anyhow::Result<i32>,
) -> Command {
    Command { name, about, usage, flags, order: Order::Mixed, run, failure: 1, prefix: "", enters: false }
}

impl Command {
    /// One that puts a process into a container: its errors say which command failed.
    const fn entering(mut self, prefix: &'static str) -> Self {
        self.prefix = prefix;
        self.enters = true;
        self
    }
}

/// Runs one command line and gives the exit code.
pub(crate) fn dispatch(args: Vec<OsString>) -> u8 {
    let parsed = match Args::parse(&mut args.into_iter().skip(1), GLOBAL_FLAGS, Order::First) {
        Ok(parsed) => parsed,
        Err(error) => {
            Log::stderr().fatal(&report(&error));
            return 1;
        }
    };
    if parsed.is_set("version") {
        return print(&version());
    }
    let Some(name) = parsed.rest.first().filter(|name| !parsed.help && *name != "help") else {
        return print(&overview());
    };
    let command = COMMANDS.iter().find(|c| *name == c.name);
    let args = command.map(|command| {
        let args = Args::parse(parsed.rest.iter().skip(1).cloned(), command.flags, command.order)?;
        // Before we open a descriptor of our own, the log for one.
        if command.enters && !args.help {
            let kept = if command.name == "exec" { preserved(&args) } else { preserved_for_init(&args) };
            drop_leaked(kept?)?;
        }
        Ok(args)
    });
    let global = match Global::from(&parsed) {
        Ok(global) => global,
        Err(error) => {
            Log::stderr().fatal(&report(&error));
            return 1;
        }
    };
    let (Some(command), Some(args)) = (command, args) else {
        global.log.fatal(&format!("no such command: {}", name.to_string_lossy()));
        return 3;
    };
    let result = args.and_then(|args| {
        if args.help {
            return Ok(i32::from(print(&command_help(command))));
        }
        if command.enters {
            harden()?;
        }
        global.log.debug(&format!("{} {:?} in {}", command.name, args.rest, global.root.display()));
        (command.run)(&global, &args)
    });
    match result {
        Ok(code) => u8::try_from(code).unwrap_or(255),
        Err(error) => {
            let prefix =
                if command.prefix.is_empty() { String::new() } else { format!("{}: ", command.prefix) };
            global.log.fatal(&format!("{prefix}{}", report(&error)));
            command.failure
        }
    }
}

/// What the caller forgot to close must not reach a container (CVE-2024-21626).
fn drop_leaked(preserve_fds: i32) -> anyhow::Result<()> {
    crate::container::create::check_preserved(preserve_fds)?;
    Ok(crate::sys::fds::close_from(crate::sys::fds::FIRST + preserve_fds)?)
}

/// In commands that enter a container: nobody in it may get hold of our file (CVE-2019-5736) or our memory.
fn harden() -> anyhow::Result<()> {
    crate::sys::exe_seal::ensure()?;
    crate::sys::signals::wait_for_children()?;
    Ok(rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?)
}

/// To stdout, in one go; somebody who stops reading is no failure.
pub(crate) fn print(text: &str) -> u8 {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    u8::from(written.is_err_and(|e| e.kind() != std::io::ErrorKind::BrokenPipe))
}

fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("runc-rs version {version}\nspec: {}\n", crate::features::OCI_VERSION)
}

fn overview() -> String {
    let mut text = String::from(
        "Usage: runc-rs [global options] command [command options] [arguments...]\n\nCommands:\n",
    );
    for command in COMMANDS {
        let _ = writeln!(text, "  {:<10} {}", command.name, command.about);
    }
    text.push_str("\nGlobal options:\n");
    flags_help(&mut text, GLOBAL_FLAGS);
    text
}

fn command_help(command: &Command) -> String {
    let mut text = format!(
        "runc-rs {}: {}\n\nUsage: runc-rs {} [options] {}\n",
        command.name, command.about, command.name, command.usage
    );
    if !command.flags.is_empty() {
        text.push_str("\nOptions:\n");
        flags_help(&mut text, command.flags);
    }
    text
}

fn flags_help(text: &mut String, flags: &[Flag]) {
    for flag in flags {
        let short = flag.short.map(|s| format!(", -{s}")).unwrap_or_default();
        let value = flag.value.map(|v| format!(" {v}")).unwrap_or_default();
        let _ = writeln!(text, "  {:<36} {}", format!("--{}{short}{value}", flag.long), flag.help);
    }
}

/// The container that a command is about.
pub(crate) fn id_of(args: &Args, command: &str) -> anyhow::Result<String> {
    args.expect(command, 1, 1)?;
    Ok(args.argument(0)?.to_owned())
}

/// How many descriptors are handed through because the caller asks for it.
pub(crate) fn preserved(args: &Args) -> anyhow::Result<i32> {
    let asked: i32 = args.number("preserve-fds")?.unwrap_or(0);
    if !(0..=4096).contains(&asked) {
        return Err(anyhow!("invalid value \"{asked}\" for flag -preserve-fds"));
    }
    Ok(asked)
}

/// Descriptors of socket activation (sd_listen_fds(3)): ours only if they were meant for this process.
fn listening() -> i32 {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<i32>().ok());
    if number("LISTEN_PID") != i32::try_from(std::process::id()).ok() {
        return 0;
    }
    number("LISTEN_FDS").filter(|n| (1..=4096).contains(n)).unwrap_or(0)
}

/// `create` and `run`: how many descriptors are handed through, those of socket activation first.
pub(crate) fn preserved_for_init(args: &Args) -> anyhow::Result<i32> {
    Ok(listening() + preserved(args)?)
}

/// Tells a container's first process of them, as systemd would.
pub(crate) fn add_listen_env(process: &mut crate::config::spec::Process) {
    let count = listening();
    if count > 0 {
        process.env.extend([format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()]);
        process
            .env
            .extend(std::env::var("LISTEN_FDNAMES").ok().map(|names| format!("LISTEN_FDNAMES={names}")));
    }
}
