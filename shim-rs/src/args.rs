//! The command line, in Go's flag syntax: `-k v`, `-k=v`, one dash or two, the action last.

use std::path::PathBuf;

/// What the binary is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a shim and print its address.
    Start,
    /// Clean up after a dead shim.
    Delete,
    /// Be the shim: no action on the command line.
    Serve,
    Version,
    Info,
}

/// The flags. Unknown ones are passed over: later daemons may send more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) action: Action,
    pub(crate) namespace: String,
    pub(crate) id: String,
    /// The daemon's gRPC socket for `start`, the shim's own for `Serve`.
    pub(crate) address: String,
    pub(crate) bundle: Option<PathBuf>,
    pub(crate) debug: bool,
}

impl Args {
    pub(crate) fn parse(args: Vec<String>) -> Self {
        let mut this = Self {
            action: Action::Serve,
            namespace: String::new(),
            id: String::new(),
            address: String::new(),
            bundle: None,
            debug: false,
        };
        let mut args = args.into_iter().peekable();
        while let Some(arg) = args.next() {
            let Some(flag) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) else {
                match arg.as_str() {
                    "start" => this.action = Action::Start,
                    "delete" => this.action = Action::Delete,
                    _ => {}
                }
                continue;
            };
            let (name, inline) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            match name {
                "debug" => this.debug = inline.as_deref() != Some("false"),
                "v" | "version" => this.action = Action::Version,
                "info" => this.action = Action::Info,
                "namespace" | "id" | "address" | "bundle" | "publish-binary" | "socket" => {
                    let value = inline.or_else(|| args.next()).unwrap_or_default();
                    match name {
                        "namespace" => this.namespace = value,
                        "id" => this.id = value,
                        "address" => this.address = value,
                        "bundle" => this.bundle = Some(PathBuf::from(value)),
                        _ => {}
                    }
                }
                // An unknown flag's value, if it has one, is taken for an action that isn't known either.
                _ => {}
            }
        }
        this
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Args {
        Args::parse(line.split(' ').map(str::to_owned).collect())
    }

    #[test]
    fn gos_flag_forms_are_all_read() {
        let args = parse("-namespace ns --address=/c.sock -publish-binary /bin/c -id=a -debug start");
        assert_eq!((args.action, args.namespace.as_str(), args.id.as_str()), (Action::Start, "ns", "a"));
        assert_eq!((args.address.as_str(), args.debug), ("/c.sock", true));
    }

    #[test]
    fn unknown_flags_are_no_obstacle() {
        let args = parse("-namespace ns -new-thing 7 -other=8 -id a -bundle /b delete");
        assert_eq!((args.action, args.id.as_str()), (Action::Delete, "a"));
        assert_eq!(args.bundle, Some("/b".into()));
    }

    #[test]
    fn no_action_means_to_be_the_shim() {
        assert_eq!(parse("-namespace ns -id a").action, Action::Serve);
        assert_eq!(parse("-v").action, Action::Version);
    }
}
