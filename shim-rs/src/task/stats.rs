//! Stats: counters from the cgroup's files, no runtime asked.

use proto::containerd::task::v2::{StatsRequest, StatsResponse};

use crate::event_loop::Shim;
use crate::failure::Failure;
use crate::metrics;

use super::{Outcome, now};

pub(super) fn stats(shim: &mut Shim, request: &StatsRequest) -> Outcome {
    let container = shim.container(&request.id)?;
    let cgroup = container.cgroup.as_ref().ok_or_else(|| Failure::not_found("cgroup does not exist"))?;
    let stats = cgroup.stats().map_err(|e| Failure::io("read counters of", &request.id, e))?;
    now(&StatsResponse { stats: Some(metrics::pack(&stats)) })
}
