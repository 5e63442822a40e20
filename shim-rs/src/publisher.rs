//! Events to the daemon: one after the other, each until it is acknowledged, whatever becomes of the daemon.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use prost::{Message, Name};
use proto::containerd::services::events::ttrpc::v1::ForwardRequest;
use proto::containerd::types::Envelope;
use proto::ttrpc::{self, Decoded, Decoder, KeyValue, Request};
use proto::typeurl;

use crate::exit_record::now;
use crate::journal::Journal;
use crate::poller::{Interest, Poller, Token};

/// First and longest pause between attempts.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// A daemon that hasn't answered by then is taken for hung.
const PATIENCE: Duration = Duration::from_secs(5);
/// After so many refusals an event is given up: the daemon lives and doesn't want it.
const REFUSALS: u32 = 3;

pub(crate) struct Publisher {
    address: Option<PathBuf>,
    namespace: String,
    journal: Journal,
    link: Option<Link>,
    pause: Duration,
    retry_at: Option<Instant>,
    refusals: u32,
}

/// A connection, and the call under way on it.
struct Link {
    socket: UnixStream,
    decoder: Decoder,
    out: Vec<u8>,
    stream: u32,
    deadline: Option<Instant>,
}

impl Publisher {
    pub(crate) fn new(address: Option<PathBuf>, namespace: String, journal: &Path) -> Self {
        let journal = Journal::create(journal);
        Self { address, namespace, journal, link: None, pause: PAUSE.0, retry_at: None, refusals: 0 }
    }

    /// Writes an event down and begins to send it.
    pub(crate) fn publish<M: Message + Name>(&mut self, topic: &str, event: &M, poller: &Poller) {
        if self.address.is_none() {
            return;
        }
        let envelope = Envelope {
            timestamp: Some(now()),
            namespace: self.namespace.clone(),
            topic: topic.to_owned(),
            event: Some(typeurl::pack(event)),
        };
        self.journal.push(ForwardRequest { envelope: Some(envelope) }.encode_to_vec());
        if self.retry_at.is_none() {
            self.advance(poller);
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.journal.is_empty()
    }

    /// When [`Self::tick`] wants to be called.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.retry_at.or_else(|| self.link.as_ref().and_then(|link| link.deadline))
    }

    /// Tries again if it is time.
    pub(crate) fn tick(&mut self, poller: &Poller) {
        let late = |at: Option<Instant>| at.is_some_and(|at| at <= Instant::now());
        if late(self.retry_at) {
            self.retry_at = None;
            self.advance(poller);
        } else if late(self.link.as_ref().and_then(|link| link.deadline)) {
            self.fail("no answer", poller);
        }
    }

    /// The daemon has shown itself: no need to sit the pause out.
    pub(crate) fn nudge(&mut self, poller: &Poller) {
        if self.retry_at.take().is_some() {
            self.pause = PAUSE.0;
            self.advance(poller);
        }
    }

    /// The socket became ready.
    pub(crate) fn ready(&mut self, poller: &Poller) {
        if let Err(error) = self.exchange(poller) {
            self.fail(&error.to_string(), poller);
        }
    }

    /// Connects if need be and sends the oldest event if none is under way.
    fn advance(&mut self, poller: &Poller) {
        if self.journal.is_empty() {
            return;
        }
        if let Err(error) = self.connect(poller).and_then(|()| self.send(poller)) {
            self.fail(&error.to_string(), poller);
        }
    }

    fn connect(&mut self, poller: &Poller) -> io::Result<()> {
        if self.link.is_some() {
            return Ok(());
        }
        let Some(address) = &self.address else { return Ok(()) };
        // Never waits: a Unix socket connects at once, or its backlog is full and that is an error here.
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(address)?)?;
        let socket = UnixStream::from(socket);
        poller.add(&socket, Token::Publisher, Interest::Read)?;
        self.link =
            Some(Link { socket, decoder: Decoder::default(), out: Vec::new(), stream: 0, deadline: None });
        Ok(())
    }

    fn send(&mut self, poller: &Poller) -> io::Result<()> {
        let (Some(link), Some(event)) = (&mut self.link, self.journal.front()) else { return Ok(()) };
        if link.deadline.is_some() {
            return Ok(());
        }
        link.stream = if link.stream == 0 { 1 } else { link.stream + 2 };
        let request = Request {
            service: "containerd.services.events.ttrpc.v1.Events".into(),
            method: "Forward".into(),
            payload: event.to_vec(),
            timeout_nano: PATIENCE.as_nanos() as i64,
            metadata: vec![KeyValue { key: ttrpc::NAMESPACE_KEY.into(), value: self.namespace.clone() }],
        };
        match ttrpc::encode_request(link.stream, &request) {
            Ok(bytes) => link.out = bytes,
            Err(size) => {
                crate::complaint::complain!("event of {size} bytes is too large to be sent");
                self.journal.pop();
                return Ok(());
            }
        }
        link.deadline = Some(Instant::now() + PATIENCE);
        self.exchange(poller)
    }

    fn exchange(&mut self, poller: &Poller) -> io::Result<()> {
        let Some(link) = &mut self.link else { return Ok(()) };
        while !link.out.is_empty() {
            match link.socket.write(&link.out) {
                Ok(count) => drop(link.out.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let interest = if link.out.is_empty() { Interest::Read } else { Interest::Both };
        poller.change(&link.socket, Token::Publisher, interest)?;
        let mut chunk = [0u8; 1024];
        loop {
            match link.socket.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => link.decoder.feed(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        while let Some(link) = &mut self.link {
            let Some(decoded) = link.decoder.next_frame() else { break };
            let Decoded::Frame(frame) = decoded else { continue };
            if frame.stream != link.stream || frame.kind != ttrpc::KIND_RESPONSE || link.deadline.is_none() {
                continue;
            }
            link.deadline = None;
            let answer = frame.response().map_err(io::Error::other)?.into_result();
            if let Err(status) = answer {
                self.refusals += 1;
                if self.refusals < REFUSALS {
                    return Err(io::Error::other(status.message));
                }
                crate::complaint::complain!("event given up: {}", status.message);
            }
            (self.refusals, self.pause) = (0, PAUSE.0);
            self.journal.pop();
            self.send(poller)?;
        }
        Ok(())
    }

    /// Drops the connection and comes back later.
    fn fail(&mut self, reason: &str, poller: &Poller) {
        if let Some(link) = self.link.take() {
            poller.remove(&link.socket);
        }
        if self.journal.is_empty() {
            return;
        }
        crate::complaint::complain!("publish event: {reason}; again in {:?}", self.pause);
        self.retry_at = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSE.1);
    }
}
