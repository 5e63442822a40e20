//! Leaving a container's terminal by the detach keys: it goes on running.

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Child, ChildStdin, ChildStdout};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::clients::{IMAGE, Place, on_each};

/// A client on a terminal.
struct Session {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    shown: String,
}

impl Session {
    fn start(at: &Place<'_>, args: &[&str]) -> Self {
        let mut child = at.cli.start_in_terminal(args);
        let (keys, screen) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Self { child, keys, screen, shown: String::new() }
    }

    fn types(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).and_then(|()| self.keys.flush()).expect("type");
    }

    /// Reads on until the screen shows `text`.
    fn shows(&mut self, text: &str) {
        let mut buffer = [0; 1024];
        while !self.shown.contains(text) {
            let mut screen = [PollFd::new(self.screen.as_fd(), PollFlags::POLLIN)];
            let ready = poll(&mut screen, PollTimeout::from(30_000u16)).expect("poll");
            assert!(ready > 0, "never showed {text:?}: {}", self.shown);
            let length = self.screen.read(&mut buffer).expect("the screen");
            assert!(length > 0, "it ended before it showed {text:?}: {}", self.shown);
            self.shown += &String::from_utf8_lossy(&buffer[..length]);
        }
        self.shown.clear();
    }

    /// Exit code, and what else was shown.
    fn ends(mut self) -> (i32, String) {
        self.screen.read_to_string(&mut self.shown).expect("the screen");
        let status = self.child.wait().expect("the client");
        (status.code().expect("a code"), self.shown.replace("\r\n", "\n"))
    }
}

const CTRL_P_CTRL_Q: &[u8] = b"\x10\x11";
/// Says what it read.
const ECHO: &str = "stty -echo; echo ready; while read line; do echo got-$line; done";

/// Leaves, and checks that the container doesn't notice.
fn leaves(at: &Place<'_>, session: Session, code: i32, words: &str) {
    let (left, shown) = session.ends();
    assert_eq!((left, shown.trim()), (code, words), "{}", at.name);
    assert_eq!(at.field("{{.State.Status}}", "box"), "running", "{}", at.name);
}

#[test]
fn run_start_and_attach_are_left_and_come_back_to() {
    on_each(|at| {
        let mut session = Session::start(at, &["run", "-it", "--name", "box", IMAGE, "sh", "-c", ECHO]);
        session.shows("ready");
        session.types(b"one\n");
        session.shows("got-one");
        session.types(CTRL_P_CTRL_Q);
        leaves(at, session, 0, "");
        let mut session = Session::start(at, &["attach", "box"]);
        // Half of the keys is typing.
        session.types(b"t\x10wo\n");
        session.shows("got-t\x10wo");
        session.types(CTRL_P_CTRL_Q);
        leaves(at, session, 1, "read escape sequence");
        at.run(&["stop", "-t", "0", "box"]).ok();
        let mut session = Session::start(at, &["start", "-ai", "box"]);
        session.shows("ready");
        session.types(CTRL_P_CTRL_Q);
        leaves(at, session, 0, "");
        at.remove(&["box"]);
    });
}

#[test]
fn keys_are_chosen_and_then_the_usual_ones_are_typing() {
    on_each(|at| {
        let run = ["run", "-it", "--detach-keys", "ctrl-a,x", "--name", "box", IMAGE, "sh", "-c", ECHO];
        let mut session = Session::start(at, &run);
        session.shows("ready");
        // The second key means "go on" to the container's terminal, which keeps it for itself.
        session.types(b"\x10\x11y\n");
        session.shows("got-\x10y");
        session.types(b"\x01x");
        leaves(at, session, 0, "");
        let bad = at.run(&["attach", "--detach-keys", "bogus", "box"]);
        assert_ne!(bad.code, 0, "{}", at.name);
        at.remove(&["box"]);
    });
}

#[test]
fn an_exec_that_was_left_runs_on() {
    on_each(|at| {
        at.run(&["run", "-d", "--name", "box", IMAGE, "sleep", "1000"]).ok();
        let script = "echo ready; while [ ! -e /tmp/go ]; do usleep 10000; done; touch /tmp/done";
        let mut session = Session::start(at, &["exec", "-it", "box", "sh", "-c", script]);
        session.shows("ready");
        session.types(CTRL_P_CTRL_Q);
        leaves(at, session, 1, "read escape sequence");
        at.run(&["exec", "box", "touch", "/tmp/go"]).ok();
        integration_tests::eventually("it went on", || {
            (at.run(&["exec", "box", "ls", "/tmp/done"]).code == 0).then_some(())
        });
        at.remove(&["box"]);
    });
}
