//! `create`: everything up to the point where `start` lets the program run.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::bail;

use super::{add_listen_env, id_of, preserved_for_init};
use crate::cli::{Args, Flag, Global, option, switch};
use crate::container::create::{Options, connect, create, load_bundle};
use crate::error::Refusal;

pub(super) const FLAGS: &[Flag] = &[
    option("bundle", "DIR", "path to the root of the bundle directory (default: the current directory)")
        .short("b"),
    option("console-socket", "PATH", "AF_UNIX socket that receives the controlling side of the terminal"),
    option("pid-file", "FILE", "file to write the process id to"),
    option("pidfd-socket", "PATH", "AF_UNIX socket that receives a pidfd of the process"),
    switch("no-pivot", "do not use pivot root to jail the process inside the rootfs"),
    switch("no-new-keyring", "do not create a new session keyring for the container"),
    option("preserve-fds", "N", "pass N additional file descriptors to the container (default: 0)"),
];

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<i32> {
    let id = id_of(args, "create")?;
    let preserve_fds = preserved_for_init(args)?;
    let (bundle, mut spec, namespaces) = load_bundle(&bundle(args))?;
    let terminal = spec.process.as_ref().is_some_and(|p| p.terminal);
    let console = console(args, terminal, true)?;
    spec.process.iter_mut().for_each(add_listen_env);
    let options = Options { console, wait: true, ..common(args, id, preserve_fds) };
    refuse_existing(global, &options.id)?;
    drop(create(global, options, bundle, spec, namespaces)?);
    Ok(0)
}

pub(super) fn bundle(args: &Args) -> PathBuf {
    args.path("bundle").unwrap_or_else(|| PathBuf::from("."))
}

/// What create and run have in common.
pub(super) fn common(args: &Args, id: String, preserve_fds: i32) -> Options {
    Options {
        id,
        pid_file: args.path("pid-file"),
        pidfd_socket: args.path("pidfd-socket"),
        console: None,
        preserve_fds,
        no_pivot: args.is_set("no-pivot"),
        no_new_keyring: args.is_set("no-new-keyring"),
        wait: false,
    }
}

/// A terminal that outlives this command needs somebody who holds it; nobody else may be given one.
pub(super) fn console(args: &Args, terminal: bool, detached: bool) -> anyhow::Result<Option<OwnedFd>> {
    match (args.path("console-socket"), terminal && detached) {
        (None, true) => bail!("cannot allocate tty if runc will detach without setting console socket"),
        (Some(_), false) => bail!("cannot use console socket if runc will not detach or allocate tty"),
        (Some(path), true) => Ok(Some(connect(&path)?)),
        (None, false) => Ok(None),
    }
}

/// Early, so that the answer doesn't depend on what else is wrong.
pub(super) fn refuse_existing(global: &Global, id: &str) -> anyhow::Result<()> {
    crate::config::validate::id(id)?;
    if global.root.join(id).exists() {
        return Err(Refusal::Exists.into());
    }
    Ok(())
}
