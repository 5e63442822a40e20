//! Shutdown: the end of the shim, when it has no container left.

use proto::containerd::task::v2::ShutdownRequest;

use crate::event_loop::Shim;

use super::{Outcome, now};

pub(super) fn shutdown(shim: &mut Shim, request: &ShutdownRequest) -> Outcome {
    if request.now || (shim.containers.is_empty() && shim.creating.is_empty()) {
        shim.stop();
    }
    now(&())
}
