//! epoll, with names for what became ready.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Who is waiting for a descriptor. Numbers are ids of the shim's own tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Listener,
    Signals,
    Publisher,
    Connection(u32),
    PumpSource(u32),
    PumpSink(u32),
    Oom(u32),
}

impl Token {
    fn pack(self) -> u64 {
        let (kind, id) = match self {
            Self::Listener => (0, 0),
            Self::Signals => (1, 0),
            Self::Publisher => (2, 0),
            Self::Connection(id) => (3, id),
            Self::PumpSource(id) => (4, id),
            Self::PumpSink(id) => (5, id),
            Self::Oom(id) => (6, id),
        };
        kind << 32 | u64::from(id)
    }

    fn unpack(data: u64) -> Option<Self> {
        let id = data as u32;
        Some(match data >> 32 {
            0 => Self::Listener,
            1 => Self::Signals,
            2 => Self::Publisher,
            3 => Self::Connection(id),
            4 => Self::PumpSource(id),
            5 => Self::PumpSink(id),
            6 => Self::Oom(id),
            _ => return None,
        })
    }
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
    Both,
}

impl Interest {
    fn flags(self) -> EpollFlags {
        match self {
            Self::Read => EpollFlags::EPOLLIN,
            Self::Write => EpollFlags::EPOLLOUT,
            Self::Both => EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT,
        }
    }
}

/// A descriptor that became ready. Errors and hang-ups count as both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) token: Token,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

pub(crate) struct Poller(Epoll);

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    pub(crate) fn add(&self, fd: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        Ok(self.0.add(fd, EpollEvent::new(interest.flags(), token.pack()))?)
    }

    pub(crate) fn change(&self, fd: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        Ok(self.0.modify(fd, &mut EpollEvent::new(interest.flags(), token.pack()))?)
    }

    /// Forgets a descriptor (one that isn't registered is no error).
    pub(crate) fn remove(&self, fd: impl AsFd) {
        let _ = self.0.delete(fd);
    }

    /// Waits until something is ready, or for `timeout` (`None`: as long as it takes).
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<Ready>> {
        let mut events = [EpollEvent::empty(); 16];
        let timeout = match timeout {
            // Rounded up, so that a timer is due when the wait ends.
            Some(t) => EpollTimeout::try_from(t + Duration::from_micros(999)).unwrap_or(EpollTimeout::MAX),
            None => EpollTimeout::NONE,
        };
        let count = match self.0.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(nix::Error::EINTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        let failed = EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP;
        let ready = events[..count].iter().filter_map(|event| {
            let flags = event.events();
            Some(Ready {
                token: Token::unpack(event.data())?,
                readable: flags.intersects(EpollFlags::EPOLLIN | failed),
                writable: flags.intersects(EpollFlags::EPOLLOUT | failed),
            })
        });
        Ok(ready.collect())
    }
}
