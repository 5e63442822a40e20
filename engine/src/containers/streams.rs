//! A container's live streams: who is attached gets its output, and may write its input.
//!
//! ```text
//! EXEC/containers/ID/stdin    fifo read by the shim
//! EXEC/containers/ID/stdout   fifo that the shim copies output to while somebody reads it
//! EXEC/containers/ID/stderr   the same for errors
//! ```
//! One reader per fifo fans out to all who are attached. Who is slow is waited for: the fifo fills, and the shim
//! makes the process wait, as long as its client is there. The log is the shim's business, not this module's.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use nix::fcntl::OFlag;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::sync::{Notify, mpsc, watch};

/// Which output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output; a terminal's only one.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Output of a container as it came.
pub type Chunk = (Output, Bytes);

/// Bytes an attached client may be behind before the process has to wait for it.
const BACKLOG: usize = 4 << 20;
/// How long the end of an output may keep silent before it is no longer waited for.
const SILENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Subscriber {
    sender: mpsc::UnboundedSender<Chunk>,
    behind: Arc<AtomicUsize>,
}

/// One who is attached.
#[derive(Debug)]
pub struct Subscription {
    receiver: mpsc::UnboundedReceiver<Chunk>,
    behind: Arc<AtomicUsize>,
    room: Arc<Notify>,
}

impl Subscription {
    /// The next piece of output; none after the run's last one.
    pub async fn next(&mut self) -> Option<Chunk> {
        let chunk = self.receiver.recv().await?;
        self.behind.fetch_sub(chunk.1.len(), Ordering::Relaxed);
        self.room.notify_waiters();
        Some(chunk)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.receiver.close();
        self.room.notify_waiters();
    }
}

#[derive(Debug, Default)]
struct Inner {
    subscribers: Vec<Subscriber>,
    /// Told when somebody attached has taken something, or has gone.
    room: Arc<Notify>,
    /// Ends the readers of this run; there while they read.
    run: Option<Run>,
    stdin: Option<Arc<tokio::sync::Mutex<pipe::Sender>>>,
}

#[derive(Debug)]
struct Run {
    end: watch::Sender<bool>,
    readers: Vec<tokio::task::JoinHandle<()>>,
}

/// The streams of one container.
#[derive(Clone, Debug)]
pub struct Streams {
    dir: PathBuf,
    inner: Arc<Mutex<Inner>>,
    /// Output is passed on once the process runs: what a failing runtime says isn't the container's.
    gate: Arc<watch::Sender<bool>>,
}

impl Streams {
    /// Streams with fifos in `dir`; nothing is made yet.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf(), inner: Arc::default(), gate: Arc::new(watch::Sender::new(false)) }
    }

    /// The fifo for input.
    pub fn stdin_path(&self) -> PathBuf {
        self.dir.join("stdin")
    }

    /// The fifo for an output.
    pub fn output_path(&self, output: Output) -> PathBuf {
        self.dir.join(match output {
            Output::Stdout => "stdout",
            Output::Stderr => "stderr",
        })
    }

    /// Makes the directory and its fifos where they are missing.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn make(&self) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        for path in [self.stdin_path(), self.output_path(Output::Stdout), self.output_path(Output::Stderr)] {
            make_fifo(&path)?;
        }
        Ok(())
    }

    /// The process runs: output is passed on from now on.
    pub fn begin(&self) {
        self.gate.send_replace(true);
    }

    /// Attaches: output from now on, to the end of the run (or of the next one if none runs).
    ///
    /// # Errors
    /// The fifos can't be opened.
    pub fn subscribe(&self) -> std::io::Result<Subscription> {
        self.make()?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let behind = Arc::default();
        let mut inner = self.lock();
        let room = Arc::clone(&inner.room);
        inner.subscribers.push(Subscriber { sender, behind: Arc::clone(&behind) });
        if inner.run.is_none() {
            let (end, _) = watch::channel(false);
            let mut readers = Vec::new();
            for output in [Output::Stdout, Output::Stderr] {
                // Opened for writing too: so it has no end before the run has one.
                let fifo =
                    pipe::OpenOptions::new().read_write(true).open_receiver(self.output_path(output))?;
                let (gate, end) = (self.gate.subscribe(), end.subscribe());
                let path = self.output_path(output);
                readers.push(tokio::spawn(fan_out(self.inner.clone(), fifo, path, output, gate, end)));
            }
            inner.run = Some(Run { end, readers });
        }
        Ok(Subscription { receiver, behind, room })
    }

    /// The run has ended and the shim has written all: gives out what is left, then ends everyone's stream.
    pub async fn end(&self) {
        let run = self.lock().run.take();
        if let Some(run) = run {
            run.end.send_replace(true);
            for reader in run.readers {
                // A reader can only end; its join fails when the runtime goes down.
                let _ = reader.await;
            }
        }
        let mut inner = self.lock();
        inner.subscribers.clear();
        inner.stdin = None;
        drop(inner);
        self.gate.send_replace(false);
    }

    /// Writes input; waits while the fifo is full. What comes before the start is kept in the fifo.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub async fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        let stdin = {
            self.make()?;
            let mut inner = self.lock();
            match &inner.stdin {
                Some(stdin) => stdin.clone(),
                None => {
                    let sender = pipe::OpenOptions::new().read_write(true).open_sender(self.stdin_path())?;
                    inner.stdin.insert(Arc::new(tokio::sync::Mutex::new(sender))).clone()
                }
            }
        };
        stdin.lock().await.write_all(bytes).await
    }

    /// Gives up the daemon's end of the input; the shim then decides by what it was told.
    pub fn release_stdin(&self) {
        self.lock().stdin = None;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn fan_out(
    inner: Arc<Mutex<Inner>>,
    fifo: pipe::Receiver,
    path: PathBuf,
    output: Output,
    mut gate: watch::Receiver<bool>,
    mut end: watch::Receiver<bool>,
) {
    tokio::select! {
        biased;
        // The sender lives as long as the streams.
        _ = gate.wait_for(|open| *open) => {}
        _ = end.wait_for(|end| *end) => return,
    }
    let pass_on = |chunk: Bytes| {
        let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.subscribers.retain(|subscriber| {
            subscriber.behind.fetch_add(chunk.len(), Ordering::Relaxed);
            subscriber.sender.send((output, chunk.clone())).is_ok()
        });
    };
    loop {
        tokio::select! {
            () = room(&inner) => {}
            _ = end.wait_for(|end| *end) => break,
        }
        let mut buffer = BytesMut::with_capacity(64 << 10);
        match fifo.try_read_buf(&mut buffer) {
            Ok(0) => return,
            Ok(_) => pass_on(buffer.freeze()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => tokio::select! {
                ready = fifo.readable() => if ready.is_err() { return },
                _ = end.wait_for(|end| *end) => break,
            },
            Err(error) => return tracing::warn!(%error, "an output fifo can't be read"),
        }
    }
    // What is left: to the end that the shim gives it, which our own write end would hide.
    let Ok(rest) = open_reader(&path) else { return };
    drop(fifo);
    let mut buffer = vec![0; 64 << 10];
    loop {
        // Asked of the kernel itself: tokio may not have heard of it yet.
        match rustix::io::read(&rest, &mut buffer) {
            Ok(0) => return,
            Ok(length) => pass_on(Bytes::copy_from_slice(&buffer[..length])),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                // Clears what tokio believes; an error shows in the next read.
                let _ = rest.try_read(&mut []);
                if tokio::time::timeout(SILENCE, rest.readable()).await.is_err() {
                    return tracing::warn!(fifo = %path.display(), "an output has no end");
                }
            }
            Err(error) => return tracing::warn!(%error, "an output fifo can't be read"),
        }
    }
}

/// Waits until nobody who is attached is too far behind.
async fn room(inner: &Mutex<Inner>) {
    loop {
        let notify = Arc::clone(&inner.lock().unwrap_or_else(PoisonError::into_inner).room);
        let mut told = std::pin::pin!(notify.notified());
        told.as_mut().enable();
        let crowded = {
            let inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            let late = |s: &Subscriber| s.behind.load(Ordering::Relaxed) > BACKLOG && !s.sender.is_closed();
            inner.subscribers.iter().any(late)
        };
        if !crowded {
            return;
        }
        told.await;
    }
}

/// Makes a fifo of mode 0600; one that is there is as good.
///
/// # Errors
/// The file system refuses, or something else is in the way.
pub fn make_fifo(path: &Path) -> std::io::Result<()> {
    match nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600)) {
        Err(nix::errno::Errno::EEXIST) => {
            use std::os::unix::fs::FileTypeExt as _;
            let is_fifo = std::fs::symlink_metadata(path)?.file_type().is_fifo();
            if is_fifo {
                Ok(())
            } else {
                Err(std::io::Error::other(format!("{} is no fifo", path.display())))
            }
        }
        result => result.map_err(Into::into),
    }
}

/// Opens a fifo for reading without waiting for a writer.
///
/// # Errors
/// The fifo can't be opened.
pub fn open_reader(path: &Path) -> std::io::Result<pipe::Receiver> {
    let file = std::fs::OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    pipe::Receiver::from_file(file)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[tokio::test]
    async fn everyone_attached_gets_all_output_then_the_end() {
        let dir = tempfile::tempdir().expect("temp dir");
        let streams = Streams::new(&dir.path().join("c"));
        let (mut a, mut b) = (streams.subscribe().expect("a"), streams.subscribe().expect("b"));
        let mut shim =
            std::fs::OpenOptions::new().write(true).open(streams.output_path(Output::Stdout)).expect("open");
        shim.write_all(b"hello").expect("write");
        drop(shim);
        streams.begin();
        streams.end().await;
        for subscription in [&mut a, &mut b] {
            assert_eq!(subscription.next().await, Some((Output::Stdout, Bytes::from_static(b"hello"))));
            assert_eq!(subscription.next().await, None);
        }
    }

    #[tokio::test]
    async fn what_a_failing_runtime_says_is_not_passed_on() {
        let dir = tempfile::tempdir().expect("temp dir");
        let streams = Streams::new(&dir.path().join("c"));
        let mut attached = streams.subscribe().expect("attach");
        let path = streams.output_path(Output::Stderr);
        let mut shim = std::fs::OpenOptions::new().write(true).open(path).expect("open");
        shim.write_all(b"runc create failed").expect("write");
        streams.end().await;
        assert_eq!(attached.next().await, None);
    }

    #[tokio::test]
    async fn input_written_before_anyone_reads_is_kept() {
        let dir = tempfile::tempdir().expect("temp dir");
        let streams = Streams::new(&dir.path().join("c"));
        streams.write(b"early").await.expect("write");
        let reader = open_reader(&streams.stdin_path()).expect("open");
        let mut buffer = [0; 16];
        reader.readable().await.expect("readable");
        assert_eq!(reader.try_read(&mut buffer).expect("read"), 5);
    }
}
