//! Makes the child, and gives the parent's side of the conversation.

use std::os::fd::{AsFd, OwnedFd};

use cgroups::Join;
use nix::sched::{CloneFlags, setns};

use super::child::{self, Birth};
use super::namespaces;
use super::plan::Plan;
use super::sync::{Channel, Message};
use crate::config::namespaces::CLONE_NEWTIME;
use crate::error::{Context, Step, StepError};
use crate::sys::clone3::{Request, Side, clone3, exit_now};

/// A child that is on its way.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) channel: Channel,
}

/// These the child makes itself: the cgroup namespace's root is where its maker is, the time namespace's
/// clocks are set before it is entered.
const MADE_LATER: i32 = libc::CLONE_NEWCGROUP | CLONE_NEWTIME;

/// Puts the child in its place, where nothing of ours makes that, while the child waits.
pub(crate) type Place<'a> = &'a mut dyn FnMut(i32) -> Step<()>;

/// One `clone3` for all; where a user namespace is joined (the new ones must belong to it), or one is made
/// and others of the host are joined, a helper goes in first and makes the child as our own.
pub(crate) fn spawn(plan: Plan, join: Join, place: Option<Place<'_>>) -> Step<Spawned> {
    let (channel, theirs) = Channel::pair()?;
    let files = plan.namespaces.joined.iter().map(namespaces::open).collect::<Step<Vec<_>>>()?;
    let joins = |flag: i32| files.iter().any(|(f, _)| *f == flag);
    let staged =
        joins(libc::CLONE_NEWUSER) || plan.namespaces.makes(libc::CLONE_NEWUSER) && !files.is_empty();
    let new = plan.namespaces.new & !MADE_LATER;
    let cgroup = join.into.as_ref().map(|fd| fd.as_fd());
    if staged {
        return spawn_staged(plan, &join, channel, theirs, files, place);
    }
    // A pid namespace takes effect on children only. Ours is restored: hooks must run on the host.
    let own_pid_ns = enter_pid_namespace(&plan, &files)?;
    let side = clone3(&Request { namespaces: new, cgroup, sibling: false });
    match side {
        Ok(Side::Child) => {
            drop(channel);
            let join_files = files.into_iter().filter(|(f, _)| *f != libc::CLONE_NEWPID).collect();
            let waits = place.is_some();
            child::run(plan, Birth { channel: theirs, tasks: join.tasks, join: join_files, waits })
        }
        other => {
            if let Some(own) = own_pid_ns {
                setns(own, CloneFlags::CLONE_NEWPID).step(|| "return to the own pid namespace")?;
            }
            match other.step(|| "clone3")? {
                Side::Parent { pid, pidfd } => {
                    let spawned = Spawned { pid, pidfd, channel };
                    match place {
                        Some(place) => put_in_place(spawned, place),
                        None => Ok(spawned),
                    }
                }
                Side::Child => exit_now(1),
            }
        }
    }
}

fn enter_pid_namespace(plan: &Plan, files: &[(i32, std::fs::File)]) -> Step<Option<std::fs::File>> {
    let by_path = files.iter().find(|(f, _)| *f == libc::CLONE_NEWPID);
    let by_process = plan.enter.as_ref().filter(|e| e.mask & libc::CLONE_NEWPID != 0);
    if by_path.is_none() && by_process.is_none() {
        return Ok(None);
    }
    let own = std::fs::File::open("/proc/self/ns/pid").step(|| "open the own pid namespace")?;
    match (by_path, by_process) {
        (Some((flag, file)), _) => namespaces::enter(file.as_fd(), *flag)?,
        (None, Some(enter)) => {
            setns(&enter.pidfd, CloneFlags::CLONE_NEWPID).step(|| "join the container's pid namespace")?;
        }
        (None, None) => {}
    }
    Ok(Some(own))
}

fn put_in_place(spawned: Spawned, place: Place<'_>) -> Step<Spawned> {
    match place(spawned.pid).and_then(|()| spawned.channel.send(&Message::Go)) {
        Ok(()) => Ok(spawned),
        Err(error) => {
            let _ = rustix::process::pidfd_send_signal(&spawned.pidfd, rustix::process::Signal::KILL);
            reap(&spawned.pidfd)?;
            Err(error)
        }
    }
}

fn spawn_staged(
    plan: Plan,
    join: &Join,
    channel: Channel,
    theirs: Channel,
    files: Vec<(i32, std::fs::File)>,
    place: Option<Place<'_>>,
) -> Step<Spawned> {
    let cgroup = join.into.as_ref().map(|fd| fd.as_fd());
    match clone3(&Request { namespaces: 0, cgroup, sibling: false }).step(|| "clone3")? {
        Side::Child => {
            drop(channel);
            let new = plan.namespaces.new & !MADE_LATER;
            let made = enter_cgroups(join).and_then(|()| namespaces::enter_all(&files)).and_then(|()| {
                clone3(&Request { namespaces: new, cgroup: None, sibling: true }).step(|| "clone3")
            });
            match made {
                Ok(Side::Child) => {
                    let birth = Birth { channel: theirs, tasks: Vec::new(), join: Vec::new(), waits: true };
                    child::run(plan, birth)
                }
                Ok(Side::Parent { pid, .. }) => {
                    let told = theirs.send(&Message::Pid(pid));
                    exit_now(i32::from(told.is_err()))
                }
                Err(error) => {
                    drop(theirs.send(&Message::Failed(error)));
                    exit_now(1)
                }
            }
        }
        Side::Parent { pidfd: helper, .. } => {
            drop(theirs);
            let pid = wait_for_pid(&channel)?;
            reap(&helper)?;
            let raw = rustix::process::Pid::from_raw(pid)
                .ok_or_else(|| StepError::plain("the child has no pid"))?;
            let pidfd = rustix::process::pidfd_open(raw, rustix::process::PidfdFlags::empty())
                .step(|| "open the child")?;
            put_in_place(Spawned { pid, pidfd, channel }, place.unwrap_or(&mut |_| Ok(())))
        }
    }
}

fn enter_cgroups(join: &Join) -> Step<()> {
    join.tasks.iter().try_for_each(|file| rustix::io::write(file, b"0").map(drop).step(|| "enter the cgroup"))
}

fn wait_for_pid(channel: &Channel) -> Step<i32> {
    match channel.receive()? {
        Message::Pid(pid) => Ok(pid),
        Message::Failed(error) => Err(error),
        _ => Err(StepError::plain("the helper that joins namespaces ended early")),
    }
}

fn reap(pidfd: &OwnedFd) -> Step<()> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED))
        .map(drop)
        .step(|| "wait for the helper")
}
