//! HTTP requests that make no sense, to engined and to Debian's dockerd. Where Docker 28 answers otherwise than
//! 20.10 does, engined answers as 28.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use integration_tests::{Client, Dockerd, HttpAnswer, Stack, http_exchange, http_request};

/// Status and part of the message.
type Expected = (u16, &'static str);

/// A request, engined's answer, and dockerd's if that is another.
type Case = (Vec<u8>, Expected, Option<Expected>);

const JSON: &str = "Content-Type: application/json\r\n";
const CREATE: &str = "/v1.41/containers/create";

fn get(path: &str) -> Vec<u8> {
    http_request("GET", &path.replace('{', "%7B").replace('}', "%7D").replace('"', "%22"), "", "")
}

fn post(path: &str, body: &str) -> Vec<u8> {
    http_request("POST", path, JSON, body)
}

/// A create whose body comes by other headers than it should.
fn sent_by(headers: &str, body: &str) -> Vec<u8> {
    format!("POST {CREATE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{JSON}{headers}\r\n{body}")
        .into_bytes()
}

fn paths_and_versions() -> Vec<Case> {
    let not_found = (404, "page not found");
    vec![
        (get("/"), not_found, None),
        (get("/v1.41/nonsense"), not_found, None),
        (get("/vx/info"), not_found, None),
        (http_request("PUT", "/v1.41/containers/json", "", ""), not_found, None),
        (http_request("BREW", "/v1.41/containers/json", "", ""), not_found, None),
        (
            get("/v1.99/info"),
            (400, "client version 1.99 is too new. Maximum supported API version is 1."),
            None,
        ),
        (
            get("/v1.1/info"),
            (400, "client version 1.1 is too old. Minimum supported API version is 1."),
            None,
        ),
        (get("/v1./info"), (400, "client version 1. is too old. Minimum supported API version is 1."), None),
        (get("/v77777.1/info"), (400, "client version 77777.1 is too new. Maximum"), None),
        (post("/v1.41/session", ""), (400, "no upgrade proto in request"), None),
        (get("/v1.41/swarm"), (503, "This node is not a swarm manager."), None),
    ]
}

fn parameters() -> Vec<Case> {
    let number = (500, "strconv.Atoi: parsing \"abc\": invalid syntax");
    vec![
        (get("/v1.41/containers/json?limit=abc"), number, None),
        (get("/v1.41/containers/json?limit=%zz"), (400, "invalid URL escape \"%zz\""), None),
        (get("/v1.41/containers/json?filters={\"bogus\":[\"x\"]}"), (400, "nvalid filter 'bogus'"), None),
        (
            get("/v1.41/containers/json?filters={\"status\":[\"bogus\"]}"),
            (400, "nvalid filter 'status=bogus'"),
            None,
        ),
        (
            get("/v1.41/images/json?filters={\"dangling\":[\"x\"]}"),
            (400, "nvalid filter 'dangling=[x]'"),
            None,
        ),
        (get("/v1.41/volumes?filters={\"bogus\":[\"x\"]}"), (400, "nvalid filter 'bogus'"), None),
        (get("/v1.41/networks?filters={\"bogus\":[\"x\"]}"), (400, "nvalid filter 'bogus'"), None),
        (
            get("/v1.41/containers/json?filters=nonsense"),
            (400, "invalid filter"),
            Some((500, "invalid character")),
        ),
        (get("/v1.41/containers/json?filters=[1]"), (400, "invalid filter"), Some((500, "cannot unmarshal"))),
        (
            get("/v1.41/events?since=20&until=10"),
            (400, "`since` time (20) cannot be after `until` time (10)"),
            None,
        ),
        (
            get("/v1.41/containers/box/logs"),
            (400, "Bad parameters: you must choose at least one stream"),
            None,
        ),
        (post("/v1.41/containers/box/stop?t=abc", ""), number, None),
        (post("/v1.41/containers/box/kill?signal=BOGUS", ""), (400, "nvalid signal: BOGUS"), None),
        (post("/v1.41/containers/box/resize?h=abc&w=1", ""), (400, "strconv.Atoi: parsing \"abc\""), None),
        (
            post("/v1.41/containers/box/rename?name=", ""),
            (400, "Neither old nor new names may be empty"),
            None,
        ),
        (
            post("/v1.41/images/create?fromImage=UPPER%20CASE", ""),
            (400, "invalid reference format: repository name"),
            None,
        ),
    ]
}

fn bodies() -> Vec<Case> {
    let typed = "must be 'application/json'";
    let broken = (400, "invalid JSON: got EOF while reading request body");
    let empty = (400, "onfig cannot be empty in order to create a container");
    let wrong_type = |theirs| ((400, "invalid JSON: invalid type"), Some((theirs, "json: cannot unmarshal")));
    let (deep, huge) = ("[".repeat(20_000), "a".repeat(30_000_000));
    let with = |path: &str, body: &str, (ours, theirs): (Expected, Option<Expected>)| {
        (post(path, body), ours, theirs)
    };
    vec![
        (post(CREATE, "{\"Image\":"), broken, Some((500, "unexpected EOF"))),
        (post(CREATE, ""), broken, Some((500, "EOF"))),
        (post(CREATE, "nonsense"), (400, "invalid JSON: "), Some((500, "invalid character"))),
        (
            post(CREATE, "{\"Image\":\"x\"} {}"),
            (400, "unexpected content after JSON"),
            Some((404, "No such image: x:latest")),
        ),
        (post(CREATE, "null"), empty, None),
        (post(CREATE, "{}"), empty, None),
        with(CREATE, "{\"Image\":5}", wrong_type(500)),
        with(CREATE, "{\"Image\":\"x\",\"Env\":\"A=b\"}", wrong_type(500)),
        with(CREATE, "{\"Image\":\"x\",\"HostConfig\":{\"Memory\":\"lots\"}}", wrong_type(500)),
        with("/v1.41/networks/create", "{\"Name\":5}", wrong_type(400)),
        with("/v1.41/volumes/create", "{\"Name\":5}", wrong_type(400)),
        with("/v1.41/containers/box/exec", "{\"Cmd\":\"x\"}", wrong_type(400)),
        (post("/v1.41/containers/box/exec", "{\"Cmd\":[]}"), (400, "No exec command specified"), None),
        (post("/v1.41/volumes/create", "["), broken, Some((400, "unexpected EOF"))),
        (
            post("/v1.41/volumes/create", "{\"Name\":\"!!\"}"),
            (400, "includes invalid characters for a local volume name"),
            None,
        ),
        (http_request("POST", CREATE, "Content-Type: text/plain\r\n", "{}"), (400, typed), None),
        (http_request("POST", CREATE, "", "{}"), (400, typed), None),
        (
            post(CREATE, &format!("{{\"x\":{deep}")),
            (400, "recursion limit"),
            Some((500, "exceeded max depth")),
        ),
        (
            post(CREATE, &format!("{{\"Image\":\"x\",\"Cmd\":[\"{huge}\"]}}")),
            (400, "http: request body too large"),
            Some((404, "No such image")),
        ),
    ]
}

/// No HTTP, or not quite: the text is the library's own.
fn framing() -> Vec<Case> {
    vec![
        (
            sent_by("Transfer-Encoding: chunked\r\n", "zzz\r\n{}\r\n0\r\n\r\n"),
            (400, "reading the request body"),
            Some((500, "invalid byte in chunk length")),
        ),
        (sent_by("Content-Length: 2\r\nContent-Length: 3\r\n", "{}"), (400, ""), None),
        (sent_by("Content-Length: -2\r\n", "{}"), (400, ""), None),
        (
            sent_by("Transfer-Encoding: bogus\r\n", "{}"),
            (400, ""),
            Some((501, "Unsupported transfer encoding")),
        ),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n".to_vec(), (400, ""), None),
    ]
}

fn check(name: &str, socket: &Path, is_dockerd: bool) {
    for (request, ours, theirs) in [paths_and_versions(), parameters(), bodies(), framing()].concat() {
        let answer = http_exchange(socket, &request, false);
        let (status, message) = theirs.filter(|_| is_dockerd).unwrap_or(ours);
        let shown = String::from_utf8_lossy(&request[..request.len().min(300)]);
        assert!(answer.status == status && answer.message().contains(message), "{name}: {shown}\n{answer:?}");
        let is_library = message.is_empty() || status == 501;
        let is_plain = message.contains("too old");
        let kind = if is_plain { "text/plain; charset=utf-8" } else { "application/json" };
        assert!(
            is_library || answer.head.contains(&format!("content-type: {kind}\r\n")),
            "{name}: {shown}\n{answer:?}"
        );
    }
}

/// Clients that break off, or never say what they want.
fn half_requests_hurt_nobody(socket: &Path) {
    let ping = http_request("GET", "/_ping", "", "");
    for half in [
        &ping[..9],
        &ping[..30],
        &sent_by("Content-Length: 100\r\n", "{\"Ima"),
        &sent_by("Transfer-Encoding: chunked\r\n", "5\r\n{\"I"),
    ] {
        http_exchange(socket, half, true);
    }
    let silent: Vec<UnixStream> = (0..200)
        .map(|_| {
            let mut stream = UnixStream::connect(socket).expect("connect");
            stream.write_all(&ping[..9]).expect("send");
            stream
        })
        .collect();
    let answer = http_exchange(socket, &ping, false);
    assert_eq!((answer.status, answer.body.as_str()), (200, "OK"));
    drop(silent);
}

/// What a client gets that doesn't ask for an upgrade: the same bytes behind a plain head.
fn streams_without_upgrade(client: &Client, socket: &Path) -> [HttpAnswer; 2] {
    client.run(&["exec", "box", "true"]).ok();
    let attached = http_exchange(socket, &post("/v1.41/containers/box/attach?logs=1&stdout=1", ""), false);
    let made = http_exchange(
        socket,
        &post("/v1.41/containers/box/exec", "{\"Cmd\":[\"echo\",\"in\"],\"AttachStdout\":true}"),
        false,
    );
    let id = made.body.split('"').nth(3).expect("an id").to_owned();
    let start = post(&format!("/v1.41/exec/{id}/start"), "{\"Detach\":false}");
    [attached, http_exchange(socket, &start, false)]
        .map(|answer| HttpAnswer { head: String::new(), ..answer })
}

#[test]
fn bad_requests_are_answered_as_docker_does_and_the_daemon_lives() {
    let dockerd = Dockerd::start(None);
    let script = ["run", "-d", "--name", "box", "busybox:1", "sh", "-c", "echo hi; exec sleep 1000"];
    dockerd.docker().run(&script).ok();
    check("dockerd", &dockerd.socket(), true);
    half_requests_hurt_nobody(&dockerd.socket());
    let theirs = streams_without_upgrade(&dockerd.docker(), &dockerd.socket());
    let stack = Stack::start();
    stack.docker(&["pull", "-q", "127.0.0.1:5000/busybox:1"]).ok();
    stack.docker(&["tag", "127.0.0.1:5000/busybox:1", "busybox:1"]).ok();
    stack.docker(&script).ok();
    check("engined", &stack.engine_socket(), false);
    half_requests_hurt_nobody(&stack.engine_socket());
    let ours = streams_without_upgrade(&stack.docker_client(), &stack.engine_socket());
    assert_eq!(ours, theirs);
    assert_eq!(ours[1].status, 200);
    assert_eq!(stack.docker(&["exec", "box", "echo", "alive"]).ok(), "alive");
    stack.docker(&["rm", "-f", "box"]).ok();
    stack.assert_clean(&[]);
}
