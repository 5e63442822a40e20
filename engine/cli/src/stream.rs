//! Attached sessions: raw with a terminal, else frames that tell output from errors.

mod escape;

use std::io::Write;

use anyhow::{Context, bail};
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

pub(crate) use escape::parse as parse_detach_keys;
use escape::{Escape, Step};

type Io = TokioIo<Upgraded>;

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The other side has nothing more.
    Output,
    /// The detach keys were typed.
    Detached,
}

/// Carries bytes both ways until the output ends. Without `stdin` our side is closed at once.
///
/// Detach keys count where a terminal's input is attached.
pub(crate) async fn carry(io: Io, tty: bool, stdin: bool, detach: &[u8]) -> anyhow::Result<End> {
    let (mut from, mut to) = tokio::io::split(io);
    if !stdin {
        let _ = to.shutdown().await;
        output(&mut from, tty).await?;
        return Ok(End::Output);
    }
    let keys = if tty { detach.to_vec() } else { Vec::new() };
    let mut typing = tokio::spawn(input(to, keys));
    let mut input_ended = false;
    let reading = output(&mut from, tty);
    tokio::pin!(reading);
    loop {
        tokio::select! {
            done = &mut reading => {
                done?;
                return Ok(End::Output);
            }
            end = &mut typing, if !input_ended => {
                if matches!(end, Ok(true)) {
                    return Ok(End::Detached);
                }
                input_ended = true;
            }
        }
    }
}

/// Standard input to the other side; true if the detach keys ended it.
async fn input(mut to: WriteHalf<Io>, keys: Vec<u8>) -> bool {
    let (mut stdin, mut escape) = (tokio::io::stdin(), Escape::new(keys));
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match stdin.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(n) => match escape.feed(&buffer[..n]) {
                Step::Pass(bytes) => {
                    if to.write_all(&bytes).await.is_err() || to.flush().await.is_err() {
                        return false;
                    }
                }
                Step::Detach(bytes) => {
                    let _ = to.write_all(&bytes).await;
                    return true;
                }
            },
        }
    }
    let _ = to.shutdown().await;
    false
}

async fn output(from: &mut ReadHalf<Io>, tty: bool) -> anyhow::Result<()> {
    let mut sink = Sink::new(tty);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) => return Ok(()),
            Ok(n) => sink.take(&buffer[..n])?,
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            Err(e) => return Err(e).context("read from the daemon"),
        }
    }
}

/// A body (of logs) to standard output and error.
pub(crate) async fn show(mut body: Incoming, tty: bool) -> anyhow::Result<()> {
    let mut sink = Sink::new(tty);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.context("read from the daemon")?.into_data() {
            sink.take(&data)?;
        }
    }
    Ok(())
}

/// Takes a stream apart and writes it out.
struct Sink {
    raw: bool,
    pending: BytesMut,
}

impl Sink {
    fn new(raw: bool) -> Self {
        Self { raw, pending: BytesMut::new() }
    }

    fn take(&mut self, data: &[u8]) -> anyhow::Result<()> {
        if self.raw {
            return write(std::io::stdout().lock(), data);
        }
        self.pending.extend_from_slice(data);
        while let Some((stream, payload)) = next_frame(&mut self.pending)? {
            match stream {
                2 => write(std::io::stderr().lock(), &payload)?,
                3 => bail!("error from daemon in stream: {}", String::from_utf8_lossy(&payload)),
                _ => write(std::io::stdout().lock(), &payload)?,
            }
        }
        Ok(())
    }
}

fn write(mut to: impl Write, data: &[u8]) -> anyhow::Result<()> {
    to.write_all(data)?;
    to.flush()?;
    Ok(())
}

/// A whole frame: stream number, three zeros, length (big-endian), payload.
fn next_frame(pending: &mut BytesMut) -> anyhow::Result<Option<(u8, Bytes)>> {
    let Some(head) = pending.get(..8) else { return Ok(None) };
    if head[0] > 3 {
        bail!("Unrecognized input header: {}", head[0]);
    }
    let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
    if pending.len() < 8 + length {
        return Ok(None);
    }
    let stream = head[0];
    pending.advance(8);
    Ok(Some((stream, pending.split_to(length).freeze())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let bytes = [1, 0, 0, 0, 0, 0, 0, 2, b'h', b'i', 2, 0, 0, 0, 0, 0, 0, 0];
        let (mut pending, mut seen) = (BytesMut::new(), Vec::new());
        for byte in bytes {
            pending.extend_from_slice(&[byte]);
            while let Some((stream, payload)) = next_frame(&mut pending).unwrap() {
                seen.push((stream, payload.to_vec()));
            }
        }
        assert_eq!(seen, [(1, b"hi".to_vec()), (2, vec![])]);
    }

    #[test]
    fn rubbish_is_not_taken_for_a_frame() {
        assert!(next_frame(&mut BytesMut::from(&b"HTTP/1.1 500"[..])).is_err());
    }
}
