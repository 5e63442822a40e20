//! Out-of-memory kills, from the kernel to an event.

use std::os::fd::AsFd;

use cgroups::{OomEvent, OomWatch};
use proto::containerd::events::TaskOom;
use proto::topics;

use crate::event_loop::Shim;
use crate::poller::{Interest, Token};

/// Watches a container that has just been made. Without a memory controller there is nothing to watch.
pub(crate) fn watch(shim: &mut Shim, id: &str) {
    let number = shim.number();
    let Some(container) = shim.containers.get_mut(id) else { return };
    let Some(cgroup) = &container.cgroup else { return };
    let Ok(watch) = OomWatch::new(cgroup) else { return };
    if shim.poller.add(watch.as_fd(), Token::Oom(number), Interest::Read).is_ok() {
        container.oom = Some((number, watch));
    }
}

/// A watch woke up.
pub(crate) fn ready(shim: &mut Shim, number: u32) {
    let mut containers = shim.containers.values_mut();
    let Some(container) = containers.find(|c| c.oom.as_ref().is_some_and(|(n, _)| *n == number)) else {
        return;
    };
    let id = container.id.clone();
    let event = container.oom.as_mut().map(|(_, watch)| watch.drain());
    match event {
        Some(Ok(OomEvent::Killed)) => shim.publish(topics::TASK_OOM, &TaskOom { container_id: id }),
        Some(Ok(OomEvent::Nothing)) | None => {}
        Some(Ok(OomEvent::Gone) | Err(_)) => {
            if let Some((_, watch)) = container.oom.take() {
                shim.poller.remove(watch.as_fd());
            }
        }
    }
}
