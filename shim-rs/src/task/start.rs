//! Start: `RUNTIME start` for the init, `RUNTIME exec` for an exec.

use prost::Message;
use proto::containerd::events::{TaskExecStarted, TaskStart};
use proto::containerd::task::v2::{StartRequest, StartResponse};
use proto::topics;

use crate::event_loop::Shim;
use crate::failure::Failure;
use crate::process::State;
use crate::reaper;
use crate::server::ReplyTo;

use super::{Answer, Outcome, exec};

pub(super) fn start(shim: &mut Shim, to: ReplyTo, request: &StartRequest) -> Outcome {
    let container = shim.container(&request.id)?;
    let process = container.process(&request.exec_id)?;
    match process.state {
        State::Created => {}
        State::Starting | State::Running => return Err(Failure::unknown("cannot start a running process")),
        State::Stopped(_) => return Err(Failure::unknown("cannot start a stopped process")),
    }
    if !request.exec_id.is_empty() {
        return exec::start(shim, to, &request.id, &request.exec_id);
    }
    process.state = State::Starting;
    let runtime = container.runtime.clone();
    let command = runtime.command(&["start", &request.id]);
    let id = request.id.clone();
    let called = shim.call(&runtime, command, move |shim, result| started(shim, to, &id, result));
    if let Err(text) = called {
        shim.container(&request.id)?.init.state = State::Created;
        return Err(Failure::unknown(format!("OCI runtime start failed: {text}")));
    }
    Ok(Answer::Later)
}

fn started(shim: &mut Shim, to: ReplyTo, id: &str, result: Result<(), String>) {
    let Some(container) = shim.containers.get_mut(id) else { return };
    let pid = container.init.pid as u32;
    match result {
        Ok(()) => {
            container.init.state = State::Running;
            shim.publish(topics::TASK_START, &TaskStart { container_id: id.to_owned(), pid });
            shim.reply(to, Ok(StartResponse { pid }.encode_to_vec()));
        }
        Err(text) => {
            container.init.state = State::Created;
            shim.reply(to, Err(Failure::unknown(format!("OCI runtime start failed: {text}"))));
        }
    }
    reaper::release(shim, id, "");
}

/// An exec runs, or doesn't.
pub(super) fn exec_started(
    shim: &mut Shim,
    to: ReplyTo,
    id: &str,
    exec: &str,
    outcome: Result<i32, Failure>,
) {
    let Some(process) = shim.containers.get_mut(id).and_then(|c| c.execs.get_mut(exec)) else {
        return shim.reply(to, Err(Failure::not_found(format!("process does not exist {exec}"))));
    };
    match outcome {
        Ok(pid) => {
            process.pid = pid;
            process.state = State::Running;
            shim.pumps.begin(&(id.to_owned(), exec.to_owned()), &shim.poller);
            let event =
                TaskExecStarted { container_id: id.to_owned(), exec_id: exec.to_owned(), pid: pid as u32 };
            shim.publish(topics::TASK_EXEC_STARTED, &event);
            shim.reply(to, Ok(StartResponse { pid: pid as u32 }.encode_to_vec()));
            if let Some(exit) = shim.strangers.remove(&pid) {
                reaper::ended(shim, id, exec, exit);
            }
        }
        Err(failure) => {
            exec::failed(shim, id, exec);
            shim.reply(to, Err(failure));
            reaper::release(shim, id, "");
        }
    }
}
