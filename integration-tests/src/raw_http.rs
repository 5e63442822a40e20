//! HTTP as bytes on a daemon's socket: what no client would show.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// A connection on which a request has been sent.
#[derive(Debug)]
pub struct RawHttp(pub UnixStream);

impl RawHttp {
    /// Sends a request; null is no body.
    ///
    /// # Panics
    /// Nobody listens.
    pub fn send(socket: &Path, method: &str, path: &str, headers: &[&str], body: &Value) -> Self {
        let mut stream = UnixStream::connect(socket).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n", body.len());
        if !body.is_empty() {
            head += "Content-Type: application/json\r\n";
        }
        for header in headers {
            head += &format!("{header}\r\n");
        }
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).expect("send");
        Self(stream)
    }

    /// Reads up to the end of the head, and not a byte further.
    ///
    /// # Panics
    /// The connection ends before.
    pub fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        String::from_utf8(head).expect("UTF-8")
    }

    /// What comes up to the end of the connection.
    ///
    /// # Panics
    /// Nothing comes for half a minute.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("an end");
        rest
    }

    /// Status, head in small letters and body of an answer that ends with its connection.
    ///
    /// # Panics
    /// It's no answer.
    pub fn ask(socket: &Path, method: &str, path: &str, body: &Value) -> (u16, String, String) {
        let mut connection = Self::send(socket, method, path, &["Connection: close"], body);
        let head = connection.head();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let body = String::from_utf8(connection.rest()).expect("UTF-8");
        (status, head.to_lowercase(), body)
    }

    /// The JSON in a body, chunked or not.
    ///
    /// # Panics
    /// There is none.
    pub fn json(body: &[u8]) -> Value {
        let start = body.iter().position(|byte| matches!(byte, b'{' | b'[')).expect("JSON");
        serde_json::Deserializer::from_slice(&body[start..]).into_iter().next().expect("JSON").expect("JSON")
    }
}
