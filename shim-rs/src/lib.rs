//! A containerd shim (runtime v2) for OCI runtimes.
//!
//! One process, one thread, one epoll loop ([`event_loop`]) for the life of a container (or of a pod's). It
//! speaks ttrpc to the daemon ([`server`], [`task`]), runs the OCI runtime for each deed ([`runtime`]) without
//! waiting for it, moves the container's output ([`stdio`]), collects exits ([`reaper`]) and tells the daemon
//! about them ([`publisher`]), however long that is away.
//!
//! Files in the bundle that are the shim's: `address`, `options.json`, `runtime`, `init.pid`, `EXEC.pid`,
//! `log.json` (the runtime's words), `exit.json` ([`exit_record`]), `events` ([`journal`]).

mod args;
mod bootstrap;
mod complaint;
mod container;
mod delete;
mod descriptors;
mod event_loop;
mod exit_record;
mod failure;
mod files;
mod journal;
mod logger;
mod metrics;
mod oom;
mod options;
mod poller;
mod process;
mod publisher;
mod reaper;
mod rootfs;
mod runtime;
mod server;
mod spawn;
mod stdio;
mod task;

use std::process::ExitCode;

use args::{Action, Args};

/// Runs the binary with its arguments (without the program's name).
pub fn run(args: Vec<String>) -> ExitCode {
    let result = match logfile::BinaryLogger::from_args(&args) {
        Some(logger) => logger.map_err(Into::into).and_then(|logger| logger::run(&logger)),
        None => act(&Args::parse(args)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The daemon shows this as the reason why the shim didn't start.
            crate::complaint::complain!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn act(args: &Args) -> anyhow::Result<()> {
    match args.action {
        Action::Version => {
            println!("containerd-shim-runcrs-v2:\n  Version:  {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Action::Info => bootstrap::info(),
        Action::Start => bootstrap::start(args),
        Action::Delete => delete::run(args),
        Action::Serve => event_loop::serve(args),
    }
}
