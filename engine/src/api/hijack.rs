//! Connections taken over: after the head they carry raw bytes in both directions.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use http::{HeaderValue, StatusCode, Version as HttpVersion, header};
use hyper::ext::ReasonPhrase;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::version::Version;
use crate::containers::logs::frame;
use crate::containers::streams::Output;

/// The client's side of a connection that was taken over.
pub(crate) struct Client {
    /// What the client sends; its end is the end of input.
    pub(crate) input: Box<dyn AsyncRead + Send + Unpin>,
    /// What the client gets.
    pub(crate) output: Box<dyn AsyncWrite + Send + Unpin>,
}

/// Answers with the head clients expect and hands the connection to `serve` once it is theirs. `terminal`
/// streams have no frames.
pub(crate) fn take_over<F>(
    mut request: Request,
    version: Version,
    terminal: bool,
    serve: impl FnOnce(Client) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let multiplexed = version >= Version(42) && !terminal;
    let kind = if multiplexed {
        "application/vnd.docker.multiplexed-stream"
    } else {
        "application/vnd.docker.raw-stream"
    };
    let wants_upgrade = request.headers().contains_key(header::UPGRADE);
    if !wants_upgrade {
        return without_upgrade(request, serve);
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let (input, output) = tokio::io::split(TokioIo::new(upgraded));
                serve(Client { input: Box::new(input), output: Box::new(output) }).await;
            }
            Err(error) => tracing::debug!(%error, "a client went away before its connection was taken over"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.extensions_mut().insert(ReasonPhrase::from_static(b"UPGRADED"));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("tcp"));
    response
}

/// Clients from before upgrades: the answer's body is the output, ended by the connection's end; input is
/// the request's body.
fn without_upgrade<F>(request: Request, serve: impl FnOnce(Client) -> F + Send + 'static) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let input = request.into_body().into_data_stream().map(|chunk| chunk.map_err(std::io::Error::other));
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    tokio::spawn(serve(Client {
        input: Box::new(tokio_util::io::StreamReader::new(input)),
        output: Box::new(ours),
    }));
    let mut response = Response::new(Body::from_stream(tokio_util::io::ReaderStream::new(theirs)));
    // Neither a length nor chunks: only HTTP/1.0 has bodies like that.
    *response.version_mut() = HttpVersion::HTTP_10;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/vnd.docker.raw-stream"));
    response
}

/// Writes output until its end; then the client sees the end too.
///
/// # Errors
/// The client went away.
pub(crate) async fn write_output(
    output: &mut (dyn AsyncWrite + Send + Unpin),
    stream: impl Stream<Item = (Output, Bytes)> + Send,
    frames: bool,
) -> std::io::Result<()> {
    let mut stream = std::pin::pin!(stream);
    while let Some((kind, bytes)) = stream.next().await {
        let bytes = if frames { frame(kind, &bytes) } else { bytes };
        output.write_all(&bytes).await?;
        output.flush().await?;
    }
    Ok(())
}

/// Why a client's input ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputEnd {
    /// The client has sent all, or went away.
    Closed,
    /// The detach keys were pressed.
    Detached,
}

/// Reads input into a channel, looking for the detach keys where there are some.
pub(crate) async fn read_input(
    mut input: Box<dyn AsyncRead + Send + Unpin>,
    sender: mpsc::Sender<Bytes>,
    keys: &[u8],
) -> InputEnd {
    let mut matched = 0;
    loop {
        let mut buffer = BytesMut::with_capacity(32 << 10);
        match input.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return InputEnd::Closed,
            Ok(_) => {}
        }
        let (passed, detached) = scan(&buffer, keys, &mut matched);
        if !passed.is_empty() && sender.send(passed).await.is_err() {
            return InputEnd::Closed;
        }
        if detached {
            return InputEnd::Detached;
        }
    }
}

/// Splits off the detach keys: what goes on to the process, and whether all keys came. A beginning of the
/// keys is held back until it is clear whether the rest follows.
fn scan(bytes: &[u8], keys: &[u8], matched: &mut usize) -> (Bytes, bool) {
    if keys.is_empty() {
        return (Bytes::copy_from_slice(bytes), false);
    }
    let mut passed = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if *byte == keys[*matched] {
            *matched += 1;
            if *matched == keys.len() {
                *matched = 0;
                return (passed.into(), true);
            }
            continue;
        }
        passed.extend_from_slice(&keys[..*matched]);
        *matched = usize::from(*byte == keys[0]);
        if *matched == 0 {
            passed.push(*byte);
        }
    }
    (passed.into(), false)
}

/// Reads `ctrl-p,ctrl-q`; none for something else.
pub(crate) fn parse_keys(text: &str) -> Option<Vec<u8>> {
    let key = |word: &str| match (word.len(), word.strip_prefix("ctrl-")) {
        (1, _) => word.bytes().next(),
        (_, Some(letter)) if letter.len() == 1 => match letter.bytes().next()? {
            letter @ b'a'..=b'z' => Some(letter - b'a' + 1),
            b'@' => Some(0),
            b'[' => Some(27),
            b'\\' => Some(28),
            b']' => Some(29),
            b'^' => Some(30),
            b'_' => Some(31),
            _ => None,
        },
        (_, Some("DEL")) => Some(127),
        _ => None,
    };
    text.split(',').map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detach_keys_are_read_and_rubbish_is_not() {
        assert_eq!(parse_keys("ctrl-p,ctrl-q"), Some(vec![16, 17]));
        assert_eq!(parse_keys("a,ctrl-["), Some(vec![b'a', 27]));
        assert_eq!(parse_keys("bogus"), None);
    }

    #[test]
    fn half_of_the_keys_is_held_back_and_passed_on_when_the_rest_does_not_come() {
        let mut matched = 0;
        assert_eq!(scan(b"ab\x10", &[16, 17], &mut matched), (Bytes::from_static(b"ab"), false));
        assert_eq!(scan(b"c", &[16, 17], &mut matched), (Bytes::from_static(b"\x10c"), false));
        assert_eq!(scan(b"x\x10\x11y", &[16, 17], &mut matched), (Bytes::from_static(b"x"), true));
    }
}
