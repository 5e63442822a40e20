//! A process's input and output: what the daemon's strings ask for, made into descriptors and pumps.
//!
//! A pump ([`pump`]) moves bytes from one descriptor to a sink ([`sink`]). Each output has one; so has stdin.
//! - fifo: the client's. While nobody has it open for reading, the newest 256 KiB are kept and the container
//!   goes on; a client that opens it again gets what is in the pipe, then those. A reader that is merely slow
//!   makes the container wait, as any pipe would.
//! - `file://`: appended to. `binary://`: a logger that gets the pipe's other end.
//! - `json-file://`, `local://`, `cri://` ([`logfile`]): written and rotated here. stdout and stderr may name
//!   the same path. The tee gets a copy while somebody reads it; a reader that falls 256 KiB behind is cut off
//!   (end of file) and finds the rest in the log.

pub(crate) mod attach;
pub(crate) mod console;
pub(crate) mod fifo;
pub(crate) mod pump;
pub(crate) mod sink;

/// The daemon's strings for one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stdio {
    pub(crate) terminal: bool,
    pub(crate) stdin: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}
