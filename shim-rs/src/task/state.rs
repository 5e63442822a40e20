//! State: what is known of a process.

use proto::containerd::task::v2::{StateRequest, StateResponse};

use crate::event_loop::Shim;

use super::{Outcome, now};

pub(super) fn state(shim: &mut Shim, request: &StateRequest) -> Outcome {
    let container = shim.container(&request.id)?;
    let (bundle, paused) = (container.bundle.to_string_lossy().into_owned(), container.paused);
    let process = container.process(&request.exec_id)?;
    let exit = process.exit();
    now(&StateResponse {
        id: request.id.clone(),
        bundle,
        pid: process.pid as u32,
        status: process.status(paused) as i32,
        stdin: process.stdio.stdin.clone(),
        stdout: process.stdio.stdout.clone(),
        stderr: process.stdio.stderr.clone(),
        terminal: process.stdio.terminal,
        exit_status: exit.map_or(0, |exit| exit.status),
        exited_at: exit.map(|exit| exit.time()),
        exec_id: request.exec_id.clone(),
    })
}
