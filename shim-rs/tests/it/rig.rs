//! A bundle, a daemon that only listens, and a client.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use prost::{Message, Name};
use proto::containerd::runc::v1::Options;
use proto::containerd::services::events::ttrpc::v1::ForwardRequest;
use proto::containerd::task::v2::*;
use proto::containerd::types::{Envelope, Mount};
use proto::google::rpc::Status;
use proto::ttrpc::{self, Decoded, Decoder, Request, Response};
use proto::typeurl;

pub(crate) const SHIM: &str = env!("CARGO_BIN_EXE_containerd-shim-runcrs-v2");
/// Nothing here takes so long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(30);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// One bundle and everything around it.
pub(crate) struct Rig {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) namespace: String,
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    /// Leave out and the shim finds its own.
    pub(crate) runtime: String,
    address: String,
}

impl Rig {
    /// A bundle whose process is `args` in a busybox root file system.
    pub(crate) fn new(args: &[&str]) -> Self {
        Self::with_config(args, |_| ())
    }

    pub(crate) fn shell(script: &str) -> Self {
        Self::new(&["/bin/sh", "-c", script])
    }

    pub(crate) fn with_config(args: &[&str], change: impl FnOnce(&mut serde_json::Value)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let id = format!("shimtest-{}-{number}", std::process::id());
        make_rootfs(&dir.path().join("lower"));
        let bundle = dir.path().join("bundle");
        fs::create_dir_all(bundle.join("rootfs")).expect("a bundle");
        let mut config = config(args, &id);
        change(&mut config);
        fs::write(bundle.join("config.json"), config.to_string()).expect("a config");
        let runtime = std::env::var("SHIM_TEST_RUNTIME").unwrap_or_else(|_| "runc".into());
        Self { namespace: "shimtest".into(), id, bundle, runtime, address: String::new(), dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command of the shim in the bundle.
    pub(crate) fn shim(&self, action: &str) -> Command {
        let mut command = Command::new(SHIM);
        command.args(["-namespace", &self.namespace, "-id", &self.id, "-publish-binary", "/bin/false"]);
        command.arg("-address").arg(self.path("daemon.sock"));
        if action == "delete" {
            command.arg("-bundle").arg(&self.bundle);
        }
        command.arg("-future-flag").arg(action).current_dir(&self.bundle).stdin(Stdio::null());
        command.env("TTRPC_ADDRESS", self.path("daemon.sock.ttrpc"));
        command
    }

    /// Runs `start` and connects.
    pub(crate) fn start(&mut self) -> Client {
        let output = self.shim("start").output().expect("the shim is executable");
        assert!(output.status.success(), "{output:?}");
        self.address = text(&output);
        self.connect()
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(Path::new(self.address.strip_prefix("unix://").expect("a bare unix:// address")))
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn options(&self) -> Options {
        let root = self.path("runtime").to_string_lossy().into_owned();
        Options { binary_name: self.runtime.clone(), root, ..Options::default() }
    }

    /// A Create request with a bind mount for its root file system and no stdio.
    pub(crate) fn create_request(&self) -> CreateTaskRequest {
        CreateTaskRequest {
            id: self.id.clone(),
            bundle: self.bundle.to_string_lossy().into_owned(),
            rootfs: vec![Mount {
                r#type: "bind".into(),
                source: self.path("lower").to_string_lossy().into_owned(),
                target: String::new(),
                options: vec!["rbind".into(), "rw".into()],
            }],
            options: Some(typeurl::pack(&self.options())),
            ..CreateTaskRequest::default()
        }
    }

    /// Create and Start.
    pub(crate) fn run(&self, client: &mut Client, request: CreateTaskRequest) -> u32 {
        let created: CreateTaskResponse = client.ask("Create", &request);
        let started: StartResponse =
            client.ask("Start", &StartRequest { id: self.id.clone(), exec_id: "".into() });
        assert_eq!(created.pid, started.pid);
        started.pid
    }

    pub(crate) fn wait(&self, client: &mut Client, exec: &str) -> WaitResponse {
        client.ask("Wait", &WaitRequest { id: self.id.clone(), exec_id: exec.into() })
    }

    pub(crate) fn delete(&self, client: &mut Client, exec: &str) -> DeleteResponse {
        client.ask("Delete", &DeleteRequest { id: self.id.clone(), exec_id: exec.into() })
    }

    pub(crate) fn kill(&self, client: &mut Client, signal: u32) {
        let request = KillRequest { id: self.id.clone(), exec_id: "".into(), signal, all: false };
        client.ask::<()>("Kill", &request);
    }

    /// Wait, Delete, Shutdown: a container's usual end.
    pub(crate) fn finish(&self, client: &mut Client) -> u32 {
        let status = self.wait(client, "").exit_status;
        assert_eq!(self.delete(client, "").exit_status, status);
        client.ask::<()>("Shutdown", &ShutdownRequest { id: self.id.clone(), now: false });
        status
    }

    /// Adds an exec of a shell script and starts it.
    pub(crate) fn exec(&self, client: &mut Client, exec: &str, script: &str, stdout: &str) -> u32 {
        let process = serde_json::json!({
            "args": ["/bin/sh", "-c", script], "cwd": "/", "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"],
        });
        let spec = prost_types::Any { type_url: typeurl::PROCESS.into(), value: process.to_string().into() };
        let request = ExecProcessRequest {
            id: self.id.clone(),
            exec_id: exec.into(),
            stdout: stdout.into(),
            spec: Some(spec),
            ..ExecProcessRequest::default()
        };
        client.ask::<()>("Exec", &request);
        let start = StartRequest { id: self.id.clone(), exec_id: exec.into() };
        client.ask::<StartResponse>("Start", &start).pid
    }

    /// Whether anything is mounted below our directory.
    pub(crate) fn has_mounts(&self) -> bool {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("readable");
        mounts.contains(&self.bundle.to_string_lossy().into_owned())
    }

    pub(crate) fn json_log(&self) -> String {
        format!("json-file://{}", self.path("c.log").display())
    }

    /// The lines of a json-file log.
    pub(crate) fn log_lines(&self) -> Vec<(logfile::Stream, String)> {
        let reader = logfile::LogReader::open(
            &self.path("c.log"),
            logfile::Format::JsonFile,
            logfile::ReadOptions::default(),
        );
        let entries = reader.expect("the log opens").map(|entry| entry.expect("the log reads"));
        entries.map(|e| (e.stream, String::from_utf8_lossy(&e.log).into_owned())).collect()
    }

    /// A fifo as a client makes it, and its URI.
    pub(crate) fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
        path
    }
}

impl Drop for Rig {
    /// Whatever a failed test left: the shim, the container, the mount.
    fn drop(&mut self) {
        if let Some(socket) = self.address.strip_prefix("unix://")
            && let Ok(socket) = UnixStream::connect(socket)
        {
            let mut client = Client::new(socket);
            let request = ConnectRequest { id: self.id.clone() };
            if let Ok(answer) = client.try_ask::<ConnectResponse>("Connect", &request) {
                let pid = nix::unistd::Pid::from_raw(answer.shim_pid as i32);
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            }
        }
        drop(fs::remove_file(self.address.trim_start_matches("unix://")));
        if let Ok(output) = self.shim("delete").output() {
            drop(output);
        }
    }
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// A client's connection.
pub(crate) struct Client {
    socket: UnixStream,
    decoder: Decoder,
    stream: u32,
}

impl Client {
    fn connect(path: &Path) -> Self {
        Self::new(UnixStream::connect(path).expect("the shim listens"))
    }

    fn new(socket: UnixStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { socket, decoder: Decoder::default(), stream: 0 }
    }

    /// Sends a request and returns its stream.
    pub(crate) fn send(&mut self, service: &str, method: &str, message: &impl Message) -> u32 {
        self.stream = if self.stream == 0 { 1 } else { self.stream + 2 };
        let request = Request {
            service: service.into(),
            method: method.into(),
            payload: message.encode_to_vec(),
            ..Request::default()
        };
        let bytes = ttrpc::encode_request(self.stream, &request).expect("a small request");
        self.socket.write_all(&bytes).expect("the shim reads");
        self.stream
    }

    /// The next answer, whichever call it belongs to.
    pub(crate) fn receive(&mut self) -> (u32, Response) {
        loop {
            if let Some(Decoded::Frame(frame)) = self.decoder.next_frame() {
                return (frame.stream, frame.response().expect("a response"));
            }
            let mut chunk = [0u8; 4096];
            let count = self.socket.read(&mut chunk).expect("the shim answers");
            assert!(count > 0, "the shim has hung up");
            self.decoder.feed(&chunk[..count]);
        }
    }

    pub(crate) fn try_ask<R: Message + Default>(
        &mut self,
        method: &str,
        message: &impl Message,
    ) -> Result<R, Status> {
        let sent = self.send("containerd.task.v2.Task", method, message);
        let (stream, response) = self.receive();
        assert_eq!(stream, sent);
        response.into_result().map(|payload| R::decode(payload.as_slice()).expect("the method's answer"))
    }

    pub(crate) fn ask<R: Message + Default>(&mut self, method: &str, message: &impl Message) -> R {
        self.try_ask(method, message).unwrap_or_else(|status| panic!("{method}: {status:?}"))
    }

    /// Code and text of a refusal.
    pub(crate) fn refused(&mut self, method: &str, message: &impl Message) -> (i32, String) {
        let status = self.try_ask::<()>(method, message).expect_err("it should be refused");
        (status.code, status.message)
    }
}

/// The daemon's event socket.
pub(crate) struct Events(mpsc::Receiver<Envelope>);

impl Events {
    /// Listens for events until dropped with the test.
    pub(crate) fn listen(rig: &Rig) -> Self {
        let path = rig.path("daemon.sock.ttrpc");
        let listener = UnixListener::bind(path).expect("a socket");
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                std::thread::spawn(move || acknowledge(socket, &sender));
            }
        });
        Self(receiver)
    }

    pub(crate) fn next(&self) -> Envelope {
        self.0.recv_timeout(PATIENCE).expect("an event")
    }

    /// The topics of the next `count` events.
    pub(crate) fn topics(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.next().topic).collect()
    }

    /// The next event's message, which must be an `M`.
    pub(crate) fn take<M: Message + Name + Default>(&self) -> M {
        typeurl::unpack(&self.next().event.expect("a payload")).expect("the expected event")
    }
}

fn acknowledge(mut socket: UnixStream, sender: &mpsc::Sender<Envelope>) {
    let (mut decoder, mut chunk) = (Decoder::default(), [0u8; 4096]);
    while let Ok(count @ 1..) = socket.read(&mut chunk) {
        decoder.feed(&chunk[..count]);
        while let Some(Decoded::Frame(frame)) = decoder.next_frame() {
            let request = frame.request().expect("a request");
            let forward = ForwardRequest::decode(request.payload.as_slice()).expect("a ForwardRequest");
            if sender.send(forward.envelope.expect("an envelope")).is_err() {
                return;
            }
            drop(socket.write_all(&ttrpc::encode_response(frame.stream, &Response::ok(&()))));
        }
    }
}

fn make_rootfs(root: &Path) {
    for dir in ["bin", "proc", "sys", "dev", "tmp", "etc"] {
        fs::create_dir_all(root.join(dir)).expect("a directory");
    }
    let mut busybox = fs::OpenOptions::new();
    let mut busybox =
        busybox.write(true).create(true).truncate(true).mode(0o755).open(root.join("bin/busybox"));
    let bytes = fs::read("/bin/busybox").expect("busybox-static is installed");
    busybox.as_mut().expect("writable").write_all(&bytes).expect("writable");
    for applet in ["sh", "cat", "sleep", "echo", "seq", "true", "stty", "head", "yes", "kill", "wc", "dd"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).expect("a link");
    }
}

fn config(args: &[&str], id: &str) -> serde_json::Value {
    serde_json::json!({
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "process": {
            "args": args, "cwd": "/", "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"],
            "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]},
        },
        "hostname": "test",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
        ],
        "linux": {
            "cgroupsPath": format!("/{id}"),
            "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
        },
    })
}
