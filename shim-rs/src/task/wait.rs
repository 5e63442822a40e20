//! Wait: answered when the process has ended.

use prost::Message;
use proto::containerd::task::v2::{WaitRequest, WaitResponse};

use crate::event_loop::Shim;
use crate::exit_record::Exit;
use crate::failure::Failure;
use crate::server::ReplyTo;

use super::{Answer, Outcome, now};

pub(super) fn wait(shim: &mut Shim, to: ReplyTo, request: &WaitRequest) -> Outcome {
    let process = shim.container(&request.id)?.process(&request.exec_id)?;
    if let Some(exit) = process.exit() {
        return now(&response(exit));
    }
    process.waiters.push(to);
    Ok(Answer::Later)
}

/// Answers everybody who waited.
pub(super) fn answer(shim: &mut Shim, waiters: Vec<ReplyTo>, exit: Exit) {
    for to in waiters {
        shim.reply(to, Ok(response(exit).encode_to_vec()));
    }
}

/// Those who waited for a process that is deleted unseen.
pub(super) fn disappoint(shim: &mut Shim, waiters: Vec<ReplyTo>) {
    for to in waiters {
        shim.reply(to, Err(Failure::not_found("process was deleted")));
    }
}

fn response(exit: Exit) -> WaitResponse {
    WaitResponse { exit_status: exit.status, exited_at: Some(exit.time()) }
}
