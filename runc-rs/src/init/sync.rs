//! What parent and child tell each other, over a socket pair that keeps message boundaries.
//!
//! ```text
//! child                      parent
//!   ── Pid (of a sibling) ──▶          only when a user namespace is joined: a helper makes the child
//!                  ◀── Go ──           only then, and when systemd has put the child into its cgroup
//!   ── Unmapped ──▶                    only with a new user namespace
//!                  ◀── Go ──           id maps and clock offsets are written
//!   ── Mounted ──▶                     the root file system is built
//!                  ◀── Go ──           limits are set, hooks have run
//!   ── Done ──▶                        nothing can fail any more but the exec
//! ```
//! At any point the child may send `Failed`, its last word.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::error::{Context, Step, StepError};

/// Texts longer than this are cut: one message is one packet.
const MAX_TEXT: usize = 8 << 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    Pid(i32),
    Unmapped,
    Mounted,
    Done,
    Go,
    Failed(StepError),
    /// The other side is gone (or, after [`Message::Done`], has executed its program).
    End,
}

#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

impl Channel {
    pub(crate) fn pair() -> Step<(Self, Self)> {
        let flags = SocketFlags::CLOEXEC;
        let (a, b) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .step(|| "make a socket pair")?;
        Ok((Self(a), Self(b)))
    }

    pub(crate) fn send(&self, message: &Message) -> Step<()> {
        let bytes = encode(message);
        rustix::io::retry_on_intr(|| rustix::net::send(&self.0, &bytes, SendFlags::NOSIGNAL))
            .map(drop)
            .step(|| "talk to the other side of the start")
    }

    pub(crate) fn receive(&self) -> Step<Message> {
        let mut bytes = [0u8; MAX_TEXT + 16];
        let received = rustix::io::retry_on_intr(|| {
            rustix::net::recv(self.0.as_fd(), &mut bytes[..], RecvFlags::empty())
        });
        match received {
            Ok((size, _)) => decode(&bytes[..size]),
            Err(rustix::io::Errno::CONNRESET) => Ok(Message::End),
            Err(e) => Err(e).step(|| "listen to the other side of the start"),
        }
    }

    /// Child: waits until the parent lets it go on.
    pub(crate) fn wait_go(&self) -> Step<()> {
        match self.receive()? {
            Message::Go => Ok(()),
            // The parent died: there is nobody left to be a container for.
            _ => Err(StepError::plain("the runtime that started this container is gone")),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn encode(message: &Message) -> Vec<u8> {
    match message {
        Message::Pid(pid) => [&[b'P'][..], &pid.to_le_bytes()].concat(),
        Message::Unmapped => vec![b'U'],
        Message::Mounted => vec![b'M'],
        Message::Done => vec![b'D'],
        Message::Go => vec![b'G'],
        Message::End => Vec::new(),
        Message::Failed(error) => {
            let errno = error.errno.map_or(0, |e| e as i32);
            let text = error.step.as_bytes();
            [&[b'F'][..], &errno.to_le_bytes(), &text[..text.len().min(MAX_TEXT)]].concat()
        }
    }
}

fn decode(bytes: &[u8]) -> Step<Message> {
    let number = |b: &[u8]| b.first_chunk::<4>().map(|n| i32::from_le_bytes(*n));
    let message = match bytes.split_first() {
        None => Some(Message::End),
        Some((b'U', [])) => Some(Message::Unmapped),
        Some((b'M', [])) => Some(Message::Mounted),
        Some((b'D', [])) => Some(Message::Done),
        Some((b'G', [])) => Some(Message::Go),
        Some((b'P', rest)) => number(rest).map(Message::Pid),
        Some((b'F', rest)) => number(rest).map(|errno| {
            let step = String::from_utf8_lossy(&rest[4..]).into_owned();
            Message::Failed(StepError { step, errno: (errno != 0).then(|| Errno::from_raw(errno)) })
        }),
        Some(_) => None,
    };
    message.ok_or_else(|| StepError::plain("the other side of the start sent nonsense"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_arrives_as_it_was_sent() {
        let (a, b) = Channel::pair().unwrap();
        let failed = Message::Failed(StepError::new("mount /x", Errno::EACCES));
        let plain = Message::Failed(StepError::plain("no"));
        for message in
            [Message::Pid(-7), Message::Unmapped, Message::Mounted, Message::Done, Message::Go, failed, plain]
        {
            a.send(&message).unwrap();
            assert_eq!(b.receive().unwrap(), message);
        }
        drop(a);
        assert_eq!(b.receive().unwrap(), Message::End);
    }

    #[test]
    fn nonsense_is_an_error_and_long_texts_are_cut() {
        assert!(decode(b"X").is_err());
        assert!(decode(b"F1").is_err());
        let (a, b) = Channel::pair().unwrap();
        a.send(&Message::Failed(StepError::plain("x".repeat(1 << 20)))).unwrap();
        assert!(matches!(b.receive().unwrap(), Message::Failed(e) if e.step.len() == MAX_TEXT));
    }
}
