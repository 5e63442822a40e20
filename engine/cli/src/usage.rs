//! A command line that can't be understood, told as docker tells it.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Prints the error, or the help asked for; answers the exit code: 125 for a flag, 1 for too few arguments.
pub(crate) fn report(error: &clap::Error, words: &[String]) -> u8 {
    if !error.use_stderr() {
        let _ = error.print();
        return 0;
    }
    let (command, usage, flags) = usage(error, words);
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(list)) => list.join(" "),
        _ => String::new(),
    };
    let flag = text(ContextKind::InvalidArg);
    let (code, message) = match error.kind() {
        ErrorKind::UnknownArgument if flag.starts_with('-') => (125, unknown_flag(&flag)),
        ErrorKind::UnknownArgument => {
            let shown: Vec<&str> = usage.split_whitespace().skip(command.split(' ').count()).collect();
            let most = shown.iter().filter(|w| **w != "[OPTIONS]").count();
            let exact =
                if shown.iter().any(|w| w.starts_with('[') && *w != "[OPTIONS]") { "at most " } else { "" };
            match most {
                0 => (1, format!("engine: '{command}' accepts no arguments")),
                1 => (1, format!("engine: '{command}' requires {exact}1 argument")),
                _ => (1, format!("engine: '{command}' requires {exact}{most} arguments")),
            }
        }
        ErrorKind::MissingRequiredArgument | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            let least = usage.split_whitespace().skip(command.split(' ').count());
            let least: Vec<&str> = least.filter(|w| !w.starts_with('[')).collect();
            let (count, more) = (least.len(), if usage.contains("...") { "at least " } else { "" });
            let arguments = if count == 1 { "argument" } else { "arguments" };
            (1, format!("engine: '{command}' requires {more}{count} {arguments}"))
        }
        ErrorKind::InvalidSubcommand => {
            let name = text(ContextKind::InvalidSubcommand);
            eprintln!(
                "engine: unknown command: {command} {name}\n\nRun '{command} --help' for more information"
            );
            return 1;
        }
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            let long = flag.split(" <").next().unwrap_or_default();
            let name = flags.iter().find(|(l, _)| *l == long).map_or(long, |(_, both)| both.as_str());
            let value = text(ContextKind::InvalidValue);
            (
                125,
                format!(
                    "invalid argument {value:?} for {name:?} flag: {}",
                    cause.unwrap_or_else(|| "invalid value".into())
                ),
            )
        }
        _ => {
            let whole = error.to_string();
            (125, whole.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned())
        }
    };
    eprintln!("{message}\n\nUsage:  {usage}\n\nRun '{command} --help' for more information");
    code
}

/// `unknown flag: --x`, `unknown shorthand flag: 'x' in -x`.
fn unknown_flag(flag: &str) -> String {
    match flag.strip_prefix('-').filter(|f| !f.starts_with('-')) {
        Some(short) => format!("unknown shorthand flag: '{}' in {flag}", short.chars().next().unwrap_or('-')),
        None => format!("unknown flag: {}", flag.split('=').next().unwrap_or(flag)),
    }
}

/// What follows the image is the command's own, so an unknown flag before it arrives as the image.
pub(crate) fn flag_before_the_end(first: &str, verb: &str) -> anyhow::Result<()> {
    if first.len() < 2 || !first.starts_with('-') {
        return Ok(());
    }
    let text = format!("{}\n\nRun 'engine {verb} --help' for more information", unknown_flag(first));
    Err(crate::error::Failure::new(125, text).into())
}

/// The command as typed (`engine run`), its usage line in docker's form, and its flags: long, and both forms.
fn usage(error: &clap::Error, words: &[String]) -> (String, String, Vec<(String, String)>) {
    let mut command = <crate::cli::Cli as clap::CommandFactory>::command();
    command.build();
    let mut name = "engine".to_owned();
    let mut rest = words.iter().skip(1);
    while let Some(word) = rest.next() {
        if command.get_name() == "engine" && ["-H", "--host"].contains(&word.as_str()) {
            rest.next();
            continue;
        }
        let Some(next) = command.find_subcommand(word) else {
            if word.starts_with('-') || error.kind() == ErrorKind::InvalidSubcommand {
                continue;
            }
            break;
        };
        name = format!("{name} {}", next.get_name());
        command = next.clone();
    }
    let positional: Vec<String> = command
        .get_positionals()
        .map(|p| {
            let names = p.get_value_names().unwrap_or_default();
            let shown = names.iter().map(|n| n.as_str()).collect::<Vec<_>>().join(" ");
            // Names of several words already are docker's text.
            let many = p.get_num_args().is_some_and(|n| n.max_values() > 1) && !shown.contains(' ');
            let shown = if p.is_required_set() { shown } else { format!("[{shown}]") };
            if many { format!("{shown} [{shown}...]") } else { shown }
        })
        .collect();
    let options = command
        .get_arguments()
        .any(|a| !a.is_positional() && !["help", "host"].contains(&a.get_id().as_str()));
    let usage = format!("{name} {}{}", if options { "[OPTIONS] " } else { "" }, positional.join(" "));
    let both = |a: &clap::Arg| {
        let long = format!("--{}", a.get_long()?);
        let both = a.get_short().map_or(long.clone(), |short| format!("-{short}, {long}"));
        Some((long, both))
    };
    let flags = command.get_arguments().filter_map(both).collect();
    (name, usage.trim_end().replace("[ARG]", "[ARG...]"), flags)
}
