//! Published ports on IPv6 addresses. Containers have IPv4 addresses alone, so no rule can lead packets there: the
//! daemon carries the bytes itself. Unlike rules that ends with the daemon, and comes back with it.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use socket2::Socket;
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    runtime::Handle,
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

use super::record::{Protocol, Published};

/// Connections that may wait to be taken.
const BACKLOG: i32 = 128;
/// A datagram's sender is forgotten when no answer has come for so long.
const SILENCE: Duration = Duration::from_secs(90);
/// Senders of datagrams that are remembered at once.
const SENDERS: usize = 1024;

pub(super) struct Proxy {
    runtime: Handle,
    tasks: Mutex<HashMap<(Protocol, SocketAddr), JoinHandle<()>>>,
}

impl Proxy {
    pub(super) fn new(runtime: Handle) -> Self {
        Proxy { runtime, tasks: Mutex::default() }
    }

    /// Carries what comes to the bound `socket` of a port to the container at `to`.
    pub(super) fn serve(&self, port: &Published, socket: Socket, to: Ipv4Addr) -> io::Result<()> {
        let to = SocketAddr::new(to.into(), port.container_port);
        socket.set_nonblocking(true)?;
        let _runtime = self.runtime.enter();
        let task = match port.protocol {
            Protocol::Tcp => {
                socket.listen(BACKLOG)?;
                self.runtime.spawn(carry_connections(TcpListener::from_std(socket.into())?, to))
            }
            Protocol::Udp => {
                self.runtime.spawn(carry_datagrams(Arc::new(UdpSocket::from_std(socket.into())?), to))
            }
            Protocol::Sctp => return Ok(()),
        };
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).insert(key(port), task);
        Ok(())
    }

    /// Stops; what is under way ends too. The port is free when this returns. Blocks.
    pub(super) fn stop(&self, port: &Published) {
        let task = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(port));
        if let Some(task) = task {
            task.abort();
            // It ends as aborted; its listener goes with it.
            let _ = self.runtime.block_on(task);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for task in self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner).values() {
            task.abort();
        }
    }
}

fn key(port: &Published) -> (Protocol, SocketAddr) {
    (port.protocol, SocketAddr::new(port.host_ip, port.host_port))
}

async fn carry_connections(listener: TcpListener, to: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((mut from, _)) = listener.accept().await else {
            // No descriptor left, for one: it may pass.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            // Whoever breaks the connection, both sides see its end.
            if let Ok(mut to) = TcpStream::connect(to).await {
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            }
        });
    }
}

async fn carry_datagrams(socket: Arc<UdpSocket>, to: SocketAddr) {
    let mut answering = JoinSet::new();
    let mut senders: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let mut buffer = vec![0; 65535];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        while answering.try_join_next().is_some() {}
        senders.retain(|_, sender| !sender.is_closed());
        if senders.len() >= SENDERS && !senders.contains_key(&from) {
            continue;
        }
        let sender = senders.entry(from).or_insert_with(|| {
            let (sender, datagrams) = mpsc::channel(64);
            answering.spawn(converse(Arc::downgrade(&socket), from, to, datagrams));
            sender
        });
        // One that can't be taken in time is lost, as datagrams are.
        let _ = sender.try_send(buffer[..length].to_vec());
    }
}

/// One sender's datagrams go out from a socket of their own, so that the answers find back.
async fn converse(
    socket: Weak<UdpSocket>,
    from: SocketAddr,
    to: SocketAddr,
    mut datagrams: mpsc::Receiver<Vec<u8>>,
) {
    let Ok(own) = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await else { return };
    if own.connect(to).await.is_err() {
        return;
    }
    let mut buffer = vec![0; 65535];
    loop {
        tokio::select! {
            datagram = datagrams.recv() => match datagram {
                // A refusal of an earlier one is no end.
                Some(datagram) => drop(own.send(&datagram).await),
                None => return,
            },
            answer = own.recv(&mut buffer) => if let Ok(length) = answer {
                let Some(socket) = socket.upgrade() else { return };
                let _ = socket.send_to(&buffer[..length], from).await;
            },
            () = tokio::time::sleep(SILENCE) => return,
        }
    }
}
