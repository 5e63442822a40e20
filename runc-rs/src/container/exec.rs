//! Another process in a container that runs.

use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::create::{agent, announce};
use super::parent::{self, Parent};
use super::state::State;
use super::status::Status;
use super::store::Entry;
use crate::config::namespaces::Namespaces;
use crate::config::spec::{Process, Rlimit};
use crate::error::{Refusal, Step};
use crate::init::seccomp::Program;
use crate::init::{self, Enter, Plan, ProcessPlan};

/// A cgroup below the container's, which must be there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SubCgroup {
    None,
    /// Of all hierarchies.
    All(PathBuf),
    /// Of v1 controllers.
    Of(Vec<(String, PathBuf)>),
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) process: Process,
    pub(crate) pid_file: Option<PathBuf>,
    /// Who else wants to hold the process.
    pub(crate) pidfd_socket: Option<PathBuf>,
    pub(crate) console: Option<OwnedFd>,
    pub(crate) preserve_fds: RawFd,
    pub(crate) ignore_paused: bool,
    pub(crate) cgroup: SubCgroup,
}

/// Starts it; it runs when this returns.
pub(crate) fn exec(entry: &Entry, state: &State, options: Options) -> anyhow::Result<(i32, OwnedFd)> {
    let init = match (Status::of(entry, state), &state.init) {
        (Status::Stopped | Status::Creating, _) | (_, None) => return Err(Refusal::ExecStopped.into()),
        (Status::Paused, _) if !options.ignore_paused => return Err(Refusal::ExecPaused.into()),
        (_, Some(init)) => init,
    };
    let pid = Pid::from_raw(init.pid).ok_or_else(|| anyhow!("the init has no pid"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("open the container's init")?;
    if !init.is_alive() {
        return Err(Refusal::ExecStopped.into());
    }
    let defaults = &state.defaults;
    let seccomp = match &defaults.seccomp {
        Some(record) => {
            let program = Program { bytes: entry.read_filter()?, flags: record.flags };
            Some(agent(program, state)?)
        }
        None => None,
    };
    let mut process = ProcessPlan::from_spec(&options.process, seccomp)?;
    process.capabilities = process.capabilities.or(defaults.capabilities);
    process.no_new_privileges = options.process.no_new_privileges.unwrap_or(defaults.no_new_privileges);
    if process.apparmor.is_empty() {
        process.apparmor.clone_from(&defaults.apparmor);
    }
    if process.selinux.is_empty() {
        process.selinux.clone_from(&defaults.selinux);
    }
    let plan = Plan {
        namespaces: Namespaces::default(),
        enter: Some(Enter { pidfd, mask: state.namespaces }),
        time_offsets: String::new(),
        hostname: String::new(),
        domainname: String::new(),
        sysctl: Vec::new(),
        keyring: None,
        rootfs: None,
        process,
        console: options.console,
        start: None,
        preserve_fds: options.preserve_fds,
        create_container: Vec::new(),
        start_container: Vec::new(),
        hook_state: serde_json::Value::Null,
        linux32: false,
    };
    let cgroup = match &options.cgroup {
        SubCgroup::None => state.cgroup.clone(),
        SubCgroup::All(sub) => state.cgroup.child(sub),
        SubCgroup::Of(places) => state.cgroup.child_of(places)?,
    };
    let limits =
        if options.process.rlimits.is_empty() { &defaults.rlimits } else { &options.process.rlimits };
    let score = options.process.oom_score_adj.or(defaults.oom_score_adj);
    let mut waiting = Waiting { limits, score };
    let failed = "unable to start container process";
    let spawned = init::spawn(plan, cgroup.join()?, None).context(failed)?;
    parent::serve(&spawned, &mut waiting).context(failed)?;
    if let Err(error) = parent::executed(&spawned) {
        parent::kill_and_reap(&spawned.pidfd);
        return Err(anyhow::Error::from(error).context(failed));
    }
    if let Err(error) = announce(&spawned, &options.pid_file, &options.pidfd_socket, "setns") {
        parent::kill_and_reap(&spawned.pidfd);
        return Err(error);
    }
    Ok((spawned.pid, spawned.pidfd))
}

struct Waiting<'a> {
    limits: &'a [Rlimit],
    score: Option<i32>,
}

impl Parent for Waiting<'_> {
    fn map(&mut self, _pid: i32) -> Step<()> {
        Ok(())
    }

    fn mounted(&mut self, pid: i32) -> anyhow::Result<()> {
        parent::set_oom_score(pid, self.score)?;
        Ok(parent::set_limits(pid, self.limits)?)
    }
}
