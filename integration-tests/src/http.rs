//! HTTP as bytes on a daemon's socket: requests as wrong as a test wants them, answers that no client would show.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// An answer's parts.
#[derive(Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status; 0: the connection ended without an answer.
    pub status: u16,
    /// All lines before the body, in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

impl HttpAnswer {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// The text of an error: `message` of the JSON, or the plain body.
    pub fn message(&self) -> String {
        let json: Option<Value> = serde_json::from_str(&self.body).ok();
        let told = json.and_then(|json| json["message"].as_str().map(str::to_owned));
        told.unwrap_or_else(|| self.body.trim_end().to_owned())
    }
}

/// A request with its body, and the wish that the connection ends with the answer.
pub fn http_request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    request(method, path, &format!("Connection: close\r\n{headers}"), body)
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
        .into_bytes()
}

/// Sends bytes, closes the sending half if `hang_up`, and reads until the peer closes.
///
/// # Panics
/// Nobody listens, or the peer neither answers nor closes for a minute.
pub fn http_exchange(socket: &Path, bytes: &[u8], hang_up: bool) -> HttpAnswer {
    let mut stream = UnixStream::connect(socket).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set a bound");
    // A peer that has heard enough may close before all is sent.
    let _ = stream.write_all(bytes);
    if hang_up {
        stream.shutdown(Shutdown::Write).expect("close the sending half");
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            panic!("no end of the answer to {}", String::from_utf8_lossy(&bytes[..bytes.len().min(200)]))
        }
        _ => HttpAnswer::parse(&answer),
    }
}

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
        let mut lines: Vec<&str> = headers.to_vec();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        if !body.is_empty() {
            lines.push("Content-Type: application/json");
        }
        let headers: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        stream.write_all(&request(method, path, &headers, &body)).expect("send");
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

    /// An answer that ends with its connection.
    ///
    /// # Panics
    /// It doesn't within half a minute.
    pub fn ask(socket: &Path, method: &str, path: &str, body: &Value) -> HttpAnswer {
        HttpAnswer::parse(&Self::send(socket, method, path, &["Connection: close"], body).rest())
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
