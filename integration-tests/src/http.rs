//! HTTP as bytes on a Unix socket, so that a request can be as wrong as a test wants it.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

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
        let json: Option<serde_json::Value> = serde_json::from_str(&self.body).ok();
        let told = json.and_then(|json| json["message"].as_str().map(str::to_owned));
        told.unwrap_or_else(|| self.body.trim_end().to_owned())
    }
}

/// A request with its body, and the wish that the connection ends with the answer.
pub fn http_request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
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
