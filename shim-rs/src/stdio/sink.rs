//! Where a pump's bytes go.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::rc::Rc;

use logfile::{LogWriter, Stream, Timestamp};

use crate::descriptors::unread_bytes;

use super::fifo::{self, Wrote};

/// What a fifo without a reader, or a slow tee, is owed at most, in bytes.
const BOUND: usize = 256 * 1024;
/// A slow reader is given so much before the container has to wait.
const HIGH_WATER: usize = 64 * 1024;

/// Whether a sink takes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Go,
    /// Not until it has been written out ([`Sink::flush`]).
    Wait,
}

pub(crate) enum Sink {
    Log {
        writer: Rc<RefCell<LogWriter>>,
        stream: Stream,
        tee: Option<Tee>,
    },
    File(File),
    /// A client's fifo, a container's stdin pipe or a terminal.
    Pipe(Pipe),
}

/// A descriptor that may be full, or have nobody at its other end.
pub(crate) struct Pipe {
    pub(crate) file: File,
    pending: VecDeque<u8>,
    /// Bytes are kept (the newest ones) for a reader that may come; else they are thrown away.
    patient: bool,
    no_reader: bool,
}

impl Pipe {
    pub(crate) fn new(file: File, patient: bool) -> Self {
        Self { file, pending: VecDeque::new(), patient, no_reader: false }
    }

    fn put(&mut self, bytes: &[u8]) -> Flow {
        self.pending.extend(bytes);
        self.flush()
    }

    fn flush(&mut self) -> Flow {
        while !self.pending.is_empty() {
            let (front, _) = self.pending.as_slices();
            match fifo::write(&self.file, front) {
                Ok(Wrote::Some(0)) => {
                    self.no_reader = false;
                    break;
                }
                Ok(Wrote::Some(count)) => {
                    self.no_reader = false;
                    self.pending.drain(..count);
                }
                Ok(Wrote::NoReader) if self.patient => {
                    self.no_reader = true;
                    let excess = self.pending.len().saturating_sub(BOUND);
                    self.pending.drain(..excess);
                    return Flow::Go;
                }
                // The process at the other end has gone.
                Ok(Wrote::NoReader) | Err(_) => self.pending.clear(),
            }
        }
        if self.pending.is_empty() {
            self.pending = VecDeque::new();
        }
        if self.pending.len() >= HIGH_WATER { Flow::Wait } else { Flow::Go }
    }

    /// Bytes wait for a reader that makes room (and not for one that isn't there).
    fn wants_room(&self) -> bool {
        !self.pending.is_empty() && !self.no_reader
    }
}

/// A copy of a log's raw bytes for whoever reads the fifo.
pub(crate) struct Tee {
    path: PathBuf,
    marked: bool,
    /// A slow reader is waited for.
    waits: bool,
    file: Option<File>,
    pending: VecDeque<u8>,
}

impl Tee {
    pub(crate) fn new(path: PathBuf, marked: bool, waits: bool) -> Self {
        Self { path, marked, waits, file: None, pending: VecDeque::new() }
    }

    pub(super) fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Looks whether somebody reads. To be called before the log takes the bytes that follow.
    fn open(&mut self, log: &LogWriter, stream: Stream) {
        if self.file.is_some() {
            return;
        }
        self.file = fifo::open_writer_if_read(&self.path).ok();
        if self.file.is_some() && self.marked {
            self.pending.extend(log.mark(stream).map(|mark| mark.encode()).unwrap_or_default());
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.file.is_none() {
            return;
        }
        self.pending.extend(bytes);
        self.flush();
        if self.pending.len() > BOUND && !self.waits {
            // Too slow: the end of the file sends the reader to the log.
            (self.file, self.pending) = (None, VecDeque::new());
        }
    }

    fn flush(&mut self) {
        while let (Some(file), false) = (&self.file, self.pending.is_empty()) {
            match fifo::write(file, self.pending.as_slices().0) {
                Ok(Wrote::Some(0)) => return,
                Ok(Wrote::Some(count)) => drop(self.pending.drain(..count)),
                Ok(Wrote::NoReader) | Err(_) => self.file = None,
            }
        }
        self.pending = VecDeque::new();
    }

    fn flow(&self) -> Flow {
        if self.waits && self.pending.len() >= HIGH_WATER { Flow::Wait } else { Flow::Go }
    }
}

impl Sink {
    /// Takes bytes. An output that can't be written loses them: the container doesn't pay for a full disk.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Flow {
        match self {
            Self::Log { writer, stream, tee } => {
                let mut writer = writer.borrow_mut();
                if let Some(tee) = tee {
                    tee.open(&writer, *stream);
                }
                if let Err(error) = writer.write(*stream, bytes, Timestamp::now()) {
                    report(&error);
                }
                tee.as_mut().map_or(Flow::Go, |tee| {
                    tee.put(bytes);
                    tee.flow()
                })
            }
            Self::File(file) => {
                if let Err(error) = file.write_all(bytes) {
                    crate::complaint::complain!("write output file: {error}");
                }
                Flow::Go
            }
            Self::Pipe(pipe) => pipe.put(bytes),
        }
    }

    /// Writes out what waits.
    pub(crate) fn flush(&mut self) -> Flow {
        match self {
            Self::Log { tee: Some(tee), .. } => {
                tee.flush();
                tee.flow()
            }
            Self::Log { .. } | Self::File(_) => Flow::Go,
            Self::Pipe(pipe) => pipe.flush(),
        }
    }

    /// The descriptor to be told about when there is room again, if anything waits for that.
    pub(crate) fn wants_room(&self) -> Option<&File> {
        match self {
            Self::Log { tee: Some(tee), .. } if !tee.pending.is_empty() => tee.file.as_ref(),
            Self::Pipe(pipe) if pipe.wants_room() => Some(&pipe.file),
            _ => None,
        }
    }

    /// Bytes are kept for a fifo's reader that isn't there.
    pub(crate) fn wants_reader(&self) -> bool {
        matches!(self, Self::Pipe(pipe) if pipe.no_reader && !pipe.pending.is_empty())
    }

    /// Everything is written and whoever reads has it in reach: the descriptor may be closed.
    pub(crate) fn is_settled(&self) -> bool {
        match self {
            Self::Log { tee: Some(tee), .. } => tee.file.is_none() || tee.pending.is_empty(),
            Self::Log { .. } | Self::File(_) => true,
            // Without a reader the kernel throws a pipe's content away at the last close.
            Self::Pipe(pipe) => {
                let kept = || fifo::has_reader(&pipe.file) || unread_bytes(&pipe.file) == 0;
                pipe.pending.is_empty() && (!pipe.patient || kept())
            }
        }
    }

    /// Nothing more will come: the last, unfinished line goes into the log, and the tee's reader sees the end.
    pub(crate) fn finish(&mut self) {
        if let Self::Log { writer, stream, tee } = self {
            let mut writer = writer.borrow_mut();
            if let Some(tee) = tee {
                tee.open(&writer, *stream);
                tee.flush();
            }
            if let Err(error) = writer.close_stream(*stream, Timestamp::now()) {
                report(&error);
            }
        }
    }

    /// Does a bounded piece of the log's work; says whether there is more.
    pub(crate) fn work(&mut self) -> bool {
        let Self::Log { writer, .. } = self else { return false };
        writer.borrow_mut().work().unwrap_or_else(|error| {
            report(&error);
            false
        })
    }
}

fn report(error: &logfile::Error) {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    crate::complaint::complain!("{error}{cause}");
}
