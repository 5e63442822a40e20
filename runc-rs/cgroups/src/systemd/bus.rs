//! A connection to systemd, its calls and its jobs.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::wire::{self, HEAD, Message, Value};

/// How long systemd may take for one answer.
const PATIENCE: Duration = Duration::from_secs(30);

const ERRORS: &str = "org.freedesktop.systemd1.";

/// Why a call has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    Io(io::Error),
    /// systemd's own: name, text.
    Refused(String, String),
}

impl Failure {
    /// Whether it is systemd's error of that name.
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Refused(full, _) if full.strip_prefix(ERRORS) == Some(name))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) if e.kind() == io::ErrorKind::NotFound => {
                f.write_str("systemd not running on this host, cannot use systemd cgroups manager")
            }
            Self::Io(e) => e.fmt(f),
            Self::Refused(name, text) => write!(f, "{name}: {text}"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Jobs that ended while an answer was waited for: job, result.
    ended: Vec<(String, String)>,
}

impl Bus {
    /// systemd sends the ends of jobs to every connection of this kind, unasked.
    pub(super) fn connect() -> Result<Self, Failure> {
        let mut stream = UnixStream::connect(super::socket())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let uid: String = nix::unistd::geteuid().to_string().bytes().map(|b| format!("{b:02x}")).collect();
        // All before the answer, as systemd's own clients do: a BEGIN that it read together with the first call would
        // leave that call unread until somebody says more.
        stream.write_all(format!("\0AUTH EXTERNAL {uid}\r\nBEGIN\r\n").as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n") && answer.len() < 512 {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        if !answer.starts_with(b"OK ") {
            return Err(Failure::Refused("AUTH".into(), String::from_utf8_lossy(&answer).trim().into()));
        }
        Ok(Self { stream, serial: 0, ended: Vec::new() })
    }

    /// Calls the manager; gives the first text of its answer, a job's path for most.
    pub(super) fn call(&mut self, member: &str, body: &[Value]) -> Result<String, Failure> {
        self.serial += 1;
        let interface = "org.freedesktop.systemd1.Manager";
        let bytes = wire::call(self.serial, "/org/freedesktop/systemd1", interface, member, body);
        self.stream.write_all(&bytes)?;
        loop {
            let message = self.receive()?;
            let text = || message.texts.first().cloned().unwrap_or_default();
            match message.kind {
                2 if message.answers == self.serial => return Ok(text()),
                3 if message.answers == self.serial => {
                    return Err(Failure::Refused(message.error.clone(), text()));
                }
                _ => self.note(message),
            }
        }
    }

    /// Waits for a job's end and gives its result.
    pub(super) fn wait(&mut self, job: &str) -> Result<String, Failure> {
        loop {
            if let Some((_, result)) = self.ended.iter().find(|(ended, _)| ended == job) {
                return Ok(result.clone());
            }
            let message = self.receive()?;
            self.note(message);
        }
    }

    /// JobRemoved: number, job, unit, result.
    fn note(&mut self, message: Message) {
        if let ("JobRemoved", [job, _, result]) = (message.member.as_str(), &message.texts[..]) {
            self.ended.push((job.clone(), result.clone()));
        }
    }

    fn receive(&mut self) -> io::Result<Message> {
        let broken = || io::Error::new(io::ErrorKind::InvalidData, "systemd sent no valid message");
        let mut head = [0; HEAD];
        self.stream.read_exact(&mut head)?;
        let mut bytes = head.to_vec();
        bytes.resize(HEAD + wire::rest(&head).ok_or_else(broken)?, 0);
        self.stream.read_exact(&mut bytes[HEAD..])?;
        wire::parse(&bytes).ok_or_else(broken)
    }
}
