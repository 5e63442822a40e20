//! ResizePty: the terminal's size in characters.

use proto::containerd::task::v2::ResizePtyRequest;

use crate::event_loop::Shim;
use crate::failure::Failure;
use crate::stdio::console;

use super::{Outcome, now};

pub(super) fn resize(shim: &mut Shim, request: &ResizePtyRequest) -> Outcome {
    let process = shim.container(&request.id)?.process(&request.exec_id)?;
    if process.exit().is_some() {
        return Err(Failure::unknown("cannot resize a stopped container"));
    }
    // Without a terminal (yet) there is nothing to resize, and clients don't want to hear about it.
    if let Some(master) = &process.console {
        let clamp = |size: u32| u16::try_from(size).unwrap_or(u16::MAX);
        console::resize(master, clamp(request.width), clamp(request.height))
            .map_err(|e| Failure::io("resize the terminal of", &request.id, e))?;
    }
    now(&())
}
