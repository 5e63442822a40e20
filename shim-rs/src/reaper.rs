//! Children that have ended: runtime calls, containers' processes, and orphans of theirs.

use prost::Message;
use proto::containerd::events::TaskExit;
use proto::containerd::task::v2::WaitResponse;
use proto::topics;

use crate::descriptors;
use crate::event_loop::{Shim, Timer};
use crate::exit_record::Exit;
use crate::process::State;

/// How long an init's end may be held back for execs that die with it.
const EXEC_PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// Takes in every child that has ended.
pub(crate) fn reap(shim: &mut Shim) {
    loop {
        let Some((pid, status)) = descriptors::reap_child() else { return };
        let exit = Exit::now(pid, status);
        if let Some(call) = shim.calls.remove(&exit.pid) {
            call.finish(shim, exit);
            continue;
        }
        let owner = shim.containers.values().find_map(|c| Some((c.id.clone(), c.process_of(exit.pid)?)));
        match owner {
            Some((container, exec)) => ended(shim, &container, &exec, exit),
            // The runtime may have made it without our knowing its pid yet.
            None if !shim.calls.is_empty() => drop(shim.strangers.insert(exit.pid, exit)),
            None => {}
        }
        if shim.calls.is_empty() {
            shim.strangers.clear();
        }
    }
}

/// A process has ended: tells everybody, now or when what has to come before has been told.
pub(crate) fn ended(shim: &mut Shim, id: &str, exec: &str, exit: Exit) {
    let Some(container) = shim.containers.get_mut(id) else { return };
    let wait_for_execs = exec.is_empty() && container.has_live_exec();
    let owns_pids = container.owns_pids;
    let Ok(process) = container.process(exec) else { return };
    if process.state == State::Starting || wait_for_execs {
        process.held = Some(exit);
    }
    if exec.is_empty() {
        if let Err(error) = exit.save(&container.bundle) {
            crate::complaint::complain!("write exit record of {id}: {error}");
        }
        if !owns_pids {
            // Nobody else kills what the init leaves behind.
            crate::task::kill::kill_rest(shim, id);
        }
    }
    if wait_for_execs {
        shim.timer(EXEC_PATIENCE, Timer::InitExit(id.to_owned()));
        return;
    }
    if shim.containers.get_mut(id).and_then(|c| c.process(exec).ok().map(|p| p.held)) != Some(Some(exit)) {
        tell(shim, id, exec, exit);
    }
}

/// A process's `Starting` is over: an end that came meanwhile is told now.
pub(crate) fn release(shim: &mut Shim, id: &str, exec: &str) {
    let Some(container) = shim.containers.get_mut(id) else { return };
    let wait = exec.is_empty() && container.has_live_exec();
    let held = container.process(exec).ok().and_then(|process| process.held);
    if let (Some(exit), false) = (held, wait) {
        tell(shim, id, exec, exit);
    }
}

/// The deadline for execs that should have died with their init.
pub(crate) fn init_deadline(shim: &mut Shim, id: &str) {
    let held = shim.containers.get(id).and_then(|c| c.init.held);
    if let Some(exit) = held {
        tell(shim, id, "", exit);
    }
}

/// The runtime says that the container is gone: its init has been killed, whether or not we were told yet.
pub(crate) fn gone(shim: &mut Shim, id: &str) {
    let init = shim.containers.get(id).map(|c| &c.init).filter(|init| init.exit().is_none());
    if let Some(pid) = init.map(|init| init.pid) {
        tell(shim, id, "", Exit::now(pid, 137));
    }
}

/// All output first, then the state, the event and the waiters.
fn tell(shim: &mut Shim, id: &str, exec: &str, exit: Exit) {
    let Some(container) = shim.containers.get_mut(id) else { return };
    let owner = container.owner(exec);
    shim.pumps.drain(&owner, &shim.poller);
    let Ok(process) = container.process(exec) else { return };
    process.held = None;
    process.state = State::Stopped(exit);
    process.console = None;
    let waiters = std::mem::take(&mut process.waiters);
    let event = TaskExit {
        container_id: id.to_owned(),
        id: if exec.is_empty() { id.to_owned() } else { exec.to_owned() },
        pid: exit.pid as u32,
        exit_status: exit.status,
        exited_at: Some(exit.time()),
    };
    shim.publish(topics::TASK_EXIT, &event);
    let answer = WaitResponse { exit_status: exit.status, exited_at: Some(exit.time()) }.encode_to_vec();
    for to in waiters {
        shim.reply(to, Ok(answer.clone()));
    }
    if !exec.is_empty() {
        let init = shim.containers.get(id).filter(|c| !c.has_live_exec()).and_then(|c| c.init.held);
        if let Some(exit) = init.filter(|_| shim.containers[id].init.state != State::Starting) {
            tell(shim, id, "", exit);
        }
    }
}
