//! Makes a container: intent on disk, cgroup, child, limits, hooks, state. What fails is undone in reverse.

use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail};
use cgroups::{Cgroup, Cgroupfs, Host, Join, Placement, Request, Settings, Systemd};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxResources};

use super::parent::{self, Parent};
use super::state::{self, Defaults, Process, SeccompRecord, State};
use super::store::Entry;
use crate::cli::Global;
use crate::config::capabilities::CapabilitySets;
use crate::config::mounts::Kind;
use crate::config::namespaces::Namespaces;
use crate::config::spec::{Hook, Spec};
use crate::config::{load, validate};
use crate::error::{Context as _, Step, StepError};
use crate::init::plan::{self, CgroupV1, RootfsPlan, Seccomp};
use crate::init::seccomp::Program;
use crate::init::spawn::Spawned;
use crate::init::{self, Plan, ProcessPlan, hooks, namespaces};

/// What the command line says beyond the bundle.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) id: String,
    pub(crate) pid_file: Option<PathBuf>,
    /// Who else wants to hold the process.
    pub(crate) pidfd_socket: Option<PathBuf>,
    /// Connected: where the terminal goes.
    pub(crate) console: Option<OwnedFd>,
    pub(crate) preserve_fds: RawFd,
    pub(crate) no_pivot: bool,
    pub(crate) no_new_keyring: bool,
    /// The init waits for `start`.
    pub(crate) wait: bool,
}

/// A container whose init exists.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) entry: Entry,
    pub(crate) state: State,
    pub(crate) pidfd: OwnedFd,
}

/// Connects to an engine's socket.
pub(crate) fn connect(path: &Path) -> anyhow::Result<OwnedFd> {
    let stream = UnixStream::connect(path).with_context(|| format!("connect to {}", path.display()))?;
    Ok(stream.into())
}

/// The bundle's config.json, checked, and the bundle's true path.
pub(crate) fn load_bundle(bundle: &Path) -> anyhow::Result<(PathBuf, Spec, Namespaces)> {
    let bundle = bundle.canonicalize().with_context(|| format!("chdir {}", bundle.display()))?;
    let spec = load::spec(&bundle)?;
    let namespaces = Namespaces::from_spec(&spec.linux.namespaces)?;
    validate::spec(&spec, &namespaces)?;
    Ok((bundle, spec, namespaces))
}

/// Undoes what was made so far, unless it is told that all went well.
struct Undo<'a> {
    entry: &'a Entry,
    cgroup: Option<&'a Cgroup>,
    done: bool,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        if let Some(cgroup) = self.cgroup {
            drop(cgroup.kill_all());
            drop(cgroup.remove());
        }
        drop(self.entry.remove());
    }
}

pub(crate) fn create(
    global: &Global,
    options: Options,
    bundle: PathBuf,
    spec: Spec,
    namespaces: Namespaces,
) -> anyhow::Result<Created> {
    let process = spec.process.clone().context("process property must not be empty")?;
    if let Some(warning) = process.capabilities.as_ref().and_then(CapabilitySets::warning) {
        global.log.warn(&warning);
    }
    let host = Host::detect()?;
    let request = Request {
        cgroups_path: Some(spec.linux.cgroups_path.as_path()).filter(|p| !p.as_os_str().is_empty()),
        id: &options.id,
        resources: spec.linux.resources.as_ref(),
    };
    let cgroup =
        if global.systemd_cgroup { Systemd.place(&host, &request) } else { Cgroupfs.place(&host, &request) }?;
    let program = spec.linux.seccomp.as_ref().map(Program::compile).transpose()?;
    let mut rootfs = RootfsPlan::from_spec(&spec, &namespaces, &bundle, options.no_pivot)?;
    rootfs.cgroup_v1 = cgroup_v1(&host, &cgroup);

    let mut state = State {
        version: state::VERSION,
        id: options.id.clone(),
        oci_version: spec.version.clone(),
        bundle: bundle.clone(),
        rootfs: rootfs.path.clone(),
        created: crate::log::rfc3339(SystemTime::now(), true),
        annotations: spec.annotations.clone(),
        init: None,
        cgroup,
        namespaces: namespaces.mask(),
        own_pid_namespace: namespaces.makes(libc::CLONE_NEWPID),
        poststart: spec.hooks.poststart.clone(),
        poststop: spec.hooks.poststop.clone(),
        defaults: defaults(&process, &spec, program.as_ref()),
    };
    let entry = Entry::create(&global.root, &options.id)?;
    let cgroup = state.cgroup.clone();
    let mut undo = Undo { entry: &entry, cgroup: None, done: false };
    entry.write_intent(&state)?;
    if let Some(program) = &program {
        entry.write_filter(&program.bytes)?;
    }
    undo.cgroup = Some(&cgroup);
    cgroup.create()?;

    let seccomp = program.map(|p| agent(p, &state)).transpose()?;
    let start = options.wait.then(|| entry.make_start_pipe()).transpose()?;
    if namespaces.has(libc::CLONE_NEWUSER) {
        rootfs.sources = detached_sources(&rootfs)?;
    }
    let root_path = rootfs.path.clone();
    let keyring = format!("_ses.{}", options.id);
    let plan = Plan {
        enter: None,
        time_offsets: time_offsets(&spec),
        hostname: spec.hostname.clone(),
        domainname: spec.domainname.clone(),
        sysctl: plan::sysctls(&spec),
        keyring: if options.no_new_keyring { None } else { Some(std::ffi::CString::new(keyring)?) },
        rootfs: Some(rootfs),
        process: ProcessPlan::from_spec(&process, seccomp)?,
        console: options.console,
        start,
        preserve_fds: options.preserve_fds,
        create_container: spec.hooks.create_container.clone(),
        start_container: spec.hooks.start_container.clone(),
        hook_state: state.oci("creating"),
        linux32: spec.linux.personality.as_ref().is_some_and(|p| p.domain == "LINUX32"),
        namespaces,
    };
    let time_offsets =
        if plan.namespaces.makes(libc::CLONE_NEWUSER) { plan.time_offsets.clone() } else { String::new() };
    let resources = spec.linux.resources.as_ref();
    let rules = if cgroup.needs_start() { device_rules(resources) } else { Vec::new() };
    let settings = Settings { resources, devices: &rules, annotations: &spec.annotations };
    let mut start_unit = |pid| cgroup.start(pid, &settings).map_err(|e| StepError::plain(e.to_string()));
    let (join, place): (_, Option<init::Place<'_>>) =
        if cgroup.needs_start() { (Join::default(), Some(&mut start_unit)) } else { (cgroup.join()?, None) };
    let spawned = in_directory(&root_path, || init::spawn(plan, join, place))
        .context("unable to start container process")?;
    state.init = Process::of(spawned.pid);
    let mut waiting =
        Waiting { entry: &entry, state: &state, spec: &spec, process: &process, time_offsets: &time_offsets };
    parent::serve(&spawned, &mut waiting).context("unable to start container process")?;
    if !options.wait
        && let Err(error) = parent::executed(&spawned)
    {
        parent::kill_and_reap(&spawned.pidfd);
        return Err(anyhow::Error::from(error).context("unable to start container process"));
    }
    if let Err(error) = announce(&spawned, &options.pid_file, &options.pidfd_socket, "standard") {
        parent::kill_and_reap(&spawned.pidfd);
        return Err(error);
    }
    undo.done = true;
    drop(undo);
    Ok(Created { entry, state, pidfd: spawned.pidfd })
}

/// Runs a deed with another working directory, which a child made meanwhile inherits.
fn in_directory<T>(path: &Path, deed: impl FnOnce() -> Step<T>) -> Step<T> {
    let here = rustix::fs::open(
        ".",
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .step(|| "open the working directory")?;
    rustix::process::chdir(path).step(|| format!("chdir {}", path.display()))?;
    let result = deed();
    rustix::process::fchdir(&here).step(|| "return to the working directory")?;
    result
}

fn defaults(process: &crate::config::spec::Process, spec: &Spec, program: Option<&Program>) -> Defaults {
    let seccomp = spec.linux.seccomp.as_ref();
    Defaults {
        capabilities: process.capabilities.as_ref().map(|c| CapabilitySets::from_spec(c).0),
        no_new_privileges: process.no_new_privileges.unwrap_or(false),
        rlimits: process.rlimits.clone(),
        apparmor: process.apparmor_profile.clone(),
        selinux: process.selinux_label.clone(),
        oom_score_adj: process.oom_score_adj,
        seccomp: program.map(|p| SeccompRecord {
            flags: p.flags,
            listener_path: seccomp.and_then(|s| s.listener_path().clone()),
            listener_metadata: seccomp.and_then(|s| s.listener_metadata().clone()).unwrap_or_default(),
        }),
    }
}

/// Connects to the agent that a filter with NOTIFY actions needs.
pub(crate) fn agent(program: Program, state: &State) -> anyhow::Result<Seccomp> {
    let record = state.defaults.seccomp.as_ref();
    let agent = match record.and_then(|r| r.listener_path.as_deref()) {
        Some(path) => {
            let message = serde_json::json!({
                "ociVersion": state.oci_version,
                "fds": ["seccompFd"],
                "pid": 0,
                "metadata": record.map(|r| r.listener_metadata.as_str()),
                "state": state.oci("creating"),
            });
            Some((connect(path)?, message))
        }
        None => None,
    };
    Ok(Seccomp { program, agent })
}

fn cgroup_v1(host: &Host, cgroup: &Cgroup) -> Vec<CgroupV1> {
    let directory = |h: &cgroups::Hierarchy| h.controllers.iter().find_map(|c| cgroup.controller(c));
    let view = |h: &cgroups::Hierarchy| {
        let name = h.mount.file_name()?.to_str()?.to_owned();
        Some(CgroupV1 { name, controllers: h.controllers.clone(), directory: directory(h)?.to_owned() })
    };
    host.v1.iter().filter_map(view).collect()
}

fn time_offsets(spec: &Spec) -> String {
    let line = |(clock, o): (&String, &crate::config::spec::TimeOffset)| {
        format!("{clock} {} {}\n", o.secs, o.nanosecs)
    };
    spec.linux.time_offsets.iter().map(line).collect()
}

/// With the caller's rights, and in its mount namespace: the child may not reach the sources.
fn detached_sources(plan: &RootfsPlan) -> anyhow::Result<Vec<Option<OwnedFd>>> {
    let source = |mount: &crate::config::mounts::MountPlan| match &mount.kind {
        Kind::Bind { source, recursive } => {
            let text = source.to_str().ok_or_else(|| StepError::plain("a source is not UTF-8"))?;
            let tree = mounts::detached::clone(rustix::fs::CWD, text, *recursive);
            tree.map(Some)
                .step(|| format!("error mounting {text:?} to rootfs at {:?}: open {text}", mount.destination))
        }
        _ => Ok(None),
    };
    Ok(plan.mounts.iter().map(source).collect::<Step<_>>()?)
}

struct Waiting<'a> {
    entry: &'a Entry,
    state: &'a State,
    spec: &'a Spec,
    process: &'a crate::config::spec::Process,
    time_offsets: &'a str,
}

impl Parent for Waiting<'_> {
    fn map(&mut self, pid: i32) -> Step<()> {
        let linux = &self.spec.linux;
        namespaces::write_maps(pid, &linux.uid_mappings, &linux.gid_mappings)?;
        if self.time_offsets.is_empty() {
            return Ok(());
        }
        namespaces::write(&format!("/proc/{pid}/timens_offsets"), self.time_offsets)
    }

    fn mounted(&mut self, pid: i32) -> anyhow::Result<()> {
        apply_resources(&self.state.cgroup, self.spec.linux.resources.as_ref())?;
        parent::set_oom_score(pid, self.process.oom_score_adj)?;
        parent::set_limits(pid, &self.process.rlimits)?;
        self.entry.write(self.state)?;
        let state = self.state.oci("creating");
        let run = |kind: &str, hooks: &[Hook]| hooks::run_all(kind, hooks, &state);
        run("prestart", &self.spec.hooks.prestart)?;
        run("createRuntime", &self.spec.hooks.create_runtime)?;
        Ok(())
    }
}

/// Limits, and the devices of the spec with those that every container has.
fn apply_resources(cgroup: &Cgroup, resources: Option<&LinuxResources>) -> anyhow::Result<()> {
    if let Some(resources) = resources {
        cgroup.apply(resources)?;
    }
    let wanted = resources.and_then(|r| r.devices().as_ref()).is_some_and(|rules| !rules.is_empty());
    match cgroup.apply_devices(&device_rules(resources)) {
        // Nothing was asked for, and the machine has no way to do it.
        Err(cgroups::Error::NoController { .. }) if !wanted => Ok(()),
        other => Ok(other?),
    }
}

/// The spec's, and those that every container has.
fn device_rules(resources: Option<&LinuxResources>) -> Vec<LinuxDeviceCgroup> {
    let wanted = resources.and_then(|r| r.devices().clone()).unwrap_or_default();
    wanted.into_iter().chain(cgroups::default_device_rules()).collect()
}

/// Tells whoever asked for it which process it is.
pub(crate) fn announce(
    spawned: &Spawned,
    pid_file: &Option<PathBuf>,
    pidfd_socket: &Option<PathBuf>,
    kind: &str,
) -> anyhow::Result<()> {
    if let Some(path) = pidfd_socket {
        let socket = connect(path)?;
        let sent = init::console::send_fd(socket.as_fd(), kind.as_bytes(), spawned.pidfd.as_fd());
        sent.with_context(|| format!("send the pidfd to {}", path.display()))?;
    }
    pid_file.as_ref().map_or(Ok(()), |path| write_pid_file(path, spawned.pid))
}

/// Whole or not at all: containerd reads it as soon as it is there.
fn write_pid_file(path: &Path, pid: i32) -> anyhow::Result<()> {
    let Some(name) = path.file_name() else { bail!("{} is not a file name", path.display()) };
    let temporary = path.with_file_name(format!(".{}", name.to_string_lossy()));
    std::fs::write(&temporary, pid.to_string())
        .and_then(|()| std::fs::rename(&temporary, path))
        .with_context(|| format!("write {}", path.display()))
}

/// Checks that descriptors to be kept are there, before one of ours takes their number.
pub(crate) fn check_preserved(count: RawFd) -> anyhow::Result<()> {
    let first = crate::sys::fds::FIRST;
    for fd in first..first + count {
        if !crate::sys::fds::is_open(fd) {
            bail!("please check that preserved-fd {fd} (of {count}) is present");
        }
    }
    Ok(())
}
