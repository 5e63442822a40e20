//! What a container has said: read from its log, without any daemon's help.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use logfile::{Entry, LogReader, ReadOptions, Stream, Timestamp};
use tokio::sync::{mpsc, oneshot};

use super::state::Status;
use super::streams::Output;
use super::{Container, Containers};
use crate::error::{Error, Kind, Result};

/// What a client wants of a log.
#[derive(Clone, Debug, Default)]
pub struct LogRequest {
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// None before, in nanoseconds since 1970.
    pub since: Option<i64>,
    /// None after.
    pub until: Option<i64>,
    /// Only the last so many.
    pub tail: Option<u64>,
    /// Go on until the run ends.
    pub follow: bool,
    /// The time in front of each entry.
    pub timestamps: bool,
    /// The attributes in front of each entry.
    pub details: bool,
}

/// Puts docker's eight-byte head in front of a piece of output.
pub fn frame(output: Output, payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(8 + payload.len());
    bytes.put_u8(match output {
        Output::Stdout => 1,
        Output::Stderr => 2,
    });
    bytes.put_bytes(0, 3);
    bytes.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    bytes.put_slice(payload);
    bytes.freeze()
}

impl Containers {
    /// Opens the log. Entries come with their stream, already decorated; the channel ends with the log, or
    /// when following with the run. Dropping the receiver ends the reading.
    ///
    /// # Errors
    /// 400 without a stream, 501 for a driver that can't be read.
    pub async fn logs(
        &self,
        container: &Arc<Container>,
        request: LogRequest,
    ) -> Result<mpsc::Receiver<(Output, Bytes)>> {
        if !request.stdout && !request.stderr {
            return Err(Error::invalid("Bad parameters: you must choose at least one stream"));
        }
        let record = container.record();
        if record.log_driver() == "none" {
            return Err(Error::new(
                Kind::NotImplemented,
                "configured logging driver does not support reading",
            ));
        }
        let (format, path) = self.log_place(&record);
        let options = ReadOptions {
            since: request.since.map(Timestamp::from_nanos),
            until: request.until.map(Timestamp::from_nanos),
            tail: request.tail,
        };
        let (sender, receiver) = mpsc::channel(64);
        let (control_sender, control) = oneshot::channel();
        let watched = sender.clone();
        let follow = request.follow;
        tokio::task::spawn_blocking(move || {
            let pass = |entry: logfile::Result<Entry>| match entry {
                Ok(entry) => render(&entry, &request).is_none_or(|piece| sender.blocking_send(piece).is_ok()),
                Err(error) => {
                    tracing::warn!(log = %path.display(), %error, "a log can't be read on");
                    false
                }
            };
            let mut reader = match LogReader::open(&path, format, options) {
                Ok(reader) => reader,
                Err(error) => return tracing::warn!(log = %path.display(), %error, "a log can't be opened"),
            };
            if !request.follow {
                reader.all(pass);
                return;
            }
            if !reader.by_ref().all(&pass) {
                return;
            }
            match reader.follow() {
                Ok(mut follow) => {
                    // The other side may be gone already.
                    let _ = control_sender.send(follow.control());
                    follow.all(pass);
                }
                Err(error) => tracing::warn!(log = %path.display(), %error, "a log can't be followed"),
            }
        });
        if follow {
            let mut pulse = container.watch();
            let exits = pulse.borrow_and_update().exits;
            tokio::spawn(async move {
                let Ok(control) = control.await else { return };
                let over = pulse.wait_for(|pulse| {
                    let lives = pulse.state.status.has_process() || pulse.state.status == Status::Created;
                    pulse.exits > exits || pulse.removed || !lives
                });
                let gone = tokio::select! {
                    _ = over => false,
                    () = watched.closed() => true,
                };
                if gone { control.cancel() } else { control.finish() }
            });
        }
        Ok(receiver)
    }
}

/// One entry as clients get it; none if its stream isn't wanted.
fn render(entry: &Entry, request: &LogRequest) -> Option<(Output, Bytes)> {
    let (output, wanted) = match entry.stream {
        Stream::Stdout => (Output::Stdout, request.stdout),
        Stream::Stderr => (Output::Stderr, request.stderr),
    };
    if !wanted {
        return None;
    }
    let mut bytes = BytesMut::with_capacity(entry.log.len() + 40);
    if request.timestamps {
        bytes.put_slice(entry.time.fixed().as_bytes());
        bytes.put_u8(b' ');
    }
    if request.details {
        let pairs: Vec<String> = entry.attrs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        bytes.put_slice(pairs.join(",").as_bytes());
        bytes.put_u8(b' ');
    }
    bytes.put_slice(&entry.log);
    Some((output, bytes.freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_stream_and_length_in_front() {
        assert_eq!(&frame(Output::Stderr, b"abc")[..], b"\x02\0\0\0\0\0\0\x03abc");
    }

    #[test]
    fn stamps_and_details_stand_before_the_text() {
        let attrs = [("a".to_owned(), "1".to_owned()), ("tag".to_owned(), "x".to_owned())].into();
        let entry = Entry {
            log: b"hi\n".to_vec(),
            stream: Stream::Stdout,
            time: Timestamp::from_nanos(500_000_000),
            attrs,
        };
        let request = LogRequest { stdout: true, timestamps: true, details: true, ..LogRequest::default() };
        let (_, text) = render(&entry, &request).expect("wanted");
        assert_eq!(&text[..], b"1970-01-01T00:00:00.500000000Z a=1,tag=x hi\n");
        let errors_only = LogRequest { stderr: true, ..LogRequest::default() };
        assert_eq!(render(&entry, &errors_only), None);
    }
}
