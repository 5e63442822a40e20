//! Following a log while it is written.
//!
//! A blocking iterator for a thread of its own. It waits for inotify on the log's directory or for a word by
//! its [`Control`]; it ends when it was told that the writer has finished and all is read, when the log is
//! removed, or when cancelled.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::cursor::Cursor;
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::read::{LogReader, ReadOptions};
use crate::timestamp::Timestamp;

/// Looks by itself after so long, should a notice be lost (network file systems send none).
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the log may be missing before it counts as removed.
const GRACE: Duration = Duration::from_millis(100);

const RUNNING: u8 = 0;
const FINISHING: u8 = 1;
const CANCELLED: u8 = 2;

/// Ends a [`Follow`] from another thread. Clones steer the same one.
#[derive(Clone, Debug)]
pub struct Control {
    state: Arc<AtomicU8>,
    wake: Arc<EventFd>,
}

impl Control {
    /// The writer has finished: the iterator gives what there is, then ends.
    pub fn finish(&self) {
        self.set(FINISHING);
    }

    /// The iterator ends now.
    pub fn cancel(&self) {
        self.set(CANCELLED);
    }

    fn set(&self, state: u8) {
        self.state.fetch_max(state, Ordering::SeqCst);
        // Can fail only when the counter is full, and then the waiter is awake.
        let _ = self.wake.write(1);
    }
}

/// An endless [`LogReader`].
#[derive(Debug)]
pub struct Follow {
    reader: LogReader,
    inotify: Inotify,
    watching: bool,
    control: Control,
    done: bool,
}

impl Follow {
    pub(crate) fn new(reader: LogReader) -> Result<Self> {
        let fail = |errno: nix::Error| Error::io("watch log", &reader.path, errno.into());
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map_err(fail)?;
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let wake = EventFd::from_value_and_flags(0, flags).map_err(fail)?;
        let control = Control { state: Arc::new(AtomicU8::new(RUNNING)), wake: Arc::new(wake) };
        let mut this = Self { reader, inotify, watching: false, control, done: false };
        this.watch();
        Ok(this)
    }

    /// The handle that ends this iterator.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Where the next entry begins: inode and offset of its file. Compare with a [`crate::Mark`].
    pub fn position(&self) -> Option<(u64, u64)> {
        self.reader.position()
    }

    /// The next entry if there is one now; doesn't wait.
    ///
    /// # Errors
    /// A file can't be opened or read.
    pub fn try_next(&mut self) -> Result<Option<Entry>> {
        loop {
            if self.reader.cursor.is_none() {
                let options = ReadOptions { tail: None, ..self.reader.options };
                self.reader.cursor = LogReader::open(&self.reader.path, self.reader.format, options)?.cursor;
            }
            let Some(cursor) = &mut self.reader.cursor else { return Ok(None) };
            // Asked before the read: what a file that is no longer written has is final.
            let finished = cursor.is_current() == Some(false);
            match cursor.next_entry()? {
                Some(entry) if self.reader.options.since.is_some_and(|since| entry.time < since) => {}
                Some(entry) if self.reader.options.until.is_some_and(|until| entry.time > until) => {
                    self.done = true;
                    return Ok(None);
                }
                Some(entry) => return Ok(Some(entry)),
                None if finished && cursor.advance()? => {}
                None => {
                    cursor.rewind_if_cut();
                    return Ok(None);
                }
            }
        }
    }

    fn step(&mut self) -> Result<Option<Entry>> {
        let mut missing = false;
        loop {
            // Asked before the read, so that nothing written before the word is left out.
            let state = self.control.state.load(Ordering::SeqCst);
            if state == CANCELLED || self.done {
                return Ok(None);
            }
            if let Some(entry) = self.try_next()? {
                return Ok(Some(entry));
            }
            if state == FINISHING || self.done {
                return Ok(None);
            }
            let now_missing = self.is_removed();
            if missing && now_missing {
                return Ok(None);
            }
            missing = now_missing;
            self.wait(if missing { GRACE } else { PATIENCE })?;
        }
    }

    /// The log was there and isn't any more, or its directory has gone.
    fn is_removed(&self) -> bool {
        match &self.reader.cursor {
            Some(cursor) => Cursor::is_current(cursor).is_none(),
            None => !self.reader.path.parent().is_some_and(Path::is_dir),
        }
    }

    fn watch(&mut self) {
        if !self.watching
            && let Some(dir) = self.reader.path.parent()
        {
            let flags = AddWatchFlags::IN_MODIFY
                | AddWatchFlags::IN_CREATE
                | AddWatchFlags::IN_MOVE
                | AddWatchFlags::IN_DELETE
                | AddWatchFlags::IN_DELETE_SELF
                | AddWatchFlags::IN_MOVE_SELF;
            self.watching = self.inotify.add_watch(dir, flags).is_ok();
            // A file made before the watch shows at the next look, which comes before any wait.
        }
    }

    fn wait(&mut self, patience: Duration) -> Result<()> {
        let had_watch = self.watching;
        self.watch();
        if self.watching && !had_watch {
            return Ok(());
        }
        let now = Timestamp::now();
        let left = self.reader.options.until.map(|until| now.until(until) + Duration::from_millis(1));
        if self.reader.options.until.is_some_and(|until| until < now) {
            self.done = true;
            return Ok(());
        }
        let timeout = if self.watching { patience } else { GRACE }.min(left.unwrap_or(PATIENCE));
        let mut fds = [
            PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.control.wake.as_fd(), PollFlags::POLLIN),
        ];
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(errno) => return Err(Error::io("watch log", &self.reader.path, errno.into())),
        }
        drop(self.inotify.read_events());
        Ok(())
    }
}

impl Iterator for Follow {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.step().transpose();
        self.done |= !matches!(item, Some(Ok(_)));
        item
    }
}
