//! `run`: create and start in one; in the foreground it waits, then deletes.

use super::create::{bundle, common, console, refuse_existing};
use super::{add_listen_env, id_of, preserved_for_init};
use crate::cli::{Args, Flag, Global, option, switch};
use crate::container::create::{Options, create, load_bundle};
use crate::container::foreground::{Signals, wait};
use crate::container::{console_proxy, destroy, start};

pub(super) const FLAGS: &[Flag] = &[
    option("bundle", "DIR", "path to the root of the bundle directory (default: the current directory)")
        .short("b"),
    option("console-socket", "PATH", "AF_UNIX socket that receives the controlling side of the terminal"),
    switch("detach", "detach from the container's process").short("d"),
    switch("keep", "do not delete the container after it exits"),
    option("pid-file", "FILE", "file to write the process id to"),
    option("pidfd-socket", "PATH", "AF_UNIX socket that receives a pidfd of the process"),
    switch("no-subreaper", "accepted; orphans are reaped only in the foreground"),
    switch("no-pivot", "do not use pivot root to jail the process inside the rootfs"),
    switch("no-new-keyring", "do not create a new session keyring for the container"),
    option("preserve-fds", "N", "pass N additional file descriptors to the container (default: 0)"),
];

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<i32> {
    let id = id_of(args, "run")?;
    let preserve_fds = preserved_for_init(args)?;
    let detach = args.is_set("detach");
    let (bundle, mut spec, namespaces) = load_bundle(&bundle(args))?;
    let terminal = spec.process.as_ref().is_some_and(|p| p.terminal);
    let console = console(args, terminal, detach)?;
    spec.process.iter_mut().for_each(add_listen_env);
    refuse_existing(global, &id)?;
    let signals = if detach { None } else { Some(Signals::catch()?) };
    // In the foreground the terminal comes to us.
    let (ours, console) = match (console, terminal) {
        (None, true) => {
            let (theirs, ours) = console_proxy::pair()?;
            if let (Some(process), Some(size)) = (&mut spec.process, console_proxy::size()) {
                process.console_size = Some(size);
            }
            (Some(ours), Some(theirs))
        }
        (console, _) => (None, console),
    };
    let options = Options { console, ..common(args, id, preserve_fds) };
    let created = create(global, options, bundle, spec, namespaces)?;
    start::after_start(&created.state, &global.log);
    let Some(signals) = signals else { return Ok(0) };
    let master = ours.as_ref().map(console_proxy::receive).transpose()?;
    let pid = created.state.init.as_ref().map_or(0, |p| p.pid);
    let code = wait(&signals, pid, &created.pidfd, master)?;
    if !args.is_set("keep") {
        destroy::destroy(&created.entry, &created.state, &global.log)?;
    }
    Ok(code)
}
