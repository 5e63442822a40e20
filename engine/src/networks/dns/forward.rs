//! Handing a query on, bytes as they came, and its answer back.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::networks::{error::Step as _, netns};

const PATIENCE: Duration = Duration::from_secs(4);

/// Asks the servers in turn, from inside `netns` or from the host. `None` when nobody answers.
pub(super) async fn ask(
    servers: Vec<SocketAddr>,
    netns: Option<PathBuf>,
    query: Vec<u8>,
    tcp: bool,
) -> Option<Vec<u8>> {
    let work = move || {
        servers.into_iter().find_map(|server| {
            let answer = if tcp { over_tcp(server, &query) } else { over_udp(server, &query) };
            answer.inspect_err(|error| tracing::debug!(%server, %error, "DNS server does not answer")).ok()
        })
    };
    let asked = tokio::task::spawn_blocking(move || match netns {
        Some(path) => netns::inside(&path, move || Ok(work())),
        None => Ok(work()),
    });
    asked.await.step("forward", "DNS query").and_then(|answer| answer).unwrap_or_default()
}

fn over_udp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.send(query)?;
    let end = Instant::now() + PATIENCE;
    let mut buffer = vec![0; 65535];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut buffer)?;
        // Only the answer to this very message.
        if length >= 12 && buffer[..2] == query[..2] {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

fn over_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}
