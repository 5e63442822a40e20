//! Connect: the sign of life that a daemon asks for when it comes back.

use proto::containerd::task::v2::{ConnectRequest, ConnectResponse};

use crate::event_loop::Shim;

use super::{Outcome, now};

pub(super) fn connect(shim: &mut Shim, request: &ConnectRequest) -> Outcome {
    let task_pid = shim.containers.get(&request.id).map_or(0, |c| c.init.pid as u32);
    let version = env!("CARGO_PKG_VERSION").to_owned();
    now(&ConnectResponse { shim_pid: std::process::id(), task_pid, version })
}
