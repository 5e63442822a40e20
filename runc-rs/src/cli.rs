//! The command line in the manner of Go's flag package, which callers of runc rely on: `-name` is `--name`,
//! `--name=value` is `--name value`, booleans take `=true|false`, and flags may follow arguments except where
//! a container's own command line begins.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use anyhow::{anyhow, bail};

use crate::log::Log;

/// A flag and its help.
#[derive(Debug)]
pub(crate) struct Flag {
    pub(crate) long: &'static str,
    pub(crate) short: Option<&'static str>,
    /// What the value is called in the help; `None` for a boolean.
    pub(crate) value: Option<&'static str>,
    pub(crate) help: &'static str,
}

/// A boolean flag.
pub(crate) const fn switch(long: &'static str, help: &'static str) -> Flag {
    Flag { long, short: None, value: None, help }
}

/// A flag with a value.
pub(crate) const fn option(long: &'static str, value: &'static str, help: &'static str) -> Flag {
    Flag { long, short: None, value: Some(value), help }
}

impl Flag {
    pub(crate) const fn short(mut self, short: &'static str) -> Self {
        self.short = Some(short);
        self
    }
}

/// Where flags end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Flags anywhere before `--`.
    Mixed,
    /// Only before the first argument.
    First,
}

/// A parsed command line.
#[derive(Debug, Default)]
pub(crate) struct Args {
    flags: Vec<(&'static str, OsString)>,
    pub(crate) rest: Vec<OsString>,
    pub(crate) help: bool,
}

impl Args {
    pub(crate) fn parse(
        mut args: impl Iterator<Item = OsString>,
        flags: &'static [Flag],
        order: Order,
    ) -> anyhow::Result<Self> {
        let mut parsed = Self::default();
        while let Some(arg) = args.next() {
            let bytes = arg.as_bytes();
            if bytes == b"--" {
                parsed.rest.extend(args);
                break;
            }
            if bytes.len() < 2 || bytes[0] != b'-' {
                parsed.rest.push(arg);
                if order == Order::First {
                    parsed.rest.extend(args);
                    break;
                }
                continue;
            }
            let body = bytes.strip_prefix(b"--").unwrap_or(&bytes[1..]);
            let (name, value) = match body.iter().position(|b| *b == b'=') {
                Some(at) => (&body[..at], Some(OsString::from_vec(body[at + 1..].to_vec()))),
                None => (body, None),
            };
            let name = String::from_utf8_lossy(name).into_owned();
            if name == "help" || name == "h" {
                parsed.help = true;
                continue;
            }
            let flag = flags.iter().find(|f| f.long == name || f.short == Some(name.as_str()));
            let Some(flag) = flag else { bail!("flag provided but not defined: -{name}") };
            let value = match (flag.value, value) {
                (_, Some(value)) => value,
                (None, None) => "true".into(),
                (Some(_), None) => args.next().ok_or_else(|| anyhow!("flag needs an argument: -{name}"))?,
            };
            if flag.value.is_none() && !matches!(value.as_bytes(), b"true" | b"false" | b"1" | b"0") {
                bail!("invalid boolean value {value:?} for -{name}");
            }
            parsed.flags.push((flag.long, value));
        }
        Ok(parsed)
    }

    pub(crate) fn raw(&self, name: &str) -> Option<&OsStr> {
        self.flags.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| v.as_os_str())
    }

    /// The last value given; an empty one counts as none.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.raw(name).filter(|v| !v.is_empty()).map(PathBuf::from)
    }

    pub(crate) fn text(&self, name: &str) -> anyhow::Result<Option<&str>> {
        let value = self.raw(name).map(|v| v.to_str().ok_or_else(|| anyhow!("--{name} is not UTF-8: {v:?}")));
        Ok(value.transpose()?.filter(|v| !v.is_empty()))
    }

    /// Every value of a flag that may be repeated, in order.
    pub(crate) fn all(&self, name: &str) -> anyhow::Result<Vec<&str>> {
        let values = self.flags.iter().filter(|(n, _)| *n == name);
        values.map(|(_, v)| v.to_str().ok_or_else(|| anyhow!("--{name} is not UTF-8: {v:?}"))).collect()
    }

    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.raw(name).is_some_and(|v| matches!(v.as_bytes(), b"true" | b"1"))
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let parse = |v: &str| v.parse().map_err(|_| anyhow!("invalid value {v:?} for flag -{name}"));
        self.text(name)?.map(parse).transpose()
    }

    /// Exactly the arguments that the command names.
    pub(crate) fn expect(&self, command: &str, min: usize, max: usize) -> anyhow::Result<()> {
        let count = self.rest.len();
        if min == max && count != min {
            bail!("runc-rs: {command:?} requires exactly {min} argument(s)");
        } else if count < min {
            bail!("runc-rs: {command:?} requires a minimum of {min} argument(s)");
        } else if count > max {
            bail!("runc-rs: {command:?} requires a maximum of {max} argument(s)");
        }
        Ok(())
    }

    /// An argument as text.
    pub(crate) fn argument(&self, index: usize) -> anyhow::Result<&str> {
        let arg = self.rest.get(index).ok_or_else(|| anyhow!("argument {} is missing", index + 1))?;
        arg.to_str().ok_or_else(|| anyhow!("argument is not UTF-8: {arg:?}"))
    }
}

/// The flags before the command.
pub(crate) const GLOBAL_FLAGS: &[Flag] = &[
    switch("debug", "enable debug logging"),
    option("log", "FILE", "set the log file to write runc-rs' logs to (default is stderr)"),
    option("log-format", "FORMAT", "set the log format (\"text\" or \"json\")"),
    option("root", "DIR", "root directory for storage of container state (default: /run/runc-rs)"),
    option("criu", "PATH", "accepted and ignored"),
    switch(
        "systemd-cgroup",
        "enable systemd cgroup support, expects cgroupsPath to be of form \"slice:prefix:name\"",
    ),
    option("rootless", "VALUE", "ignore cgroup permission errors (\"true\", \"false\", or \"auto\")"),
    switch("version", "print the version").short("v"),
];

/// What holds for every command.
#[derive(Debug)]
pub(crate) struct Global {
    pub(crate) root: PathBuf,
    pub(crate) systemd_cgroup: bool,
    pub(crate) log: Log,
}

impl Global {
    pub(crate) fn from(args: &Args) -> anyhow::Result<Self> {
        if let Some(rootless) = args.text("rootless")?
            && !matches!(rootless, "auto" | "true" | "false" | "1" | "0" | "t" | "f")
        {
            bail!("invalid value {rootless:?} for flag -rootless");
        }
        let debug = args.is_set("debug");
        let log = Log::open(args.path("log"), args.text("log-format")?.unwrap_or("text"), debug)?;
        let root = args.path("root").unwrap_or_else(|| PathBuf::from("/run/runc-rs"));
        Ok(Self { root, systemd_cgroup: args.is_set("systemd-cgroup"), log })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        switch("all", "").short("a"),
        option("bundle", "DIR", "").short("b"),
        option("env", "K=V", "").short("e"),
    ];

    fn parse(args: &[&str], order: Order) -> anyhow::Result<Args> {
        Args::parse(args.iter().map(OsString::from), FLAGS, order)
    }

    #[test]
    fn gos_spellings_of_a_flag_are_the_same() {
        for args in [["-bundle", "x"], ["--bundle", "x"], ["-b", "x"]] {
            assert_eq!(parse(&args, Order::Mixed).unwrap().path("bundle").unwrap(), PathBuf::from("x"));
        }
        let args = parse(&["--bundle=x=y", "-a=false"], Order::Mixed).unwrap();
        assert_eq!(args.path("bundle").unwrap(), PathBuf::from("x=y"));
        assert!(!args.is_set("all"));
    }

    #[test]
    fn flags_follow_arguments_except_before_a_foreign_command_line() {
        let args = parse(&["id", "-a", "9"], Order::Mixed).unwrap();
        assert!(args.is_set("all") && args.rest == ["id", "9"]);
        let args = parse(&["-e", "A=1", "-e", "B=2", "id", "ls", "-a"], Order::First).unwrap();
        assert!(!args.is_set("all") && args.rest == ["id", "ls", "-a"]);
        assert_eq!(args.all("env").unwrap(), ["A=1", "B=2"]);
    }

    #[test]
    fn unknown_flags_and_missing_values_are_errors() {
        let text = |args| parse(args, Order::Mixed).unwrap_err().to_string();
        assert_eq!(text(&["--nope"]), "flag provided but not defined: -nope");
        assert_eq!(text(&["-b"]), "flag needs an argument: -b");
        assert!(text(&["--all=maybe"]).contains("invalid boolean"));
    }
}
