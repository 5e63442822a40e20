//! Delete: forgets a process that has ended; with the init goes the container.

use std::os::fd::AsFd;

use prost::Message;
use proto::containerd::events::TaskDelete;
use proto::containerd::task::v2::{DeleteRequest, DeleteResponse};
use proto::topics;

use crate::event_loop::Shim;
use crate::exit_record::Exit;
use crate::failure::Failure;
use crate::process::State;
use crate::server::ReplyTo;
use crate::{reaper, rootfs};

use super::{Answer, Outcome, now, wait};

pub(super) fn delete(shim: &mut Shim, to: ReplyTo, request: &DeleteRequest) -> Outcome {
    let container = shim.container(&request.id)?;
    let bundle = container.bundle.clone();
    let owner = container.owner(&request.exec_id);
    let process = container.process(&request.exec_id)?;
    if process.is_live() || process.held.is_some() {
        return Err(Failure::unknown("cannot delete a running process"));
    }
    if !request.exec_id.is_empty() {
        let exit = process.exit();
        let (pid, waiters) = (process.pid, std::mem::take(&mut process.waiters));
        container.execs.remove(&request.exec_id);
        shim.pumps.release(&owner, &shim.poller);
        for name in [format!("{}.pid", request.exec_id), format!("{}-process.json", request.exec_id)] {
            drop(std::fs::remove_file(bundle.join(name)));
        }
        wait::disappoint(shim, waiters);
        return now(&response(pid, exit));
    }
    // A container that was never started has a process to be killed.
    let mut args = vec!["delete"];
    if process.state == State::Created {
        args.push("--force");
    }
    args.push(&request.id);
    let runtime = container.runtime.clone();
    let command = runtime.command(&args);
    let id = request.id.clone();
    shim.call(&runtime, command, move |shim, result| deleted(shim, to, &id, result))
        .map_err(|text| Failure::unknown(format!("OCI runtime delete failed: {text}")))?;
    Ok(Answer::Later)
}

fn deleted(shim: &mut Shim, to: ReplyTo, id: &str, result: Result<(), String>) {
    if let Err(text) = result
        && !text.contains("does not exist")
    {
        return shim.reply(to, Err(Failure::unknown(format!("OCI runtime delete failed: {text}"))));
    }
    reaper::gone(shim, id);
    let Some(mut container) = shim.containers.remove(id) else {
        return shim.reply(to, Err(Failure::not_found("container not created")));
    };
    if let Some((_, watch)) = container.oom.take() {
        shim.poller.remove(watch.as_fd());
    }
    rootfs::disassemble(&container.bundle);
    for exec in container.execs.keys() {
        shim.pumps.release(&container.owner(exec), &shim.poller);
    }
    shim.pumps.release(&container.owner(""), &shim.poller);
    let exit = container.init.exit().unwrap_or_else(|| Exit::now(container.init.pid, 137));
    let event = TaskDelete {
        container_id: id.to_owned(),
        pid: container.init.pid as u32,
        exit_status: exit.status,
        exited_at: Some(exit.time()),
        id: String::new(),
    };
    shim.publish(topics::TASK_DELETE, &event);
    shim.reply(to, Ok(response(container.init.pid, Some(exit)).encode_to_vec()));
}

fn response(pid: i32, exit: Option<Exit>) -> DeleteResponse {
    DeleteResponse {
        pid: pid as u32,
        exit_status: exit.map_or(0, |exit| exit.status),
        exited_at: exit.map(|exit| exit.time()),
    }
}
