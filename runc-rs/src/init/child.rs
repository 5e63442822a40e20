//! What the child does, in order. It never returns: it becomes the program, or says why not and ends.

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::plan::{Plan, RootfsPlan};
use super::process::{self, Labels};
use super::sync::{Channel, Message};
use super::{console, hooks, namespaces, rootfs};
use crate::config::namespaces::CLONE_NEWTIME;
use crate::error::{Context, Step, StepError};
use crate::sys;

/// The execution domain that reports a 32-bit machine.
const PER_LINUX32: i32 = 8;

/// What a child is born with besides its plan.
pub(crate) struct Birth {
    pub(crate) channel: Channel,
    /// v1 `tasks` files: a write of `0` by ourselves is the only cheap way in.
    pub(crate) tasks: Vec<OwnedFd>,
    /// Namespaces that are still to be joined.
    pub(crate) join: Vec<(i32, File)>,
    /// Until it is told: a helper that made it talks on the same channel first, or it is put somewhere.
    pub(crate) waits: bool,
}

pub(crate) fn run(mut plan: Plan, birth: Birth) -> ! {
    let channel = birth.channel;
    let turn = if birth.waits { channel.wait_go() } else { Ok(()) };
    let ready = turn.and_then(|()| prepare(&mut plan, &channel, &birth.tasks, &birth.join));
    let program = match ready {
        Ok(program) => program,
        Err(error) => fail(&channel, error),
    };
    if let Err(error) = channel.send(&Message::Done) {
        fail(&channel, error);
    }
    // A new container is on its own from here on; an exec's parent hears of a failed exec too.
    let start = plan.start.take();
    let error = match start {
        None => fail(&channel, process::execute(&plan.process, &program)),
        Some(pipe) => {
            drop(channel);
            match process::wait_for_start(pipe.as_fd()).and_then(|()| before_start(&mut plan)) {
                Ok(()) => process::execute(&plan.process, &program),
                Err(error) => error,
            }
        }
    };
    let _ = std::io::stderr().write_all(format!("{error}\n").as_bytes());
    sys::clone3::exit_now(process::exit_code(&error))
}

fn fail(channel: &Channel, error: StepError) -> ! {
    drop(channel.send(&Message::Failed(error)));
    sys::clone3::exit_now(1)
}

fn prepare(plan: &mut Plan, channel: &Channel, tasks: &[OwnedFd], join: &[(i32, File)]) -> Step<CString> {
    for file in tasks {
        rustix::io::write(file, b"0").step(|| "enter the cgroup")?;
    }
    // Nothing of ours may be looked at through /proc from inside, before the exec.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .step(|| "set PR_SET_DUMPABLE")?;
    let labels = Labels::open(&plan.process)?;
    match &plan.enter {
        Some(enter) => {
            let mask = enter.mask & !libc::CLONE_NEWPID;
            let flags = nix::sched::CloneFlags::from_bits_retain(mask);
            nix::sched::setns(&enter.pidfd, flags).step(|| "join the container's namespaces")?;
            if mask & libc::CLONE_NEWUSER != 0 {
                namespaces::become_root()?;
            }
        }
        None => enter_namespaces(plan, channel, join)?,
    }
    rustix::process::setsid().step(|| "setsid")?;
    if plan.linux32 {
        nix::sys::personality::set(nix::sys::personality::Persona::from_bits_retain(PER_LINUX32))
            .step(|| "set personality")?;
    }
    if let Some(name) = &plan.keyring {
        sys::keyring::join(name).step(|| "join the session keyring")?;
    }
    match plan.rootfs.take() {
        Some(mut rootfs) => build_root(plan, &mut rootfs, channel)?,
        None => {
            if let Some(socket) = plan.console.take() {
                let root = File::open("/").step(|| "open /")?;
                let size = plan.process.console_size;
                console::adopt(console::open(root.as_fd(), socket.as_fd(), size)?)?;
            }
            channel.send(&Message::Mounted)?;
            channel.wait_go()?;
        }
    }
    if plan.start.is_none() && !plan.start_container.is_empty() {
        before_start(plan)?;
    }
    let program = process::prepare(&mut plan.process, labels)?;
    finish_fds(plan, channel)?;
    Ok(program)
}

/// Hooks that run in the container once it may start.
fn before_start(plan: &mut Plan) -> Step<()> {
    let state = hook_state(plan, "created");
    hooks::run_all("startContainer", &plan.start_container, &state)
}

fn hook_state(plan: &Plan, status: &str) -> serde_json::Value {
    let mut state = plan.hook_state.clone();
    state["pid"] = std::process::id().into();
    state["status"] = status.into();
    state
}

fn enter_namespaces(plan: &Plan, channel: &Channel, join: &[(i32, File)]) -> Step<()> {
    namespaces::enter_all(join)?;
    let made = plan.namespaces.new;
    let time = made & CLONE_NEWTIME != 0;
    if time {
        nix::sched::unshare(nix::sched::CloneFlags::from_bits_retain(CLONE_NEWTIME))
            .step(|| "make a time namespace")?;
    }
    if made & libc::CLONE_NEWUSER != 0 {
        channel.send(&Message::Unmapped)?;
        channel.wait_go()?;
        namespaces::become_root()?;
    } else if !plan.time_offsets.is_empty() {
        namespaces::write("/proc/self/timens_offsets", &plan.time_offsets)?;
    }
    if time {
        let file = File::open("/proc/self/ns/time_for_children").step(|| "open the time namespace")?;
        namespaces::enter(file.as_fd(), CLONE_NEWTIME)?;
    }
    if made & libc::CLONE_NEWCGROUP != 0 {
        namespaces::new_cgroup_namespace()?;
    }
    if made & libc::CLONE_NEWNET != 0 {
        namespaces::loopback_up()?;
    }
    if !plan.hostname.is_empty() {
        nix::unistd::sethostname(&plan.hostname).step(|| "set hostname")?;
    }
    if !plan.domainname.is_empty() {
        rustix::system::setdomainname(plan.domainname.as_bytes()).step(|| "set domainname")?;
    }
    Ok(())
}

/// Through the host's procfs, before anything of the image is mounted: no component may be a link or another
/// mount (CVE-2025-52881).
fn set_sysctls(plan: &Plan) -> Step<()> {
    if plan.sysctl.is_empty() {
        return Ok(());
    }
    let proc = File::open("/proc").step(|| "open /proc")?;
    for (path, value) in &plan.sysctl {
        let path = Path::new("sys").join(path);
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat2(&proc, &path, flags, Mode::empty(), resolve);
        let write = |fd: OwnedFd| rustix::io::write(fd, value.as_bytes());
        file.and_then(write).step(|| format!("open /proc/{}", path.display()))?;
    }
    Ok(())
}

fn build_root(plan: &mut Plan, rootfs: &mut RootfsPlan, channel: &Channel) -> Step<()> {
    set_sysctls(plan)?;
    // Modes of what is made are the spec's, not the caller's umask's.
    rustix::process::umask(Mode::empty());
    if plan.namespaces.joins(libc::CLONE_NEWNS) {
        rustix::process::chdir(&rootfs.path).step(|| "enter the rootfs")?;
    }
    let failed = |e: StepError| e.within("error during container init");
    let root = rootfs::build(rootfs).map_err(failed)?;
    let mut terminal = None;
    if let Some(socket) = plan.console.take() {
        let made = console::open(root.as_fd(), socket.as_fd(), plan.process.console_size)?;
        console::mount(root.as_fd(), &made)?;
        terminal = Some(made);
    }
    channel.send(&Message::Mounted)?;
    channel.wait_go()?;
    let state = hook_state(plan, "creating");
    hooks::run_all("createContainer", &plan.create_container, &state)?;
    rootfs::mount::lock_dev(root.as_fd(), rootfs)?;
    make_cwd(root.as_fd(), &plan.process.cwd)?;
    rootfs::mask::make_readonly(root.as_fd(), &rootfs.readonly_paths)?;
    rootfs::mask::hide(root.as_fd(), &rootfs.masked)?;
    if rootfs.readonly {
        mounts::detached::change(&root, false, mounts::Attributes::read_only())
            .step(|| "make the rootfs read-only")?;
    }
    if rootfs.no_pivot {
        rootfs::pivot::move_over(root.as_fd())?;
    } else {
        rootfs::pivot::pivot(root.as_fd())?;
    }
    if let Some(flags) = rootfs.propagation.filter(|f| f & (libc::MS_SHARED | libc::MS_UNBINDABLE) != 0) {
        mounts::detached::propagate(&root, flags).step(|| "set the rootfs' propagation")?;
    }
    terminal.map_or(Ok(()), console::adopt)
}

/// The working directory is made if the image lacks it, as Docker's users expect.
fn make_cwd(root: BorrowedFd<'_>, cwd: &std::ffi::CStr) -> Step<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = Path::new(std::ffi::OsStr::from_bytes(cwd.to_bytes()));
    match rootfs::inside::make_dirs(root, path, 0o755) {
        // Through /proc it leads to places that only exist later, or never: chdir will say so.
        Err(nix::errno::Errno::ELOOP | nix::errno::Errno::ENOTDIR | nix::errno::Errno::EROFS) => Ok(()),
        Err(nix::errno::Errno::ENOENT | nix::errno::Errno::EACCES | nix::errno::Errno::EPERM) => Ok(()),
        other => other.map(drop).step(|| format!("mkdir {}", path.display())),
    }
}

/// Only stdio and what the caller asked for goes on into the program, and what we still need until then.
fn finish_fds(plan: &Plan, channel: &Channel) -> Step<()> {
    let first = sys::fds::FIRST;
    let mut kept: Vec<i32> = (first..first + plan.preserve_fds).collect();
    kept.push(channel.as_fd().as_raw_fd());
    kept.extend(plan.start.as_ref().map(AsRawFd::as_raw_fd));
    let agent = plan.process.seccomp.as_ref().and_then(|s| s.agent.as_ref());
    kept.extend(agent.map(|(socket, _)| socket.as_raw_fd()));
    sys::fds::close_others(first, &kept).step(|| "close descriptors")?;
    sys::fds::seal_from(first).step(|| "mark descriptors close-on-exec")?;
    for fd in first..first + plan.preserve_fds {
        sys::fds::keep(fd).step(|| format!("keep descriptor {fd}"))?;
    }
    sys::signals::reset().step(|| "reset signals")
}
