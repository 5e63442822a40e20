//! Pids: every process of a container, execs by name.

use proto::containerd::runc::v1::ProcessDetails;
use proto::containerd::task::v2::{PidsRequest, PidsResponse};
use proto::containerd::v1::types::ProcessInfo;
use proto::typeurl;

use crate::event_loop::Shim;
use crate::failure::Failure;

use super::{Outcome, now};

pub(super) fn pids(shim: &mut Shim, request: &PidsRequest) -> Outcome {
    let container = shim.container(&request.id)?;
    let pids = match &container.cgroup {
        _ if container.init.exit().is_some() => Vec::new(),
        Some(cgroup) => cgroup.pids().map_err(|e| Failure::io("list processes of", &request.id, e))?,
        // Without a cgroup of its own, those that we have started.
        None => {
            let live = container.execs.values().filter(|exec| exec.is_live()).map(|exec| exec.pid);
            std::iter::once(container.init.pid).chain(live).collect()
        }
    };
    let info = |pid: i32| {
        let exec = container.execs.values().find(|exec| exec.pid == pid);
        let info = exec.map(|exec| typeurl::pack(&ProcessDetails { exec_id: exec.id.clone() }));
        ProcessInfo { pid: pid as u32, info }
    };
    now(&PidsResponse { processes: pids.into_iter().map(info).collect() })
}
