//! `delete`.

use super::id_of;
use crate::cli::{Args, Flag, Global, switch};
use crate::container::destroy;
use crate::container::store::Entry;
use crate::error::Refusal;

pub(super) const FLAGS: &[Flag] =
    &[switch("force", "forcibly delete the container if it is still running (uses SIGKILL)").short("f")];

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<i32> {
    let id = id_of(args, "delete")?;
    let force = args.is_set("force");
    let gone = |e: &anyhow::Error| force && e.downcast_ref::<Refusal>() == Some(&Refusal::NotExist);
    let entry = match Entry::open(&global.root, &id) {
        Err(e) if gone(&e) => return Ok(0),
        other => other?,
    };
    entry.lock()?;
    match entry.read() {
        Ok(state) => destroy::delete(&entry, &state, force, &global.log)?,
        // A create was killed before it wrote anything: the directory is all there is.
        Err(e) if gone(&e) => entry.remove()?,
        Err(e) if force => destroy::destroy_broken(&entry, &e, &global.log)?,
        Err(e) => return Err(e),
    }
    Ok(0)
}
