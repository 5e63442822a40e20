//! The Task service: one file a method (two where they are twins).
//!
//! v2 and v3 have the same messages on the wire; v2's types stand for both.

mod close_io;
mod connect;
mod create;
mod delete;
mod exec;
pub(crate) mod kill;
mod pause;
mod pids;
mod resize;
mod shutdown;
mod start;
mod state;
mod stats;
mod update;
mod wait;

use prost::Message;
use proto::status::Code;
use proto::ttrpc::Request;

use crate::event_loop::Shim;
use crate::failure::Failure;
use crate::server::ReplyTo;

/// What a method gives: its answer, or the promise that it will come.
pub(crate) enum Answer {
    Now(Vec<u8>),
    Later,
}

/// A method's outcome so far.
pub(crate) type Outcome = Result<Answer, Failure>;

fn now(message: &impl Message) -> Outcome {
    Ok(Answer::Now(message.encode_to_vec()))
}

fn decode<M: Message + Default>(payload: &[u8]) -> Result<M, Failure> {
    M::decode(payload).map_err(Failure::invalid)
}

/// Handles one request.
pub(crate) fn dispatch(shim: &mut Shim, to: ReplyTo, request: Request) {
    match handle(shim, to, &request) {
        Ok(Answer::Now(payload)) => shim.reply(to, Ok(payload)),
        Ok(Answer::Later) => {}
        Err(failure) => shim.reply(to, Err(failure)),
    }
}

fn handle(shim: &mut Shim, to: ReplyTo, request: &Request) -> Outcome {
    if !matches!(request.service.as_str(), "containerd.task.v2.Task" | "containerd.task.v3.Task") {
        return Err(Failure::new(Code::Unimplemented, format!("service {}", request.service)));
    }
    let payload = request.payload.as_slice();
    match request.method.as_str() {
        "State" => state::state(shim, &decode(payload)?),
        "Create" => create::create(shim, to, decode(payload)?),
        "Start" => start::start(shim, to, &decode(payload)?),
        "Delete" => delete::delete(shim, to, &decode(payload)?),
        "Pids" => pids::pids(shim, &decode(payload)?),
        "Pause" => pause::pause(shim, to, &decode(payload)?),
        "Resume" => pause::resume(shim, to, &decode(payload)?),
        "Checkpoint" => {
            let text = "checkpoint: this shim doesn't drive criu: not implemented";
            Err(Failure::new(Code::Unimplemented, text))
        }
        "Kill" => kill::kill(shim, to, &decode(payload)?),
        "Exec" => exec::exec(shim, decode(payload)?),
        "ResizePty" => resize::resize(shim, &decode(payload)?),
        "CloseIO" => close_io::close_io(shim, &decode(payload)?),
        "Update" => update::update(shim, to, &decode(payload)?),
        "Wait" => wait::wait(shim, to, &decode(payload)?),
        "Stats" => stats::stats(shim, &decode(payload)?),
        "Connect" => connect::connect(shim, &decode(payload)?),
        "Shutdown" => shutdown::shutdown(shim, &decode(payload)?),
        method => Err(Failure::new(Code::Unimplemented, format!("method {method}"))),
    }
}
