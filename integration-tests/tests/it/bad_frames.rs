//! Rubbish on ttrpc sockets: the shim's, of a container that lives, and containerd-rs's for events.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use integration_tests::{Stack, namespace};
use prost::Message as _;
use proto::ttrpc::{self, Decoded, Decoder, KIND_DATA, KIND_REQUEST, Request, Response};

const IMAGE: &str = "127.0.0.1:5000/busybox:1";
const NOT_FOUND: i32 = 5;
const INVALID_ARGUMENT: i32 = 3;
const RESOURCE_EXHAUSTED: i32 = 8;
const UNIMPLEMENTED: i32 = 12;

fn frame(length: u32, stream: u32, kind: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(stream.to_be_bytes());
    bytes.extend([kind, 0]);
    bytes.extend(data);
    bytes
}

fn whole(stream: u32, kind: u8, data: &[u8]) -> Vec<u8> {
    frame(u32::try_from(data.len()).expect("small"), stream, kind, data)
}

fn call(stream: u32, service: &str, method: &str, payload: &[u8]) -> Vec<u8> {
    let request = Request {
        service: service.into(),
        method: method.into(),
        payload: payload.to_vec(),
        ..Request::default()
    };
    whole(stream, KIND_REQUEST, &request.encode_to_vec())
}

/// Sends bytes, and gives the codes of the answers that follow, by stream.
fn answers(socket: &Path, bytes: &[u8], count: usize) -> Vec<(u32, i32)> {
    let mut peer = UnixStream::connect(socket).expect("connect");
    peer.set_read_timeout(Some(Duration::from_secs(60))).expect("set a bound");
    peer.write_all(bytes).expect("send");
    let (mut decoder, mut found, mut chunk) = (Decoder::default(), Vec::new(), [0; 4096]);
    while found.len() < count {
        let length = peer.read(&mut chunk).expect("an answer");
        assert!(length > 0, "hung up after {found:?}");
        decoder.feed(&chunk[..length]);
        while let Some(decoded) = decoder.next_frame() {
            let Decoded::Frame(frame) = decoded else { panic!("too large an answer") };
            let response = Response::decode(frame.data.as_slice()).expect("a response");
            found.push((frame.stream, response.status.map_or(0, |status| status.code)));
        }
    }
    found
}

/// Sends bytes and hangs up in the middle of them.
fn hang_up(socket: &Path, bytes: &[u8]) {
    UnixStream::connect(socket).and_then(|mut peer| peer.write_all(bytes)).expect("send");
}

/// What no server answers, and must not stumble over.
fn half_sentences(socket: &Path) {
    for bytes in [
        &b""[..],
        b"\0\0",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &frame(100, 1, KIND_REQUEST, b"half"),
        &frame(u32::MAX, 1, KIND_REQUEST, &[0; 65536]),
        &whole(1, 99, b"unknown kind"),
    ] {
        hang_up(socket, bytes);
    }
}

/// One connection's mistakes are answered one by one, and a good call after them is served.
fn mistakes_are_answered(socket: &Path, service: &str, method: &str) {
    let too_large =
        frame(ttrpc::MAX_DATA_SIZE as u32 + 1, 3, KIND_REQUEST, &vec![0; ttrpc::MAX_DATA_SIZE + 1]);
    let bytes = [
        whole(1, KIND_REQUEST, b"\xff\xff\xff rubbish"),
        too_large,
        whole(4, KIND_REQUEST, b""),
        whole(77, KIND_DATA, b"nobody's"),
        call(5, "nosuch.Service", "Do", b""),
        call(7, service, "Nosuch", b""),
        call(9, service, method, b"\xff\xff\xff rubbish"),
        call(9, service, method, b""),
    ]
    .concat();
    let mut found = answers(socket, &bytes, 8);
    found.sort_unstable();
    let expected = [
        (1, INVALID_ARGUMENT),
        (3, RESOURCE_EXHAUSTED),
        (4, INVALID_ARGUMENT),
        (5, UNIMPLEMENTED),
        (7, UNIMPLEMENTED),
        (9, INVALID_ARGUMENT),
        (9, INVALID_ARGUMENT),
        (77, INVALID_ARGUMENT),
    ];
    assert_eq!(found, expected, "{}", socket.display());
}

#[test]
fn a_container_lives_through_rubbish_on_its_shims_socket() {
    let stack = Stack::without_engine();
    stack.ctr(&["images", "pull", "--plain-http", IMAGE]).ok();
    let script = "trap 'exit 7' TERM; while :; do usleep 20000; done";
    stack.ctr(&["run", "-d", "--runtime", "io.containerd.runcrs.v2", IMAGE, "c1", "sh", "-c", script]).ok();
    let before = stack.ctr(&["task", "ls"]).ok();
    let socket = stack.shim_socket(&namespace(stack.dir()), "c1");
    half_sentences(&socket);
    for service in ["containerd.task.v2.Task", "containerd.task.v3.Task"] {
        mistakes_are_answered(&socket, service, "State");
        // Without an id it is about nothing.
        assert_eq!(answers(&socket, &call(1, service, "State", b""), 1), [(1, NOT_FOUND)]);
    }
    assert_eq!(stack.ctr(&["task", "ls"]).ok(), before, "the container lives, with the same process");
    assert_eq!(stack.ctr(&["task", "exec", "--exec-id", "e1", "c1", "echo", "alive"]).ok(), "alive");
    stack.ctr(&["task", "kill", "c1"]).ok();
    integration_tests::eventually("the exit is told", || {
        stack.ctr(&["task", "ls"]).ok().contains("STOPPED").then_some(())
    });
    let removed = stack.ctr(&["task", "rm", "c1"]);
    assert!(removed.stderr.contains("exit code 7"), "{}", removed.stderr);
    stack.ctr(&["containers", "rm", "c1"]).ok();
    stack.assert_clean(&["c1"]);
}

#[test]
fn rubbish_on_the_event_socket_loses_no_exit() {
    let stack = Stack::without_engine();
    stack.ctr(&["images", "pull", "--plain-http", IMAGE]).ok();
    let mut name = stack.containerd_socket().into_os_string();
    name.push(".ttrpc");
    half_sentences(Path::new(&name));
    mistakes_are_answered(Path::new(&name), "containerd.services.events.ttrpc.v1.Events", "Forward");
    for shim in ["io.containerd.runc.v2", "io.containerd.runcrs.v2"] {
        let run = ["run", "--rm", "--runtime", shim, IMAGE, "c1", "sh", "-c", "exit 7"];
        assert_eq!(stack.ctr(&run).code, 7, "{shim}");
    }
    stack.assert_clean(&["c1"]);
}
