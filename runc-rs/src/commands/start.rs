//! `start`: lets a created container's program run.

use super::id_of;
use crate::cli::{Args, Global};
use crate::container::start::start;
use crate::container::store::Entry;

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<i32> {
    let entry = Entry::open(&global.root, &id_of(args, "start")?)?;
    entry.lock()?;
    start(&entry, &entry.read()?, &global.log)?;
    Ok(0)
}
