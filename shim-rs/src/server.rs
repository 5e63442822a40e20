//! ttrpc connections: requests in, answers out, in any order.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use nix::sys::socket::{getsockopt, sockopt};
use proto::status::Code;
use proto::ttrpc::{self, Decoded, Decoder, Request, Response};

use crate::failure::Failure;
use crate::poller::{Interest, Poller, Token};

/// Where an answer has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplyTo {
    connection: u32,
    stream: u32,
}

struct Connection {
    socket: UnixStream,
    decoder: Decoder,
    /// What the peer hasn't taken yet.
    out: Vec<u8>,
    last_stream: u32,
}

/// The listening socket and everybody who came through it.
pub(crate) struct Server {
    listener: Option<UnixListener>,
    connections: BTreeMap<u32, Connection>,
    next: u32,
}

impl Server {
    pub(crate) fn new(listener: UnixListener, poller: &Poller) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        poller.add(&listener, Token::Listener, Interest::Read)?;
        Ok(Self { listener: Some(listener), connections: BTreeMap::new(), next: 0 })
    }

    /// Takes in whoever is waiting. Only our own user may talk to us.
    pub(crate) fn accept(&mut self, poller: &Poller) {
        while let Some(Ok((socket, _))) = self.listener.as_ref().map(UnixListener::accept) {
            let peer = getsockopt(&socket, sockopt::PeerCredentials);
            let own = nix::unistd::geteuid().as_raw();
            if !peer.is_ok_and(|peer| peer.uid() == own || peer.uid() == 0) {
                continue;
            }
            let id = self.next;
            let ready = socket.set_nonblocking(true);
            if ready.and_then(|()| poller.add(&socket, Token::Connection(id), Interest::Read)).is_err() {
                continue;
            }
            self.next += 1;
            let connection =
                Connection { socket, decoder: Decoder::default(), out: Vec::new(), last_stream: 0 };
            self.connections.insert(id, connection);
        }
    }

    /// Nobody new is let in.
    pub(crate) fn stop_listening(&mut self, poller: &Poller) {
        if let Some(listener) = self.listener.take() {
            poller.remove(&listener);
        }
    }

    /// Whether every answer has been taken.
    pub(crate) fn is_flushed(&self) -> bool {
        self.connections.values().all(|c| c.out.is_empty())
    }

    /// Reads what a peer sent; returns its whole requests.
    pub(crate) fn read(&mut self, id: u32, poller: &Poller) -> Vec<(ReplyTo, Request)> {
        let Some(connection) = self.connections.get_mut(&id) else { return Vec::new() };
        let mut chunk = [0u8; 8192];
        let mut closed = false;
        loop {
            match connection.socket.read(&mut chunk) {
                Ok(0) => closed = true,
                Ok(count) => {
                    connection.decoder.feed(&chunk[..count]);
                    if count == chunk.len() {
                        continue;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => closed = true,
            }
            break;
        }
        let (mut requests, mut refused) = (Vec::new(), Vec::new());
        while let Some(decoded) = connection.decoder.next_frame() {
            match decoded {
                Decoded::TooLarge { stream, size } => {
                    let max = ttrpc::MAX_DATA_SIZE;
                    let text = format!("message length {size} exceed maximum message size of {max}");
                    refused.push((stream, Failure::new(Code::ResourceExhausted, text)));
                }
                Decoded::Frame(frame) if frame.kind == ttrpc::KIND_REQUEST => {
                    let stream = frame.stream;
                    if stream % 2 == 0 || stream <= connection.last_stream {
                        let text = format!("StreamID {stream} must be odd and larger than the last");
                        refused.push((stream, Failure::new(Code::InvalidArgument, text)));
                        continue;
                    }
                    connection.last_stream = stream;
                    match frame.request() {
                        Ok(request) => requests.push((ReplyTo { connection: id, stream }, request)),
                        Err(error) => {
                            refused.push((stream, Failure::new(Code::InvalidArgument, error.to_string())))
                        }
                    }
                }
                Decoded::Frame(frame) if frame.kind == ttrpc::KIND_DATA => {
                    let text = "StreamID is no longer active";
                    refused.push((frame.stream, Failure::new(Code::InvalidArgument, text)));
                }
                Decoded::Frame(_) => {}
            }
        }
        for (stream, failure) in refused {
            self.reply(ReplyTo { connection: id, stream }, Err(failure), poller);
        }
        if closed {
            self.close(id, poller);
        }
        requests
    }

    /// Answers a call; a peer that has gone needs no answer.
    pub(crate) fn reply(&mut self, to: ReplyTo, answer: Result<Vec<u8>, Failure>, poller: &Poller) {
        let Some(connection) = self.connections.get_mut(&to.connection) else { return };
        let response = match answer {
            Ok(payload) => Response { status: None, payload },
            Err(failure) => Response::error(failure.code, failure.message),
        };
        connection.out.extend_from_slice(&ttrpc::encode_response(to.stream, &response));
        self.flush(to.connection, poller);
    }

    /// Writes what a peer takes now.
    pub(crate) fn flush(&mut self, id: u32, poller: &Poller) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        while !connection.out.is_empty() {
            match connection.socket.write(&connection.out) {
                Ok(count) => drop(connection.out.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return self.close(id, poller),
            }
        }
        let interest = if connection.out.is_empty() { Interest::Read } else { Interest::Both };
        if connection.out.is_empty() {
            connection.out = Vec::new();
        }
        let _ = poller.change(&connection.socket, Token::Connection(id), interest);
    }

    fn close(&mut self, id: u32, poller: &Poller) {
        if let Some(connection) = self.connections.remove(&id) {
            poller.remove(&connection.socket);
        }
    }
}
