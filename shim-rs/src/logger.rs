//! Logger mode: a container's output from another shim's `binary://`, into our log files.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use logfile::{BinaryLogger, LogWriter, Stream};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::descriptors;
use crate::poller::{Interest, Poller, Token};
use crate::stdio::pump::Pumps;
use crate::stdio::sink::{Sink, Tee};

/// Logs until both outputs have ended, or until Go's shim, which deletes the task, says so with SIGTERM: what the
/// container has written is in the pipes by then and is taken first.
pub(crate) fn run(logger: &BinaryLogger) -> anyhow::Result<()> {
    let outputs = [
        (descriptors::LOGGER_STDOUT, Stream::Stdout, logger.log.tee.clone()),
        (descriptors::LOGGER_STDERR, Stream::Stderr, logger.tee_stderr.clone()),
    ];
    let mut sources = Vec::new();
    for (number, stream, tee) in outputs {
        let source = descriptors::take(number).with_context(|| format!("take descriptor {number}"))?;
        sources.push((source, stream, tee));
    }
    let ready = descriptors::take(descriptors::LOGGER_READY).context("take the ready pipe")?;
    // Before "ready" is said: nobody signals earlier.
    let farewell = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    farewell.thread_block().context("block signals")?;
    let farewell = SignalFd::with_flags(&farewell, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .context("open a signalfd")?;
    let writer = LogWriter::open(&logger.log).context("open the log")?;
    let writer = Rc::new(RefCell::new(writer));
    let poller = Poller::new()?;
    poller.add(&farewell, Token::Signals, Interest::Read)?;
    let mut pumps = Pumps::default();
    let owner = (String::new(), String::new());
    for (source, stream, tee) in sources {
        let flags = OFlag::from_bits_retain(fcntl(&source, FcntlArg::F_GETFL)?);
        fcntl(&source, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        let tee = tee.map(|path| Tee::new(path, logger.log.tee_mark, logger.log.tee_wait));
        let sink = Sink::Log { writer: Rc::clone(&writer), stream, tee };
        pumps.add_output(&owner, File::from(source), sink);
    }
    pumps.begin(&owner, &poller);
    // One byte, then the end: what every version of the protocol takes for "ready".
    drop(File::from(ready).write_all(b"\n"));
    let mut busy = false;
    while !pumps.is_empty() {
        let due = pumps.due().map(|at| at.saturating_duration_since(Instant::now()));
        for ready in poller.wait(if busy { Some(Duration::ZERO) } else { due })? {
            match ready.token {
                Token::PumpSource(id) => pumps.source_ready(id, &poller),
                Token::PumpSink(id) => pumps.sink_ready(id, &poller),
                Token::Signals => {
                    while let Ok(Some(_)) = farewell.read_signal() {}
                    pumps.drain(&owner, &poller);
                    pumps.release(&owner, &poller);
                }
                _ => {}
            }
        }
        pumps.tick(&poller);
        busy = pumps.work();
    }
    Ok(())
}
