//! Terminals: handed out over a console socket, or joined to the caller's.

use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use serde_json::json;

use crate::bundle::{Answer, Bundle, runtime};

/// Where a runtime sends the controlling side.
pub(crate) struct ConsoleSocket {
    path: PathBuf,
    listener: UnixListener,
}

impl ConsoleSocket {
    pub(crate) fn new(bundle: &Bundle) -> Self {
        let path = bundle.dir.join("console");
        Self { listener: UnixListener::bind(&path).unwrap(), path }
    }

    pub(crate) fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// The runtime has ended well, so somebody has connected.
    pub(crate) fn receive(&self) -> File {
        let (stream, _) = self.listener.accept().unwrap();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut name = [0u8; 256];
        rustix::net::recvmsg(
            &stream,
            &mut [IoSliceMut::new(&mut name)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
        .unwrap();
        let fds = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        let fd: OwnedFd = fds.flatten().next().expect("a descriptor");
        File::from(fd)
    }
}

/// Until the text has been shown, or the other side is gone.
fn read_until(master: &mut File, wanted: &str) -> String {
    let (mut shown, mut part) = (String::new(), [0u8; 1024]);
    while !shown.contains(wanted) {
        match master.read(&mut part) {
            Ok(size) if size > 0 => shown.push_str(&String::from_utf8_lossy(&part[..size])),
            _ => break,
        }
    }
    shown
}

pub(crate) fn with_terminal(script: &str) -> Bundle {
    let mut bundle = Bundle::new(script);
    bundle.spec["process"]["terminal"] = json!(true);
    bundle
}

/// A command of the runtime as a user at a terminal types it.
fn at_a_terminal(bundle: &Bundle, args: &[&str], typed: &str) -> Answer {
    let quoted: Vec<String> = args.iter().map(|a| format!("'{a}'")).collect();
    let line = format!(
        "stty rows 33 cols 77; '{}' --root '{}' {}",
        runtime().display(),
        bundle.state_dir().display(),
        quoted.join(" ")
    );
    // Writes config.json; `script` gives a terminal and the command's exit code.
    drop(bundle.command(&runtime(), &[]));
    let mut child = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .current_dir(&bundle.dir)
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(typed.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

#[test]
fn create_hands_the_terminal_to_the_console_socket() {
    let mut bundle = with_terminal("tty; stty size; read line; echo \"got $line\"");
    bundle.spec["process"]["consoleSize"] = json!({"height": 44, "width": 99});
    let socket = ConsoleSocket::new(&bundle);
    let answer = bundle.detached(&["create", "--console-socket", socket.path(), bundle.id()]);
    assert_eq!(answer.code, 0, "{answer:?}");
    let mut master = socket.receive();
    assert_eq!(bundle.call(&["start", bundle.id()]).code, 0);
    let shown = read_until(&mut master, "99");
    assert!(shown.starts_with("/dev/pts/0") || shown.starts_with("/dev/console"), "{shown}");
    assert!(shown.contains("44 99"), "{shown}");
    master.write_all(b"words\n").unwrap();
    assert!(read_until(&mut master, "got words").contains("got words"));
    bundle.wait_for("stopped");
}

#[test]
fn the_terminal_is_the_controlling_one_and_dev_console_too() {
    let script = "trap 'echo interrupted; exit 5' INT; [ -c /dev/console ] && echo ready > /dev/console; \
                  while :; do sleep 0.05; done";
    let bundle = with_terminal(script);
    let socket = ConsoleSocket::new(&bundle);
    let answer = bundle.detached(&["run", "-d", "--console-socket", socket.path(), bundle.id()]);
    assert_eq!(answer.code, 0, "{answer:?}");
    let mut master = socket.receive();
    assert!(read_until(&mut master, "ready").contains("ready"));
    master.write_all(b"\x03").unwrap();
    assert!(read_until(&mut master, "interrupted").contains("interrupted"));
    bundle.wait_for("stopped");
}

#[test]
fn run_joins_the_callers_terminal_with_its_size_and_exit_code() {
    let bundle = with_terminal("tty; stty size; read line; echo \"got $line\"; exit 7");
    let answer = at_a_terminal(&bundle, &["run", bundle.id()], "words\n");
    assert_eq!(answer.code, 7, "{answer:?}");
    assert!(answer.stdout.contains("/dev/pts/0") && answer.stdout.contains("got words"), "{answer:?}");
    assert!(answer.stdout.contains("33 77"), "{answer:?}");
    bundle.assert_nothing_left();
}

#[test]
fn exec_joins_the_callers_terminal() {
    let bundle = Bundle::running();
    let script = "tty; read line; echo \"got $line\"; exit 8";
    let answer = at_a_terminal(&bundle, &["exec", "-t", bundle.id(), "sh", "-c", script], "words\n");
    assert_eq!(answer.code, 8, "{answer:?}");
    assert!(answer.stdout.contains("/dev/pts/") && answer.stdout.contains("got words"), "{answer:?}");
}

#[test]
fn a_detached_exec_hands_its_terminal_to_the_console_socket() {
    let bundle = Bundle::running();
    let socket = ConsoleSocket::new(&bundle);
    let args = ["exec", "-d", "-t", "--console-socket", socket.path(), "--pid-file", "exec.pid", bundle.id()];
    let answer = bundle.detached(&[&args[..], &["sh", "-c", "tty; read line; echo \"got $line\""]].concat());
    assert_eq!(answer.code, 0, "{answer:?}");
    let mut master = socket.receive();
    assert!(std::fs::read_to_string(bundle.dir.join("exec.pid")).unwrap().parse::<u32>().is_ok());
    master.write_all(b"words\n").unwrap();
    assert!(read_until(&mut master, "got words").contains("got words"));
}

#[test]
fn a_program_without_a_terminal_has_none() {
    let bundle = Bundle::new("tty; (: < /dev/tty) 2>&1 | grep -c 'No such device'");
    assert_eq!(bundle.output(), "not a tty\n1\n");
}

#[test]
fn terminal_and_console_socket_go_together() {
    let bundle = with_terminal("true");
    let answer = bundle.detached(&["create", bundle.id()]);
    assert!(answer.code == 1 && answer.stderr.contains("without setting console socket"), "{answer:?}");
    let answer = bundle.detached(&["create", "--console-socket", "nosuch", bundle.id()]);
    assert!(answer.code == 1 && answer.stderr.contains("nosuch"), "{answer:?}");
    bundle.assert_nothing_left();
    let plain = Bundle::new("true");
    let socket = ConsoleSocket::new(&plain);
    let answer = plain.detached(&["create", "--console-socket", socket.path(), plain.id()]);
    assert!(answer.code == 1 && answer.stderr.contains("cannot use console socket"), "{answer:?}");
    plain.assert_nothing_left();
}
