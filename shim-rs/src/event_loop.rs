//! The shim itself: everything it knows, and the loop that everything happens in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use prost::{Message, Name};

use crate::args::Args;
use crate::container::Container;
use crate::descriptors;
use crate::exit_record::Exit;
use crate::failure::Failure;
use crate::poller::{Interest, Poller, Token};
use crate::publisher::Publisher;
use crate::runtime::{LogPosition, Runtime};
use crate::server::{ReplyTo, Server};
use crate::spawn::{Extras, spawn};
use crate::stdio::pump::Pumps;
use crate::{oom, reaper, task};

/// How long the last events and answers may take to leave after Shutdown.
const FAREWELL: Duration = Duration::from_secs(5);

/// What happens when a runtime call has ended.
type Then = Box<dyn FnOnce(&mut Shim, Result<(), String>)>;

/// A runtime at work.
pub(crate) struct Call {
    runtime: Runtime,
    since: LogPosition,
    then: Then,
}

impl Call {
    /// Goes on with what the call was made for.
    pub(crate) fn finish(self, shim: &mut Shim, exit: Exit) {
        let result = match exit.status {
            0 => Ok(()),
            status => Err(self.runtime.error_text(self.since, &format!("exit status {status}"))),
        };
        (self.then)(shim, result);
    }
}

/// Things to be done later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Execs of this container should be gone.
    InitExit(String),
    /// The shim ends, whatever is left.
    Stop,
}

pub(crate) struct Shim {
    pub(crate) namespace: String,
    socket: Option<PathBuf>,
    /// Directory for sockets that only we may enter.
    pub(crate) socket_dir: PathBuf,
    pub(crate) poller: Poller,
    server: Server,
    publisher: Publisher,
    pub(crate) containers: BTreeMap<String, Container>,
    /// Ids of containers that the runtime is making.
    pub(crate) creating: BTreeSet<String>,
    /// Runtime calls by pid.
    pub(crate) calls: BTreeMap<i32, Call>,
    /// Ends of processes we don't know (yet), while there are calls that may tell.
    pub(crate) strangers: BTreeMap<i32, Exit>,
    pub(crate) pumps: Pumps,
    timers: Vec<(Instant, Timer)>,
    next_number: u32,
    stopping: bool,
}

/// Serves until the daemon has no more use for us.
pub(crate) fn serve(args: &Args) -> anyhow::Result<()> {
    let listener = descriptors::take(descriptors::LISTENER).context("take the listening socket")?;
    adopt_log();
    nix::sys::prctl::set_child_subreaper(true).context("become a subreaper")?;
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block().context("block signals")?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    let signals = SignalFd::with_flags(&signals, flags).context("open a signalfd")?;
    let poller = Poller::new().context("open an epoll")?;
    poller.add(&signals, Token::Signals, Interest::Read)?;
    let server = Server::new(UnixListener::from(listener), &poller).context("listen")?;
    let events = std::env::var_os("TTRPC_ADDRESS").filter(|a| !a.is_empty()).map(PathBuf::from);
    let socket = args.address.strip_prefix("unix://").map(PathBuf::from);
    let socket_dir = socket.as_ref().and_then(|path| path.parent().map(Into::into));
    let cwd = std::env::current_dir().context("find the bundle")?;
    let mut journal = cwd.into_os_string();
    journal.push("/events");
    let mut shim = Shim {
        namespace: args.namespace.clone(),
        socket_dir: socket_dir.unwrap_or_else(|| PathBuf::from("/run/containerd/s")),
        socket,
        poller,
        server,
        publisher: Publisher::new(events, args.namespace.clone(), journal.as_ref()),
        containers: BTreeMap::new(),
        creating: BTreeSet::new(),
        calls: BTreeMap::new(),
        strangers: BTreeMap::new(),
        pumps: Pumps::default(),
        timers: Vec::new(),
        next_number: 0,
        stopping: false,
    };
    shim.run(&signals)
}

/// Sends what we have to say to the daemon's log, as long as somebody reads that.
fn adopt_log() {
    if let Ok(log) = crate::stdio::fifo::open_writer_if_read("log".as_ref()) {
        let _ = nix::unistd::dup2_stderr(log);
    }
}

impl Shim {
    fn run(&mut self, signals: &SignalFd) -> anyhow::Result<()> {
        let mut busy = false;
        loop {
            if self.stopping && self.publisher.is_idle() && self.server.is_flushed() && self.pumps.is_empty()
            {
                return Ok(());
            }
            let timeout = if busy { Some(Duration::ZERO) } else { self.next_timeout() };
            for ready in self.poller.wait(timeout).context("wait for events")? {
                match ready.token {
                    Token::Signals => {
                        while let Ok(Some(_)) = signals.read_signal() {}
                        reaper::reap(self);
                    }
                    Token::Listener => {
                        self.server.accept(&self.poller);
                        self.publisher.nudge(&self.poller);
                    }
                    Token::Connection(id) => {
                        if ready.writable {
                            self.server.flush(id, &self.poller);
                        }
                        if ready.readable {
                            for (to, request) in self.server.read(id, &self.poller) {
                                task::dispatch(self, to, request);
                            }
                        }
                    }
                    Token::Publisher => self.publisher.ready(&self.poller),
                    Token::PumpSource(id) => self.pumps.source_ready(id, &self.poller),
                    Token::PumpSink(id) => self.pumps.sink_ready(id, &self.poller),
                    Token::Oom(number) => oom::ready(self, number),
                }
            }
            self.publisher.tick(&self.poller);
            self.pumps.tick(&self.poller);
            busy = self.pumps.work();
            if self.run_timers() {
                return Ok(());
            }
        }
    }

    fn next_timeout(&self) -> Option<Duration> {
        let own = self.timers.iter().map(|(at, _)| *at);
        let due = own.chain(self.publisher.due()).chain(self.pumps.due()).min()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// Does what is due; says whether the shim has to end.
    fn run_timers(&mut self) -> bool {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.timers).into_iter().partition(|(at, _)| *at <= now);
        self.timers = later;
        let due: Vec<(Instant, Timer)> = due;
        for (_, timer) in due {
            match timer {
                Timer::InitExit(id) => reaper::init_deadline(self, &id),
                Timer::Stop => return true,
            }
        }
        false
    }

    pub(crate) fn timer(&mut self, after: Duration, timer: Timer) {
        self.timers.push((Instant::now() + after, timer));
    }

    /// A number that hasn't been used before.
    pub(crate) fn number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number
    }

    pub(crate) fn reply(&mut self, to: ReplyTo, answer: Result<Vec<u8>, Failure>) {
        self.server.reply(to, answer, &self.poller);
    }

    pub(crate) fn publish<M: Message + Name>(&mut self, topic: &str, event: &M) {
        self.publisher.publish(topic, event, &self.poller);
    }

    /// The container of that id.
    pub(crate) fn container(&mut self, id: &str) -> Result<&mut Container, Failure> {
        self.containers.get_mut(id).ok_or_else(|| Failure::not_found("container not created"))
    }

    /// Starts a runtime call; `then` is called when it has ended, with the reason if it failed.
    ///
    /// # Errors
    /// The runtime can't be executed; `then` is not called.
    pub(crate) fn call(
        &mut self,
        runtime: &Runtime,
        mut command: Command,
        then: impl FnOnce(&mut Shim, Result<(), String>) + 'static,
    ) -> Result<(), String> {
        let since = runtime.log_position();
        let pid = spawn(&mut command, Extras::default()).map_err(|error| runtime.missing_text(&error))?;
        self.calls.insert(pid, Call { runtime: runtime.clone(), since, then: Box::new(then) });
        Ok(())
    }

    /// Begins to end: nobody new is let in; what is under way is given a moment.
    pub(crate) fn stop(&mut self) {
        if !std::mem::replace(&mut self.stopping, true) {
            self.server.stop_listening(&self.poller);
            if let Some(socket) = self.socket.take() {
                drop(fs::remove_file(socket));
            }
            self.timer(FAREWELL, Timer::Stop);
        }
    }
}
