//! `kill`.

use crate::cli::{Args, Flag, Global, switch};
use crate::container::signal;
use crate::container::store::Entry;

pub(super) const USAGE: &str = "<container-id> [signal]";

pub(super) const FLAGS: &[Flag] =
    &[switch("all", "send the signal to all processes of the container").short("a")];

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<i32> {
    args.expect("kill", 1, 2)?;
    let entry = Entry::open(&global.root, args.argument(0)?)?;
    let name = if args.rest.len() > 1 { args.argument(1)? } else { "SIGTERM" };
    signal::send(&entry, &entry.read()?, signal::parse(name)?, args.is_set("all"))?;
    Ok(0)
}
