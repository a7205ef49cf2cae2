//! Associations that carry M3UA: SCTP of the kernel, or TCP for laboratories. One small task each turns what
//! comes into [`Event`]s and sends what its bounded queue holds; which messages these are is the core's business.

use super::sctp_io;
use crate::config::Carrier;
use crate::isup::m3ua::AssociationId;
use crate::limits;
use socket2::Socket;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};

/// Messages that may wait for a peer that reads slowly; beyond it the association is given up.
const WRITE_QUEUE: usize = 1_024;
/// How long accepting pauses when the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Octets before the length of an M3UA message, and with it.
const LENGTH_AT: usize = 4;
const HEADER_OCTETS: usize = 8;

/// What tasks tell the control loop.
pub(super) struct Event {
    /// Of which trunk group, by its place among the endpoints.
    pub(super) group: usize,
    pub(super) what: Happening,
}

pub(super) enum Happening {
    /// An association that was asked for is there.
    Opened(AssociationId),
    /// It is gone, or did not come.
    Closed(AssociationId, String),
    /// A message.
    Octets(AssociationId, Vec<u8>),
    /// Somebody set one up.
    Accepted(Association, SocketAddr),
}

/// An association, ready to be served.
pub(super) enum Association {
    Sctp(Sctp),
    Tcp(Tcp),
}

/// What is the same in all of them.
trait Wire {
    /// The next message. Nothing is lost when it is not waited for.
    async fn receive(&mut self) -> io::Result<Vec<u8>>;
}

/// The half that sends.
trait Out {
    async fn send(&self, stream: u16, octets: &[u8]) -> io::Result<()>;
}

/// An association of the kernel's SCTP.
pub(super) struct Sctp {
    socket: AsyncFd<Socket>,
    streams: u16,
}

/// M3UA over TCP, where the length of a message says where it ends.
pub(super) struct Tcp {
    stream: TcpStream,
}

/// What came of messages over TCP.
struct Frames<'t> {
    tcp: &'t Tcp,
    octets: Vec<u8>,
}

impl Wire for &Sctp {
    async fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; limits::M3UA_OCTETS + 1];
        let take = |socket: &Socket| sctp_io::receive(socket, &mut buffer);
        let length = self.socket.async_io(Interest::READABLE, take).await?;
        if length == 0 {
            return Err(closed());
        }
        buffer.truncate(length);
        Ok(buffer)
    }
}

impl Out for Sctp {
    async fn send(&self, stream: u16, octets: &[u8]) -> io::Result<()> {
        let stream = fold(stream, self.streams);
        self.socket.async_io(Interest::WRITABLE, |socket| sctp_io::send(socket, stream, octets)).await.map(drop)
    }
}

/// DATA never goes on stream 0, unless that is the only one (RFC 4666 1.4.7).
fn fold(stream: u16, streams: u16) -> u16 {
    match stream {
        0 => 0,
        _ if streams < 2 => 0,
        _ => 1 + (stream - 1) % (streams - 1),
    }
}

impl Wire for Frames<'_> {
    async fn receive(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(message) = take_frame(&mut self.octets)? {
                return Ok(message);
            }
            self.tcp.stream.readable().await?;
            match self.tcp.stream.try_read_buf(&mut self.octets) {
                Ok(0) => return Err(closed()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Out for Tcp {
    async fn send(&self, _: u16, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(octets) {
                Ok(written) => octets = octets.get(written..).unwrap_or(&[]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Takes the first message out, if all of it is there.
fn take_frame(octets: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let Some(&[a, b, c, d]) = octets.get(LENGTH_AT..HEADER_OCTETS) else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if !(HEADER_OCTETS..=limits::M3UA_OCTETS).contains(&length) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the peer does not speak M3UA"));
    }
    if octets.len() < length {
        return Ok(None);
    }
    let rest = octets.split_off(length);
    Ok(Some(std::mem::replace(octets, rest)))
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the peer")
}

/// Why, for people.
pub(super) fn reason(error: &io::Error) -> String {
    if sctp_io::is_missing(error) {
        return "this kernel has no SCTP (modprobe sctp)".to_owned();
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "the peer broke it off".to_owned(),
        _ => error.to_string(),
    }
}

/// The task of an association, and the way to it. Dropping it ends both.
pub(super) struct Link {
    queue: mpsc::Sender<(u16, Vec<u8>)>,
    task: AbortHandle,
}

impl Link {
    /// Hands a message over; false when too many wait.
    pub(super) fn send(&self, stream: u16, octets: Vec<u8>) -> bool {
        self.queue.try_send((stream, octets)).is_ok()
    }
}

#[allow(clippy::disallowed_methods)] // the shell may wait; nothing of the cores depends on it
impl Drop for Link {
    /// What is queued may still leave, for a moment.
    fn drop(&mut self) {
        let task = self.task.clone();
        if self.queue.capacity() == WRITE_QUEUE {
            task.abort();
            return;
        }
        tokio::spawn(async move {
            tokio::time::sleep(FINISH_TIME).await;
            task.abort();
        });
    }
}

/// How long what is queued may take to leave an association that is ended.
const FINISH_TIME: Duration = Duration::from_millis(200);

/// Sets an association up and serves it.
pub(super) fn connect(
    carrier: Carrier,
    peer: SocketAddr,
    local: Option<SocketAddr>,
    group: usize,
    id: AssociationId,
    events: mpsc::Sender<Event>,
) -> Link {
    let (queue, outgoing) = mpsc::channel(WRITE_QUEUE);
    let task = tokio::spawn(async move {
        let opened = match carrier {
            Carrier::Sctp => connect_sctp(peer, local).await.map(Association::Sctp),
            Carrier::Tcp => connect_tcp(peer, local).await.map(Association::Tcp),
        };
        match opened {
            Ok(association) => {
                if events.send(Event { group, what: Happening::Opened(id) }).await.is_ok() {
                    serve(association, group, id, outgoing, events).await;
                }
            }
            Err(error) => {
                let _ = events.send(Event { group, what: Happening::Closed(id, reason(&error)) }).await;
            }
        }
    });
    Link { queue, task: task.abort_handle() }
}

/// Serves an association that was accepted.
pub(super) fn adopt(association: Association, group: usize, id: AssociationId, events: mpsc::Sender<Event>) -> Link {
    let (queue, outgoing) = mpsc::channel(WRITE_QUEUE);
    let task = tokio::spawn(serve(association, group, id, outgoing, events));
    Link { queue, task: task.abort_handle() }
}

async fn connect_sctp(peer: SocketAddr, local: Option<SocketAddr>) -> io::Result<Sctp> {
    let socket = sctp_io::watch(sctp_io::connect(peer, local)?)?;
    drop(socket.writable().await?);
    if let Some(error) = socket.get_ref().take_error()? {
        return Err(error);
    }
    let streams = sctp_io::prepare(socket.get_ref())?;
    Ok(Sctp { socket, streams })
}

async fn connect_tcp(peer: SocketAddr, local: Option<SocketAddr>) -> io::Result<Tcp> {
    let socket = if peer.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(local) = local {
        socket.set_reuseaddr(true)?;
        socket.bind(local)?;
    }
    let stream = socket.connect(peer).await?;
    stream.set_nodelay(true)?;
    Ok(Tcp { stream })
}

/// Reads and writes until one of them ends, or nobody wants the association any more.
async fn serve(
    association: Association,
    group: usize,
    id: AssociationId,
    outgoing: mpsc::Receiver<(u16, Vec<u8>)>,
    events: mpsc::Sender<Event>,
) {
    let ended = match &association {
        Association::Sctp(sctp) => relay(sctp, sctp, group, id, outgoing, &events).await,
        Association::Tcp(tcp) => relay(Frames { tcp, octets: Vec::new() }, tcp, group, id, outgoing, &events).await,
    };
    if let Err(error) = ended {
        let _ = events.send(Event { group, what: Happening::Closed(id, reason(&error)) }).await;
    }
}

/// Both directions at once: a peer that does not read must not keep us from reading.
async fn relay(
    mut wire: impl Wire,
    out: &impl Out,
    group: usize,
    id: AssociationId,
    mut outgoing: mpsc::Receiver<(u16, Vec<u8>)>,
    events: &mpsc::Sender<Event>,
) -> io::Result<()> {
    let reading = async {
        loop {
            let octets = wire.receive().await?;
            if events.send(Event { group, what: Happening::Octets(id, octets) }).await.is_err() {
                return Ok(());
            }
        }
    };
    // Ends when the queue is closed and empty: what was said last still leaves.
    let writing = async {
        while let Some((stream, octets)) = outgoing.recv().await {
            out.send(stream, &octets).await?;
        }
        Ok(())
    };
    tokio::select! {
        ended = reading => ended,
        ended = writing => ended,
    }
}

/// Accepts associations at an address until it is dropped.
pub(super) struct Listener {
    task: JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens; needs the runtime.
pub(super) fn listen(
    carrier: Carrier,
    local: SocketAddr,
    group: usize,
    events: mpsc::Sender<Event>,
) -> io::Result<Listener> {
    let task = match carrier {
        Carrier::Sctp => {
            let socket = sctp_io::watch(sctp_io::listen(local)?)?;
            tokio::spawn(accept(group, events, async move || accept_sctp(&socket).await))
        }
        Carrier::Tcp => {
            let listener = std::net::TcpListener::bind(local)?;
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            tokio::spawn(accept(group, events, async move || accept_tcp(&listener).await))
        }
    };
    Ok(Listener { task })
}

#[allow(clippy::disallowed_methods)] // as above
async fn accept(
    group: usize,
    events: mpsc::Sender<Event>,
    next: impl AsyncFn() -> io::Result<(Association, SocketAddr)>,
) {
    loop {
        match next().await {
            Ok((association, remote)) => {
                let what = Happening::Accepted(association, remote);
                if events.send(Event { group, what }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "an association could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn accept_sctp(listener: &AsyncFd<Socket>) -> io::Result<(Association, SocketAddr)> {
    let (socket, remote) = listener.async_io(Interest::READABLE, Socket::accept).await?;
    let remote = remote.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let streams = sctp_io::prepare(&socket)?;
    Ok((Association::Sctp(Sctp { socket: sctp_io::watch(socket)?, streams }), remote))
}

async fn accept_tcp(listener: &TcpListener) -> io::Result<(Association, SocketAddr)> {
    let (stream, remote) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((Association::Tcp(Tcp { stream }), remote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_folded_into_those_that_there_are() {
        assert_eq!([0, 1, 9, 10, 16].map(|stream| fold(stream, 10)), [0, 1, 9, 1, 7]);
        assert_eq!([0, 1, 16].map(|stream| fold(stream, 2)), [0, 1, 1]);
        assert_eq!([0, 1, 16].map(|stream| fold(stream, 1)), [0, 0, 0]);
    }

    #[test]
    fn frames_are_cut_by_their_lengths() {
        let message = |octets: usize| {
            let mut message = vec![1, 0, 3, 1, 0, 0, 0, octets as u8];
            message.resize(octets, 7);
            message
        };
        let mut octets = [message(8), message(24), message(12)].concat();
        octets.truncate(40);
        assert_eq!(take_frame(&mut octets).expect("whole"), Some(message(8)));
        assert_eq!(take_frame(&mut octets).expect("whole"), Some(message(24)));
        assert_eq!(take_frame(&mut octets).expect("part"), None);
        assert_eq!(octets.len(), 8);
        for length in [7, limits::M3UA_OCTETS + 1] {
            let mut octets = vec![1, 0, 3, 1];
            octets.extend((length as u32).to_be_bytes());
            assert!(take_frame(&mut octets).is_err());
        }
        let mut octets = vec![1, 0, 3, 1];
        octets.extend((limits::M3UA_OCTETS as u32).to_be_bytes());
        assert_eq!(take_frame(&mut octets).expect("part"), None);
    }

    #[test]
    fn a_kernel_without_sctp_is_told_in_words() {
        let error = io::Error::from_raw_os_error(libc::EPROTONOSUPPORT);
        assert_eq!(reason(&error), "this kernel has no SCTP (modprobe sctp)");
    }
}
