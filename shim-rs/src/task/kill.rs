//! Kill: a signal to one process or to all.

use nix::errno::Errno;
use prost::Message;
use proto::containerd::task::v2::KillRequest;

use crate::event_loop::Shim;
use crate::failure::Failure;
use crate::process::State;
use crate::server::ReplyTo;

use super::{Answer, Outcome, now};

pub(super) fn kill(shim: &mut Shim, to: ReplyTo, request: &KillRequest) -> Outcome {
    let container = shim.container(&request.id)?;
    let (paused, runtime) = (container.paused, container.runtime.clone());
    let process = container.process(&request.exec_id)?;
    let signal = request.signal as i32;
    let direct = !(request.all || paused && request.exec_id.is_empty());
    match process.state {
        State::Stopped(_) if request.all && request.exec_id.is_empty() => {}
        State::Stopped(_) => return Err(Failure::not_found("process already finished")),
        _ if process.pid == 0 => return Err(Failure::precondition("process not created")),
        _ if process.held.is_some() && !request.all => {
            return Err(Failure::not_found("process already finished"));
        }
        // Our own child, not yet reaped: the pid can't be anybody else's. A frozen one is the runtime's to thaw.
        _ if direct => {
            return match signal_process(process.pid, signal) {
                Ok(()) => now(&()),
                Err(Errno::ESRCH) => Err(Failure::not_found("process already finished")),
                Err(errno) => Err(Failure::invalid(format!("send signal {signal}: {errno}"))),
            };
        }
        _ => {}
    }
    let number = signal.to_string();
    let mut args = vec!["kill"];
    if request.all {
        args.push("--all");
    }
    args.extend([request.id.as_str(), number.as_str()]);
    let all = request.all;
    let thaw = (paused && signal == libc::SIGKILL).then(|| request.id.clone());
    let then = move |shim: &mut Shim, result: Result<(), String>| {
        if let Some(container) = thaw.as_ref().and_then(|id| shim.containers.get_mut(id)) {
            // Not every runtime does it, and a frozen process doesn't die on cgroup v1.
            container.paused = container.cgroup.as_ref().is_none_or(|cgroup| cgroup.thaw().is_err());
        }
        let answer = match result {
            Ok(()) => Ok(().encode_to_vec()),
            // With `all` nobody left to be killed is what was wanted.
            Err(text) if is_gone(&text) && all => Ok(().encode_to_vec()),
            Err(text) if is_gone(&text) => Err(Failure::not_found("process already finished")),
            Err(text) => Err(Failure::unknown(format!("OCI runtime kill failed: {text}"))),
        };
        shim.reply(to, answer);
    };
    shim.call(&runtime, runtime.command(&args), then)
        .map_err(|text| Failure::unknown(format!("OCI runtime kill failed: {text}")))?;
    Ok(Answer::Later)
}

/// Signals that nix has no name for (real-time ones) are signals too.
fn signal_process(pid: i32, signal: i32) -> Result<(), Errno> {
    crate::descriptors::send_signal(pid, signal)
}

fn is_gone(text: &str) -> bool {
    ["process already finished", "container not running", "does not exist", "no such process", "not running"]
        .iter()
        .any(|words| text.contains(words))
}

/// The init has ended and its container has no pid namespace of its own: whoever is left is killed.
pub(crate) fn kill_rest(shim: &mut Shim, id: &str) {
    let Some(container) = shim.containers.get(id) else { return };
    if let Some(cgroup) = &container.cgroup {
        if let Err(error) = cgroup.kill_all() {
            crate::complaint::complain!("kill what is left of {id}: {error}");
        }
        return;
    }
    let runtime = container.runtime.clone();
    let command = runtime.command(&["kill", "--all", id, "9"]);
    if let Err(text) = shim.call(&runtime, command, |_, _| ()) {
        crate::complaint::complain!("kill what is left of {id}: {text}");
    }
}
