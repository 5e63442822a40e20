//! CloseIO: stdin ends once the client's own end is closed too.

use proto::containerd::task::v2::CloseIoRequest;

use crate::event_loop::Shim;

use super::{Outcome, now};

pub(super) fn close_io(shim: &mut Shim, request: &CloseIoRequest) -> Outcome {
    let container = shim.container(&request.id)?;
    container.process(&request.exec_id)?;
    let owner = container.owner(&request.exec_id);
    if request.stdin {
        shim.pumps.close_input(&owner);
    }
    now(&())
}
