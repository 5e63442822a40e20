//! Moving bytes without ever waiting.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use crate::poller::{Interest, Poller, Token};

use super::sink::{Flow, Sink};

/// Bytes moved at a time.
const CHUNK: usize = 16 * 1024;
/// At most so much is read to empty a source at its process's end: a pipe's largest usual size.
const DRAIN: usize = 1 << 20;
/// How often a missing reader, or a terminal without a user, is looked for.
const RETRY: Duration = Duration::from_millis(100);
/// After its process was deleted, a client gets so long to take the rest.
const LINGER: Duration = Duration::from_secs(10);

/// Whose pump it is: container and exec (empty for the init).
pub(crate) type Owner = (String, String);

pub(crate) struct Pump {
    owner: Owner,
    input: bool,
    source: Option<File>,
    source_armed: bool,
    /// A terminal's end of file means only that nobody has it open now.
    terminal: bool,
    sink: Sink,
    sink_armed: bool,
    /// For stdin: a write end of the source; the source ends after it is dropped.
    keep: Option<File>,
    /// The source has ended and the sink knows it.
    finished: bool,
    /// Nothing is read yet: what a runtime says that fails isn't its container's output.
    held: bool,
    abandon_at: Option<Instant>,
}

/// All pumps of the shim.
#[derive(Default)]
pub(crate) struct Pumps {
    pumps: BTreeMap<u32, Pump>,
    next: u32,
    retry_at: Option<Instant>,
}

impl Pumps {
    /// Begins to move a terminal's output, from its master.
    pub(crate) fn add_terminal(&mut self, owner: &Owner, master: File, sink: Sink, poller: &Poller) {
        let id = self.add(owner, master, sink);
        self.with(id, poller, |pump| pump.terminal = true);
    }

    /// Output that is moved from [`Self::begin`] on. Until then a pipe holds it.
    pub(crate) fn add_output(&mut self, owner: &Owner, source: File, sink: Sink) {
        let id = self.add(owner, source, sink);
        if let Some(pump) = self.pumps.get_mut(&id) {
            pump.held = true;
        }
    }

    /// Begins to move stdin. `keep` is dropped by [`Self::close_input`].
    pub(crate) fn add_input(&mut self, owner: &Owner, source: File, keep: File, sink: Sink, poller: &Poller) {
        let id = self.add(owner, source, sink);
        self.with(id, poller, |pump| (pump.input, pump.keep) = (true, Some(keep)));
    }

    /// The runtime has done its part: from now on what comes is the process's own.
    pub(crate) fn begin(&mut self, owner: &Owner, poller: &Poller) {
        for id in self.of(owner) {
            self.with(id, poller, |pump| pump.held = false);
        }
    }

    fn add(&mut self, owner: &Owner, source: File, sink: Sink) -> u32 {
        let id = self.next;
        self.next += 1;
        let pump = Pump {
            owner: owner.clone(),
            input: false,
            source: Some(source),
            source_armed: false,
            terminal: false,
            sink,
            sink_armed: false,
            keep: None,
            finished: false,
            held: false,
            abandon_at: None,
        };
        self.pumps.insert(id, pump);
        id
    }

    fn with(&mut self, id: u32, poller: &Poller, change: impl FnOnce(&mut Pump)) {
        if let Some(pump) = self.pumps.get_mut(&id) {
            change(pump);
            pump.arm_source(id, poller);
        }
    }

    /// A source has something.
    pub(crate) fn source_ready(&mut self, id: u32, poller: &Poller) {
        if let Some(pump) = self.pumps.get_mut(&id) {
            // A few chunks at a time, so that one talkative container doesn't starve the others.
            for _ in 0..4 {
                if !pump.step(poller) {
                    break;
                }
            }
            self.settle(id, poller);
        }
    }

    /// A sink has room, or lost its reader.
    pub(crate) fn sink_ready(&mut self, id: u32, poller: &Poller) {
        if let Some(pump) = self.pumps.get_mut(&id) {
            if pump.sink.flush() == Flow::Go {
                pump.arm_source(id, poller);
            }
            self.settle(id, poller);
        }
    }

    /// Takes in everything that a process that has just died has written. Others may hold its output open: they
    /// go on being read afterwards.
    pub(crate) fn drain(&mut self, owner: &Owner, poller: &Poller) {
        for id in self.of(owner) {
            let Some(pump) = self.pumps.get_mut(&id) else { continue };
            if pump.input {
                self.remove(id, poller);
                continue;
            }
            pump.terminal = false;
            let mut left = DRAIN;
            while left > 0 && pump.source.is_some() {
                match pump.read() {
                    Taken::Bytes(count) => left = left.saturating_sub(count),
                    Taken::Nothing => break,
                    Taken::End => pump.end(poller),
                }
            }
            self.settle(id, poller);
        }
    }

    /// No more input will be sent.
    pub(crate) fn close_input(&mut self, owner: &Owner) {
        for id in self.of(owner) {
            if let Some(pump) = self.pumps.get_mut(&id) {
                pump.keep = None;
            }
        }
    }

    /// A process is deleted: nothing more is read; what its client hasn't taken is kept for a moment.
    pub(crate) fn release(&mut self, owner: &Owner, poller: &Poller) {
        for id in self.of(owner) {
            let Some(pump) = self.pumps.get_mut(&id) else { continue };
            pump.end(poller);
            pump.abandon_at = Some(Instant::now() + LINGER);
            if pump.input {
                self.remove(id, poller);
            } else {
                self.settle(id, poller);
            }
        }
    }

    /// Whether nothing is left to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.pumps.is_empty()
    }

    /// When [`Self::tick`] wants to be called.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Looks for readers and terminals that may have come back.
    pub(crate) fn tick(&mut self, poller: &Poller) {
        if self.retry_at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        self.retry_at = None;
        for id in self.pumps.keys().copied().collect::<Vec<_>>() {
            let Some(pump) = self.pumps.get_mut(&id) else { continue };
            if pump.abandon_at.is_some_and(|at| at <= Instant::now()) {
                self.remove(id, poller);
                continue;
            }
            if pump.sink.flush() == Flow::Go {
                pump.arm_source(id, poller);
            }
            self.settle(id, poller);
        }
    }

    /// Does pieces of the logs' own work; says whether there is more.
    pub(crate) fn work(&mut self) -> bool {
        let mut more = false;
        for pump in self.pumps.values_mut() {
            more |= pump.sink.work();
        }
        more
    }

    fn of(&self, owner: &Owner) -> Vec<u32> {
        self.pumps.iter().filter(|(_, pump)| pump.owner == *owner).map(|(id, _)| *id).collect()
    }

    /// After anything happened to a pump: registers what it waits for, or removes it when it is done.
    fn settle(&mut self, id: u32, poller: &Poller) {
        let Some(pump) = self.pumps.get_mut(&id) else { return };
        if pump.source.is_none() && pump.sink.is_settled() {
            return self.remove(id, poller);
        }
        match (pump.sink.wants_room(), pump.sink_armed) {
            (Some(file), false) => {
                pump.sink_armed = poller.add(file, Token::PumpSink(id), Interest::Write).is_ok()
            }
            (None, true) => {
                if let Sink::Pipe(pipe) = &pump.sink {
                    poller.remove(&pipe.file);
                } else if let Sink::Log { tee: Some(tee), .. } = &pump.sink
                    && let Some(file) = tee.file()
                {
                    poller.remove(file);
                }
                pump.sink_armed = false;
            }
            _ => {}
        }
        let idle_terminal = pump.terminal && pump.source.is_some() && !pump.source_armed;
        if pump.sink.wants_reader() || idle_terminal || pump.source.is_none() {
            self.retry_at.get_or_insert(Instant::now() + RETRY);
        }
    }

    fn remove(&mut self, id: u32, poller: &Poller) {
        if let Some(mut pump) = self.pumps.remove(&id) {
            pump.end(poller);
            if let Some(file) = pump.sink.wants_room() {
                poller.remove(file);
            }
        }
    }
}

/// What a read gave.
enum Taken {
    Bytes(usize),
    Nothing,
    End,
}

impl Pump {
    /// Moves one chunk; says whether to go on at once.
    fn step(&mut self, poller: &Poller) -> bool {
        if !self.source_armed || self.source.is_none() {
            return false;
        }
        if self.sink.flush() == Flow::Wait {
            self.disarm_source(poller);
            return false;
        }
        match self.read() {
            Taken::Bytes(_) => {
                if self.sink.flush() == Flow::Wait {
                    self.disarm_source(poller);
                    return false;
                }
                true
            }
            Taken::Nothing => false,
            Taken::End if self.terminal => {
                // Comes back at the next tick.
                self.disarm_source(poller);
                false
            }
            Taken::End => {
                self.end(poller);
                false
            }
        }
    }

    fn read(&mut self) -> Taken {
        let Some(mut source) = self.source.as_ref() else { return Taken::Nothing };
        let mut chunk = [0u8; CHUNK];
        loop {
            return match source.read(&mut chunk) {
                Ok(0) => Taken::End,
                Ok(count) => {
                    self.sink.put(&chunk[..count]);
                    Taken::Bytes(count)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Taken::Nothing,
                // EIO of a terminal whose users have gone, above all.
                Err(_) => Taken::End,
            };
        }
    }

    fn arm_source(&mut self, id: u32, poller: &Poller) {
        if let (Some(source), false, false) = (&self.source, self.source_armed, self.held) {
            self.source_armed = poller.add(source, Token::PumpSource(id), Interest::Read).is_ok();
        }
    }

    fn disarm_source(&mut self, poller: &Poller) {
        if let (Some(source), true) = (&self.source, self.source_armed) {
            poller.remove(source);
        }
        self.source_armed = false;
    }

    /// The source has ended.
    fn end(&mut self, poller: &Poller) {
        self.disarm_source(poller);
        (self.source, self.keep) = (None, None);
        if !std::mem::replace(&mut self.finished, true) {
            self.sink.finish();
        }
    }
}
