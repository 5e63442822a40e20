//! A registry that says whatever a test wants it to say.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::crafted::{CraftedImage, MANIFEST, digest};
use crate::netns::Netns;
use crate::token_server::TokenServer;

/// An answer to a request for one path.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers beside `Content-Length` and `Connection`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Bytes of the body after which the connection is cut.
    pub cut: Option<usize>,
}

impl Answer {
    /// Status 200 with a body of a type.
    pub fn ok(media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type".to_owned(), media_type.to_owned())];
        Self { status: 200, headers, body: body.into(), cut: None }
    }

    /// Another status, with a body that is no registry's.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::ok("text/html", "<html>no</html>") }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// How docker knows a registry.
pub(crate) const API: (&str, &str) = ("Docker-Distribution-Api-Version", "registry/2.0");

type Answers = Arc<Mutex<Served>>;

#[derive(Debug, Default)]
struct Served {
    by_path: HashMap<String, Answer>,
    tokens: Option<TokenServer>,
}

/// A plain HTTP server in a test's network namespace. It lives as long as the test's process; what
/// it has not been told about is 404.
#[derive(Debug)]
pub struct FakeRegistry {
    port: u16,
    answers: Answers,
}

impl FakeRegistry {
    /// Starts one.
    ///
    /// # Panics
    /// The namespace can't be entered, or nothing can be bound there.
    pub fn start(netns: &Netns) -> Self {
        let answers = Answers::default();
        lock(&answers)
            .by_path
            .insert("/v2/".into(), Answer::ok("application/json", "{}").header(API.0, API.1));
        let (path, served) = (netns.path(), answers.clone());
        let (sender, port) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // Of this thread alone; the sockets it makes stay in the namespace.
            let file = std::fs::File::open(&path).expect("open the network namespace");
            nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).expect("enter it");
            let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
            sender.send(listener.local_addr().expect("address").port()).expect("the test waits");
            for stream in listener.incoming().flatten() {
                let served = served.clone();
                std::thread::spawn(move || serve(&stream, &served));
            }
        });
        Self { port: port.recv().expect("the server starts"), answers }
    }

    /// `HOST:PORT/NAME`.
    pub fn name(&self, image: &str) -> String {
        format!("127.0.0.1:{}/{image}", self.port)
    }

    /// Its address as a URL without a path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Answers a path from now on.
    pub fn answer(&self, path: &str, answer: Answer) {
        lock(&self.answers).by_path.insert(path.to_owned(), answer);
    }

    /// From now on shows things to bearers of a token alone, and is the token server too.
    pub fn want_tokens(&self, tokens: TokenServer) {
        lock(&self.answers).tokens = Some(tokens);
    }

    /// Serves an image as `repo:1`.
    pub fn serve(&self, repo: &str, image: &CraftedImage) {
        let manifest = image.manifest.to_string().into_bytes();
        self.serve_root(repo, MANIFEST, &manifest);
        for (name, bytes) in &image.blobs {
            self.blob(repo, name, Answer::ok("application/octet-stream", bytes.clone()));
        }
    }

    /// Serves a document as `repo:1` and under its digest.
    pub fn serve_root(&self, repo: &str, media_type: &str, document: &[u8]) {
        let name = digest(document);
        let answer = Answer::ok(media_type, document).header("Docker-Content-Digest", &name);
        self.answer(&format!("/v2/{repo}/manifests/1"), answer.clone());
        self.answer(&format!("/v2/{repo}/manifests/{name}"), answer);
    }

    /// Answers a blob from now on.
    pub fn blob(&self, repo: &str, name: &str, answer: Answer) {
        self.answer(&format!("/v2/{repo}/blobs/{name}"), answer);
    }
}

fn lock(answers: &Answers) -> MutexGuard<'_, Served> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request a connection; a client that goes away is its own affair.
fn serve(stream: &TcpStream, answers: &Answers) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next()?.ok()?;
    let mut authorization = String::new();
    loop {
        let line = lines.next()?.ok()?;
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                value.clone_into(&mut authorization)
            }
            None if line.is_empty() => break,
            _ => {}
        }
    }
    let mut words = request.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let port = stream.local_addr().ok()?.port();
    let answer = {
        let served = lock(answers);
        let gate =
            served.tokens.as_ref().and_then(|tokens| tokens.gate(port, (method, path), &authorization));
        gate.or_else(|| served.by_path.get(path).cloned()).unwrap_or_else(|| Answer::status(404))
    };
    let mut head = format!("HTTP/1.1 {} Status\r\nConnection: close\r\n", answer.status);
    head += &format!("Content-Length: {}\r\n", answer.body.len());
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stream = stream;
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    if method != "HEAD" {
        stream.write_all(&answer.body[..answer.cut.unwrap_or(answer.body.len())]).ok()?;
    }
    Some(())
}
