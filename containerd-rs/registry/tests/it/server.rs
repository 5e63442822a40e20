//! Registries for tests: a real one on a random port, and a scripted one.

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Debian's docker-registry; ends with the value.
pub(crate) struct Real {
    child: Child,
    pub(crate) port: u16,
    dir: tempfile::TempDir,
}

impl Real {
    /// Starts one; `user:password` must be shown if `is_guarded`.
    pub(crate) async fn start(is_guarded: bool) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let port = TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port();
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {0}/data}}\n  \
             delete: {{enabled: true}}\nhttp: {{addr: \"127.0.0.1:{port}\"}}\n",
            dir.path().display()
        );
        if is_guarded {
            let output =
                Command::new("htpasswd").args(["-nbB", "user", "password"]).output().expect("htpasswd");
            std::fs::write(dir.path().join("htpasswd"), output.stdout).expect("htpasswd");
            config +=
                &format!("auth: {{htpasswd: {{realm: test, path: {}/htpasswd}}}}\n", dir.path().display());
        }
        std::fs::write(dir.path().join("config.yml"), config).expect("config");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(dir.path().join("config.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry");
        let registry = Self { child, port, dir };
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return registry;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("docker-registry doesn't listen");
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request as the scripted server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
}

/// Answers each connection's one request by a script; keeps what it saw.
pub(crate) struct Scripted {
    pub(crate) port: u16,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scripted {
    /// `answer` gives the raw bytes of an answer; the connection is closed behind them.
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let port = listener.local_addr().expect("address").port();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let log = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut byte).await {
                        // A TLS hello isn't a request: the client tries that first.
                        Ok(1) if !(head.is_empty() && byte[0] == 0x16) => head.push(byte[0]),
                        _ => break,
                    }
                }
                let text = String::from_utf8_lossy(&head).into_owned();
                let mut lines = text.lines();
                let mut first = lines.next().unwrap_or_default().split(' ');
                let (Some(_), Some(path)) = (first.next(), first.next()) else { continue };
                let headers = lines
                    .filter_map(|line| line.split_once(": "))
                    .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                    .collect();
                let request = Seen { path: path.to_owned(), headers };
                log.lock().expect("log").push(request.clone());
                let _ = stream.write_all(&answer(&request)).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { port, seen, task }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("log").clone()
    }
}

/// A whole answer.
pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}
