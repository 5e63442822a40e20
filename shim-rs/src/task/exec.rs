//! Exec: another process in a container; made by Start.

use prost_types::Any;
use proto::containerd::events::TaskExecAdded;
use proto::containerd::task::v2::ExecProcessRequest;
use proto::topics;

use crate::event_loop::Shim;
use crate::exit_record::Exit;
use crate::failure::Failure;
use crate::files::{read_pid, write_atomic};
use crate::process::{Process, State};
use crate::server::ReplyTo;
use crate::stdio::console::ConsoleSocket;
use crate::stdio::{Stdio, attach};

use super::create::{Console, check_id};
use super::start::exec_started;
use super::{Answer, Outcome, now};

pub(super) fn exec(shim: &mut Shim, request: ExecProcessRequest) -> Outcome {
    check_id(&request.exec_id)?;
    let container = shim.container(&request.id)?;
    if container.execs.contains_key(&request.exec_id) {
        return Err(Failure::exists(format!("id {}", request.exec_id)));
    }
    match container.init.state {
        State::Stopped(_) => return Err(Failure::unknown("cannot exec in a stopped state")),
        _ if container.paused => return Err(Failure::unknown("cannot exec in a paused state")),
        _ => {}
    }
    let Any { value, .. } = request.spec.unwrap_or_default();
    serde_json::from_slice::<serde::de::IgnoredAny>(&value)
        .map_err(|e| Failure::invalid(format!("process of {}: {e}", request.exec_id)))?;
    let path = container.bundle.join(format!("{}-process.json", request.exec_id));
    write_atomic(&path, &value, 0o600).map_err(|e| Failure::io("write", path.display(), e))?;
    let stdio = Stdio {
        terminal: request.terminal,
        stdin: request.stdin,
        stdout: request.stdout,
        stderr: request.stderr,
    };
    container.execs.insert(request.exec_id.clone(), Process::new(&request.exec_id, stdio));
    let event = TaskExecAdded { container_id: request.id, exec_id: request.exec_id };
    shim.publish(topics::TASK_EXEC_ADDED, &event);
    now(&())
}

/// Runs it.
pub(super) fn start(shim: &mut Shim, to: ReplyTo, id: &str, exec: &str) -> Outcome {
    let number = shim.number();
    let namespace = shim.namespace.clone();
    let container = shim.containers.get_mut(id).ok_or_else(|| Failure::not_found("container not created"))?;
    if container.init.exit().is_some() || container.init.held.is_some() {
        return Err(Failure::unknown("cannot exec in a stopped state"));
    }
    let (runtime, owner, io_ids) = (container.runtime.clone(), container.owner(exec), container.io_ids);
    let pid_file = container.bundle.join(format!("{exec}.pid"));
    let spec = container.bundle.join(format!("{exec}-process.json"));
    drop(std::fs::remove_file(&pid_file));
    let process = container.process(exec)?;
    let opened = attach::open(&process.stdio, &owner, &namespace)?;
    let mut command = runtime.command(&["exec"]);
    command.arg("--process").arg(&spec).arg("--detach").arg("--pid-file").arg(&pid_file);
    let mut console = None;
    if process.stdio.terminal {
        let socket = ConsoleSocket::bind(&shim.socket_dir, number)
            .map_err(|e| Failure::io("make a console socket in", shim.socket_dir.display(), e))?;
        command.arg("--console-socket").arg(socket.path()).arg(id);
        console = Some(Console { socket, opened });
    } else {
        command.arg(id);
        let child = opened.connect_pipes(&owner, io_ids, &mut shim.pumps, &shim.poller)?;
        child.apply(&mut command);
    }
    process.state = State::Starting;
    let (id_then, exec_then) = (id.to_owned(), exec.to_owned());
    let called = shim.call(&runtime, command, move |shim, result| {
        let outcome = result
            .map_err(|text| Failure::unknown(format!("OCI runtime exec failed: {text}")))
            .and_then(|()| {
                read_pid(&pid_file).ok_or_else(|| Failure::io("read", pid_file.display(), "no pid in it"))
            })
            .and_then(|pid| {
                if let Some(console) = console {
                    let master = console.connect(shim, &(id_then.clone(), exec_then.clone()))?;
                    shim.container(&id_then)?.process(&exec_then)?.console = Some(master);
                }
                Ok(pid)
            });
        exec_started(shim, to, &id_then, &exec_then, outcome);
    });
    if let Err(text) = called {
        failed(shim, id, exec);
        return Err(Failure::unknown(format!("OCI runtime exec failed: {text}")));
    }
    Ok(Answer::Later)
}

/// It never ran: it is over, as far as anybody asks.
pub(super) fn failed(shim: &mut Shim, id: &str, exec: &str) {
    let Some(container) = shim.containers.get_mut(id) else { return };
    let owner = container.owner(exec);
    let Some(process) = container.execs.get_mut(exec) else { return };
    process.state = State::Stopped(Exit::now(0, 255));
    let waiters = std::mem::take(&mut process.waiters);
    shim.pumps.release(&owner, &shim.poller);
    super::wait::answer(shim, waiters, Exit::now(0, 255));
}
