//! Pause and Resume: `RUNTIME pause` and `RUNTIME resume`.

use prost::Message;
use proto::containerd::events::{TaskPaused, TaskResumed};
use proto::containerd::task::v2::{PauseRequest, ResumeRequest};
use proto::topics;

use crate::event_loop::Shim;
use crate::failure::Failure;
use crate::process::State;
use crate::server::ReplyTo;

use super::{Answer, Outcome};

pub(super) fn pause(shim: &mut Shim, to: ReplyTo, request: &PauseRequest) -> Outcome {
    change(shim, to, &request.id, true)
}

pub(super) fn resume(shim: &mut Shim, to: ReplyTo, request: &ResumeRequest) -> Outcome {
    change(shim, to, &request.id, false)
}

fn change(shim: &mut Shim, to: ReplyTo, id: &str, paused: bool) -> Outcome {
    let container = shim.container(id)?;
    let verb = if paused { "pause" } else { "resume" };
    let state = match container.init.state {
        State::Running if container.paused => "paused",
        State::Running | State::Starting => "running",
        State::Created => "created",
        State::Stopped(_) => "stopped",
    };
    if state != if paused { "running" } else { "paused" } {
        // Go's words, which are not of one piece.
        return Err(Failure::unknown(match state {
            "created" => format!("cannot {verb} task in created state"),
            "running" => "cannot resume a running process".to_owned(),
            _ => format!("cannot {verb} a {state} container"),
        }));
    }
    let runtime = container.runtime.clone();
    let command = runtime.command(&[verb, id]);
    let id = id.to_owned();
    let then = move |shim: &mut Shim, result: Result<(), String>| {
        if let Err(text) = result {
            return shim.reply(to, Err(Failure::unknown(format!("OCI runtime {verb} failed: {text}"))));
        }
        if let Some(container) = shim.containers.get_mut(&id) {
            container.paused = paused;
        }
        if paused {
            shim.publish(topics::TASK_PAUSED, &TaskPaused { container_id: id });
        } else {
            shim.publish(topics::TASK_RESUMED, &TaskResumed { container_id: id });
        }
        shim.reply(to, Ok(().encode_to_vec()));
    };
    shim.call(&runtime, command, then)
        .map_err(|text| Failure::unknown(format!("OCI runtime {verb} failed: {text}")))?;
    Ok(Answer::Later)
}
