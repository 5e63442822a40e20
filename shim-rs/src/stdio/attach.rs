//! From the daemon's stdio strings to descriptors for a process and pumps for us.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as ProcessStdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use logfile::{LogUri, LogWriter, Stream};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Gid, Uid, pipe2};

use crate::failure::Failure;
use crate::poller::Poller;
use crate::spawn::{Extras, spawn};

use super::Stdio;
use super::fifo;
use super::pump::{Owner, Pumps};
use super::sink::{Pipe, Sink, Tee};

/// How long a `binary://` logger may take to say that it is ready.
const LOGGER_PATIENCE: Duration = Duration::from_secs(10);

/// What a process gets as 0, 1 and 2; `None` is /dev/null.
#[derive(Default)]
pub(crate) struct ChildStdio {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

impl ChildStdio {
    /// Gives them to a command.
    pub(crate) fn apply(self, command: &mut Command) {
        let stdio = |fd: Option<OwnedFd>| fd.map_or_else(ProcessStdio::null, ProcessStdio::from);
        command.stdin(stdio(self.stdin)).stdout(stdio(self.stdout)).stderr(stdio(self.stderr));
    }
}

/// Both ends opened, nothing moving yet: if the runtime fails, dropping it is all the undoing there is.
pub(crate) struct Opened {
    /// Read and kept end of the client's fifo.
    stdin: Option<(File, File)>,
    stdout: Option<Output>,
    stderr: Option<Output>,
}

enum Output {
    Sink(Sink),
    /// The write end of a logger's pipe.
    Logger(OwnedFd),
}

/// Opens everything that `stdio` names.
pub(crate) fn open(stdio: &Stdio, owner: &Owner, namespace: &str) -> Result<Opened, Failure> {
    let mut opened = Opened { stdin: None, stdout: None, stderr: None };
    if !stdio.stdin.is_empty() {
        let path = stdio.stdin.strip_prefix("fifo://").unwrap_or(&stdio.stdin);
        let ends = fifo::open_reader(Path::new(path)).map_err(|e| Failure::io("open stdin", path, e))?;
        opened.stdin = Some(ends);
    }
    let stderr = if stdio.terminal { "" } else { &stdio.stderr };
    if stdio.stdout.starts_with("binary://") && !stdio.terminal {
        let (stdout, stderr) = start_logger(&stdio.stdout, owner, namespace)?;
        (opened.stdout, opened.stderr) = (Some(Output::Logger(stdout)), Some(Output::Logger(stderr)));
        return Ok(opened);
    }
    let mut logs: Vec<(PathBuf, Rc<RefCell<LogWriter>>)> = Vec::new();
    opened.stdout = open_output(&stdio.stdout, Stream::Stdout, &mut logs)?.map(Output::Sink);
    opened.stderr = open_output(stderr, Stream::Stderr, &mut logs)?.map(Output::Sink);
    Ok(opened)
}

fn open_output(
    uri: &str,
    stream: Stream,
    logs: &mut Vec<(PathBuf, Rc<RefCell<LogWriter>>)>,
) -> Result<Option<Sink>, Failure> {
    let step = format!("open {}", stream.name());
    if uri.is_empty() {
        return Ok(None);
    }
    if logfile::is_log_uri(uri) {
        let log: LogUri = uri.parse().map_err(Failure::invalid)?;
        let known = logs.iter().find(|(path, _)| *path == log.path).map(|(_, writer)| Rc::clone(writer));
        let writer = match known {
            Some(writer) => writer,
            None => {
                let writer = LogWriter::open(&log).map_err(|error| {
                    let cause =
                        std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    Failure::io(&step, &error, cause)
                })?;
                let writer = Rc::new(RefCell::new(writer));
                logs.push((log.path.clone(), Rc::clone(&writer)));
                writer
            }
        };
        let tee = log.tee.map(|path| Tee::new(path, log.tee_mark, log.tee_wait));
        return Ok(Some(Sink::Log { writer, stream, tee }));
    }
    if let Some(path) = uri.strip_prefix("file://") {
        let path = Path::new(path);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(|e| Failure::io(&step, dir.display(), e))?;
        }
        let file = File::options().append(true).create(true).mode(0o644).open(path);
        return Ok(Some(Sink::File(file.map_err(|e| Failure::io(&step, path.display(), e))?)));
    }
    let path = match uri.split_once("://") {
        Some(("fifo", path)) => path,
        Some((scheme, _)) => return Err(Failure::invalid(format!("unknown STDIO scheme {scheme}"))),
        None => uri,
    };
    let file = fifo::open_writer(Path::new(path)).map_err(|e| Failure::io(&step, path, e))?;
    Ok(Some(Sink::Pipe(Pipe::new(file, true))))
}

impl Opened {
    /// Makes pipes between the process and the sinks. Output waits for [`Pumps::begin`].
    pub(crate) fn connect_pipes(
        self,
        owner: &Owner,
        ids: (u32, u32),
        pumps: &mut Pumps,
        poller: &Poller,
    ) -> Result<ChildStdio, Failure> {
        let mut child = ChildStdio::default();
        if let Some((source, keep)) = self.stdin {
            let (read, write) = make_pipe(ids)?;
            unblock(&write)?;
            child.stdin = Some(read);
            pumps.add_input(owner, source, keep, Sink::Pipe(Pipe::new(File::from(write), false)), poller);
        }
        let mut connect = |output: Option<Output>| -> Result<Option<OwnedFd>, Failure> {
            match output {
                None => Ok(None),
                Some(Output::Logger(fd)) => Ok(Some(fd)),
                Some(Output::Sink(sink)) => {
                    let (read, write) = make_pipe(ids)?;
                    unblock(&read)?;
                    pumps.add_output(owner, File::from(read), sink);
                    Ok(Some(write))
                }
            }
        };
        child.stdout = connect(self.stdout)?;
        child.stderr = connect(self.stderr)?;
        Ok(child)
    }

    /// Starts the pumps between a terminal's master and the sinks.
    pub(crate) fn connect_console(
        self,
        master: &File,
        owner: &Owner,
        pumps: &mut Pumps,
        poller: &Poller,
    ) -> io::Result<()> {
        if let Some((source, keep)) = self.stdin {
            let sink = Sink::Pipe(Pipe::new(master.try_clone()?, false));
            pumps.add_input(owner, source, keep, sink, poller);
        }
        // Without a taker the output is read all the same, or the container would stand still.
        let sink = match self.stdout {
            Some(Output::Sink(sink)) => sink,
            _ => Sink::File(File::options().write(true).open("/dev/null")?),
        };
        pumps.add_terminal(owner, master.try_clone()?, sink, poller);
        Ok(())
    }
}

fn make_pipe(ids: (u32, u32)) -> Result<(OwnedFd, OwnedFd), Failure> {
    let fail = |errno: nix::Error| Failure::io("make", "a pipe", errno);
    let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(fail)?;
    if ids != (0, 0) {
        // A process that isn't root may want to open /dev/stdout again.
        for end in [&read, &write] {
            nix::unistd::fchown(end, Some(Uid::from_raw(ids.0)), Some(Gid::from_raw(ids.1))).map_err(fail)?;
        }
    }
    Ok((read, write))
}

fn unblock(fd: &OwnedFd) -> Result<(), Failure> {
    let set = fcntl(fd, FcntlArg::F_GETFL)
        .map(OFlag::from_bits_retain)
        .and_then(|flags| fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)));
    set.map(drop).map_err(|errno| Failure::io("make non-blocking", "a pipe", errno))
}

/// Starts a logger and waits until it is ready. Returns the write ends of its two pipes.
fn start_logger(uri: &str, owner: &Owner, namespace: &str) -> Result<(OwnedFd, OwnedFd), Failure> {
    let rest = uri.strip_prefix("binary://").unwrap_or(uri);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (stdout_read, stdout) = make_pipe((0, 0))?;
    let (stderr_read, stderr) = make_pipe((0, 0))?;
    let (ready, ready_write) = make_pipe((0, 0))?;
    let mut command = Command::new(logfile::percent_decode(path));
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        command.arg(logfile::percent_decode(key)).arg(logfile::percent_decode(value));
    }
    let id = if owner.1.is_empty() { &owner.0 } else { &owner.1 };
    command.env("CONTAINER_ID", id).env("CONTAINER_NAMESPACE", namespace);
    command.stdin(ProcessStdio::null()).stdout(ProcessStdio::null()).stderr(ProcessStdio::null());
    let pass = vec![(stdout_read.as_fd(), 3), (stderr_read.as_fd(), 4), (ready_write.as_fd(), 5)];
    spawn(&mut command, Extras { pass, session: true })
        .map_err(|e| Failure::io("failed to start binary logger", path, e))?;
    drop(ready_write);
    wait_ready(ready).map_err(|e| Failure::io("wait for binary logger", path, e))?;
    Ok((stdout, stderr))
}

fn wait_ready(ready: OwnedFd) -> io::Result<()> {
    let deadline = Instant::now() + LOGGER_PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(ready.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => break,
            Err(nix::Error::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    File::from(ready).read(&mut [0u8]).map(drop)
}
