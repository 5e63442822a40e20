//! The Docker API in raw HTTP: versions, errors, connections taken over.

use std::io::Write as _;
use std::net::Shutdown;

use integration_tests::{HttpAnswer, RawHttp, eventually};
use serde_json::{Value, json};

use crate::clients::{IMAGE, Place, on_both_daemons};

const UPGRADE: [&str; 2] = ["Connection: Upgrade", "Upgrade: tcp"];

fn ask(at: &Place<'_>, method: &str, path: &str) -> HttpAnswer {
    RawHttp::ask(at.socket, method, path, &Value::Null)
}

fn send(at: &Place<'_>, path: &str, headers: &[&str]) -> RawHttp {
    RawHttp::send(at.socket, "POST", path, headers, &Value::Null)
}

#[test]
fn every_version_from_the_oldest_is_served_and_others_are_refused() {
    on_both_daemons(|at| {
        let newest = at.run(&["version", "-f", "{{.Server.APIVersion}}"]).ok();
        for path in ["/_ping", "/v1.24/_ping", "/v1.41/_ping"] {
            for (method, text) in [("GET", "OK"), ("HEAD", "")] {
                let HttpAnswer { status, head, body } = ask(at, method, path);
                assert_eq!((status, body.as_str()), (200, text), "{}: {method} {path}", at.name);
                for header in [
                    &format!("api-version: {newest}"),
                    "docker-experimental: false",
                    "ostype: linux",
                    "cache-control: no-cache, no-store, must-revalidate",
                    "pragma: no-cache",
                ] {
                    assert!(head.contains(&format!("{header}\r\n")), "{}: {header} isn't in {head}", at.name);
                }
            }
        }
        for version in ["", "/v1.24", "/v1.30", &format!("/v{newest}")] {
            let HttpAnswer { status, body, .. } = ask(at, "GET", &format!("{version}/containers/json?all=1"));
            assert_eq!((status, RawHttp::json(body.as_bytes())), (200, json!([])), "{}: {version}", at.name);
        }
        let HttpAnswer { status, body, .. } = ask(at, "GET", "/v1.99/version");
        let words = format!("client version 1.99 is too new. Maximum supported API version is {newest}");
        assert_eq!((status, RawHttp::json(body.as_bytes())), (400, json!({"message": words})), "{}", at.name);
        let HttpAnswer { status, head, body } = ask(at, "GET", "/v1.11/version");
        assert!(status == 400 && head.contains("text/plain"), "{}: {head}", at.name);
        assert!(
            body.starts_with("client version 1.11 is too old. Minimum supported API version is 1."),
            "{}: {body}",
            at.name
        );
        for (method, path, status, words) in [
            ("GET", "/nosuch", 404, "page not found"),
            ("PUT", "/v1.41/containers/json", 404, "page not found"),
            ("POST", "/v1.41/containers/nosuch/start", 404, "No such container: nosuch"),
            ("GET", "/v1.41/exec/nosuch/json", 404, "nosuch"),
        ] {
            let HttpAnswer { status: got, body, .. } = ask(at, method, path);
            let message =
                RawHttp::json(body.as_bytes())["message"].as_str().expect("a message").to_lowercase();
            assert!(
                got == status && message.contains(&words.to_lowercase()),
                "{}: {path}: {got} {body}",
                at.name
            );
        }
    });
}

/// What a container says to what it is told, in frames.
const PARROT: &str = "echo first; read l; echo got $l; echo e >&2; exit 4";

#[test]
fn a_connection_is_taken_over_with_and_without_an_upgrade() {
    on_both_daemons(|at| {
        for (headers, expected) in [(&UPGRADE[..], "HTTP/1.1 101 UPGRADED\r\n"), (&[], "HTTP/1.1 200 OK\r\n")]
        {
            at.run(&["create", "-i", "--name", "box", IMAGE, "sh", "-c", PARROT]).ok();
            let path = "/v1.41/containers/box/attach?stream=1&stdin=1&stdout=1&stderr=1";
            let mut attached = send(at, path, headers);
            let head = attached.head();
            // Without an upgrade any HTTP/1 will do that neither counts nor chunks.
            assert!(head.replace("/1.0", "/1.1").starts_with(expected), "{}: {head}", at.name);
            assert!(
                head.to_lowercase().contains("content-type: application/vnd.docker.raw-stream\r\n"),
                "{}: {head}",
                at.name
            );
            assert!(!head.to_lowercase().contains("transfer-encoding"), "{}: {head}", at.name);
            assert_eq!(
                head.contains("Upgrade: tcp") || head.contains("upgrade: tcp"),
                !headers.is_empty(),
                "{}: {head}",
                at.name
            );
            at.run(&["start", "box"]).ok();
            if headers.is_empty() {
                // Old clients' input is their request's body, whose length they don't tell; not spoken by ours.
                at.run(&["kill", "box"]).ok();
                attached.rest();
            } else {
                attached.0.write_all(b"hello\n").expect("type");
                attached.0.shutdown(Shutdown::Write).expect("end the input");
                let rest = attached.rest();
                let (frames, errors) = (b"\x01\0\0\0\0\0\0\x06first\n".to_vec(), b"\x02\0\0\0\0\0\0\x02e\n");
                assert!(rest.starts_with(&frames), "{}: {rest:?}", at.name);
                assert!(rest.windows(errors.len()).any(|window| window == errors), "{}: {rest:?}", at.name);
                assert_eq!(at.run(&["wait", "box"]).ok(), "4", "{}", at.name);
            }
            at.remove(&["box"]);
        }
        let mut missing = send(at, "/v1.41/containers/nosuch/attach?stream=1", &["Connection: close"]);
        assert!(missing.head().contains(" 404 "), "{}", at.name);
    });
}

#[test]
fn who_attaches_late_gets_the_past_only_if_he_asks_for_it() {
    on_both_daemons(|at| {
        at.run(&["run", "-d", "-i", "--name", "box", IMAGE, "sh", "-c", PARROT]).ok();
        eventually("its first word", || (at.run(&["logs", "box"]).stdout == "first\n").then_some(()));
        let attach = |query: &str| {
            let path = format!("/v1.41/containers/box/attach?{query}");
            let mut connection = send(at, &path, &UPGRADE);
            assert!(connection.head().contains(" 101 "), "{}: {query}", at.name);
            connection
        };
        let mut past = attach("logs=1&stdout=1&stderr=1");
        assert_eq!(past.rest(), b"\x01\0\0\0\0\0\0\x06first\n", "{}", at.name);
        let (mut errors, mut both) =
            (attach("stream=1&stderr=1"), attach("stream=1&logs=1&stdin=1&stdout=1"));
        both.0.write_all(b"you\n").expect("type");
        assert_eq!(both.rest(), b"\x01\0\0\0\0\0\0\x06first\n\x01\0\0\0\0\0\0\x08got you\n", "{}", at.name);
        assert_eq!(errors.rest(), b"\x02\0\0\0\0\0\0\x02e\n", "{}", at.name);
        at.remove(&["box"]);
    });
}
