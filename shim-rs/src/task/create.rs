//! Create: mounts, stdio, `RUNTIME create`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use cgroups::Cgroup;
use prost::Message;
use proto::containerd::events::{TaskCreate, TaskIo};
use proto::containerd::task::v2::{CreateTaskRequest, CreateTaskResponse};
use proto::status::Code;
use proto::topics;

use crate::container::{Config, Container};
use crate::event_loop::Shim;
use crate::failure::Failure;
use crate::files::read_pid;
use crate::options::Options;
use crate::process::Process;
use crate::runtime::Runtime;
use crate::server::ReplyTo;
use crate::stdio::Stdio;
use crate::stdio::attach::{self, Opened};
use crate::stdio::console::ConsoleSocket;
use crate::{oom, reaper, rootfs};

use super::{Answer, Outcome};

/// A terminal that the runtime is to hand over.
pub(super) struct Console {
    pub(super) socket: ConsoleSocket,
    pub(super) opened: Opened,
}

/// What is known before the runtime has done its part.
struct Draft {
    request: CreateTaskRequest,
    bundle: PathBuf,
    runtime: Runtime,
    options: Options,
    console: Option<Console>,
}

pub(super) fn create(shim: &mut Shim, to: ReplyTo, request: CreateTaskRequest) -> Outcome {
    let id = request.id.clone();
    check_id(&id)?;
    if shim.containers.contains_key(&id) || shim.creating.contains(&id) {
        return Err(Failure::exists(format!("container {id}")));
    }
    if !request.checkpoint.is_empty() {
        let text = "restore from a checkpoint: this shim doesn't drive criu: not implemented";
        return Err(Failure::new(Code::Unimplemented, text));
    }
    let bundle = PathBuf::from(&request.bundle);
    let options = Options::from_any(request.options.as_ref())?;
    options.save(&bundle)?;
    rootfs::assemble(&bundle, &request.rootfs)?;
    let prepared = prepare(shim, request, bundle.clone(), options).and_then(|(draft, command)| {
        let runtime = draft.runtime.clone();
        let id = draft.request.id.clone();
        shim.call(&runtime, command, move |shim, result| created(shim, to, draft, result))
            .map_err(|text| Failure::unknown(format!("OCI runtime create failed: {text}")))
            .map(|()| id)
    });
    match prepared {
        Ok(id) => {
            shim.creating.insert(id);
            Ok(Answer::Later)
        }
        Err(failure) => {
            shim.pumps.release(&(id, String::new()), &shim.poller);
            rootfs::disassemble(&bundle);
            Err(failure)
        }
    }
}

fn prepare(
    shim: &mut Shim,
    request: CreateTaskRequest,
    bundle: PathBuf,
    options: Options,
) -> Result<(Draft, std::process::Command), Failure> {
    let owner = (request.id.clone(), String::new());
    let stdio = stdio_of(&request);
    let runtime = Runtime::new(&options, &shim.namespace, &bundle);
    let opened = attach::open(&stdio, &owner, &shim.namespace)?;
    let mut args: Vec<OsString> = vec!["create".into(), "--bundle".into(), bundle.clone().into()];
    args.extend(["--pid-file".into(), bundle.join("init.pid").into()]);
    if options.no_pivot_root {
        args.push("--no-pivot".into());
    }
    if options.no_new_keyring {
        args.push("--no-new-keyring".into());
    }
    let mut console = None;
    let mut child = None;
    if stdio.terminal {
        let number = shim.number();
        let socket = ConsoleSocket::bind(&shim.socket_dir, number)
            .map_err(|e| Failure::io("make a console socket in", shim.socket_dir.display(), e))?;
        args.extend(["--console-socket".into(), socket.path().into()]);
        console = Some(Console { socket, opened });
    } else {
        let ids = (options.io_uid, options.io_gid);
        child = Some(opened.connect_pipes(&owner, ids, &mut shim.pumps, &shim.poller)?);
    }
    args.push(request.id.clone().into());
    let mut command = runtime.command(&[]);
    command.args(args);
    if let Some(child) = child {
        child.apply(&mut command);
    }
    Ok((Draft { request, bundle, runtime, options, console }, command))
}

/// The runtime has made it, or said why not.
fn created(shim: &mut Shim, to: ReplyTo, draft: Draft, result: Result<(), String>) {
    let id = draft.request.id.clone();
    shim.creating.remove(&id);
    let bundle = draft.bundle.clone();
    let outcome = result
        .map_err(|text| Failure::unknown(format!("OCI runtime create failed: {text}")))
        .and_then(|()| register(shim, draft));
    match outcome {
        Ok(pid) => {
            shim.pumps.begin(&(id.clone(), String::new()), &shim.poller);
            shim.reply(to, Ok(CreateTaskResponse { pid: pid as u32 }.encode_to_vec()));
            if let Some(exit) = shim.strangers.remove(&pid) {
                reaper::ended(shim, &id, "", exit);
            }
        }
        Err(failure) => {
            shim.pumps.release(&(id, String::new()), &shim.poller);
            rootfs::disassemble(&bundle);
            shim.reply(to, Err(failure));
        }
    }
}

fn register(shim: &mut Shim, draft: Draft) -> Result<i32, Failure> {
    let Draft { request, bundle, runtime, options, console } = draft;
    let (id, pid_file) = (request.id.clone(), bundle.join("init.pid"));
    let pid = read_pid(&pid_file).ok_or_else(|| Failure::io("read", pid_file.display(), "no pid in it"))?;
    let mut init = Process::new("", stdio_of(&request));
    init.pid = pid;
    if let Some(console) = console {
        init.console = Some(console.connect(shim, &(id.clone(), String::new()))?);
    }
    let container = Container {
        id: id.clone(),
        owns_pids: Config::load(&bundle).owns_pids(),
        cgroup: own_cgroup(pid),
        bundle,
        runtime,
        io_ids: (options.io_uid, options.io_gid),
        init,
        execs: BTreeMap::new(),
        paused: false,
        oom: None,
    };
    let event = TaskCreate {
        container_id: id.clone(),
        bundle: request.bundle,
        rootfs: request.rootfs,
        io: Some(TaskIo {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            terminal: request.terminal,
        }),
        checkpoint: request.checkpoint,
        pid: pid as u32,
    };
    shim.containers.insert(id.clone(), container);
    oom::watch(shim, &id);
    shim.publish(topics::TASK_CREATE, &event);
    Ok(pid)
}

impl Console {
    /// Takes the terminal that the runtime has left in the socket.
    pub(super) fn connect(self, shim: &mut Shim, owner: &(String, String)) -> Result<std::fs::File, Failure> {
        let fail = |e: std::io::Error| Failure::io("take the terminal of", &owner.0, e);
        let master = self.socket.receive().map_err(fail)?;
        self.opened.connect_console(&master, owner, &mut shim.pumps, &shim.poller).map_err(fail)?;
        Ok(master)
    }
}

fn stdio_of(request: &CreateTaskRequest) -> Stdio {
    Stdio {
        terminal: request.terminal,
        stdin: request.stdin.clone(),
        stdout: request.stdout.clone(),
        stderr: request.stderr.clone(),
    }
}

/// Ids become file names in the bundle and arguments of the runtime.
pub(super) fn check_id(id: &str) -> Result<(), Failure> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if id.is_empty() || id.starts_with(['-', '.']) || !id.chars().all(good) {
        return Err(Failure::invalid(format!("identifier {id:?}")));
    }
    Ok(())
}

/// The container's cgroup, unless the runtime gave it none: then it would be ours, with everybody else in it.
fn own_cgroup(pid: i32) -> Option<Cgroup> {
    let cgroup = Cgroup::of_pid(pid).ok()?;
    let ours = Cgroup::of_pid(std::process::id() as i32).ok()?;
    let moved = cgroup.paths().any(|(name, path)| {
        path != Path::new("/") && !ours.paths().any(|(other, ours)| other == name && ours == path)
    });
    moved.then_some(cgroup)
}
