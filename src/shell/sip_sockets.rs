//! UDP, TCP and TLS sockets of SIP.
//!
//! UDP is read and written by the control thread itself, without waiting: no hop between socket
//! and core. A connection, TCP or TLS, is one small task that turns reads into [`StreamEvent`]s and writes
//! what its bounded queue holds. Framing is the core's business; here bytes are bytes.

use super::ShellError;
use super::certificate::Identities;
use super::tls::{Tls, server_name};
use crate::config::Listener;
use crate::limits;
use crate::sip::guard::Bucket;
use crate::sip::{ConnectionId, Flow, Transport};
use crate::time::Instant;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsStream;

/// Names of accepted connections count up from here; the core names its own from 1.
const FIRST_ACCEPTED: u64 = 1 << 63;
/// Messages that may wait for a peer that reads slowly; beyond it the connection is closed.
const WRITE_QUEUE: usize = 64;
/// Events of all connections that may wait for the control loop; beyond it reading pauses.
const STREAM_EVENTS: usize = 256;
/// How long a connection may take to open, and then to agree on TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a peer that connected may take for TLS and its first bytes.
const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(32);
/// How long the last bytes may take to leave while the process ends.
const FINISH_TIMEOUT: Duration = Duration::from_millis(200);
/// How long accepting pauses when the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Peers whose own address is remembered.
const TOWARDS_MAX: usize = 1_024;
/// What the kernel may keep of datagrams that the control thread has not read yet, in bytes.
const UDP_BUFFER_BYTES: usize = 1 << 20;

/// A connection that carries bytes.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn transport(&self) -> Transport {
        match self {
            Stream::Tcp(_) => Transport::Tcp,
            Stream::Tls(_) => Transport::Tls,
        }
    }
}

/// Something that happened on a connection.
#[derive(Debug)]
pub(super) enum StreamEvent {
    /// A peer connected.
    Accepted { transport: Transport, stream: TcpStream, local: SocketAddr, remote: SocketAddr },
    /// A connection that the core asked for is open.
    Opened { connection: ConnectionId, stream: Stream, local: SocketAddr, remote: SocketAddr },
    /// A peer has shown a certificate that was verified.
    Verified { connection: ConnectionId, identities: Vec<String> },
    /// Bytes came.
    Bytes { connection: ConnectionId, bytes: Vec<u8> },
    /// It could not be opened.
    Failed { connection: ConnectionId },
    /// It is closed.
    Closed { connection: ConnectionId },
}

struct UdpPort {
    socket: UdpSocket,
    local: SocketAddr,
}

struct Connection {
    flow: Flow,
    queue: mpsc::Sender<Vec<u8>>,
    task: JoinHandle<()>,
}

/// All SIP sockets of the process.
pub(super) struct SipSockets {
    udp: Vec<UdpPort>,
    connections: BTreeMap<ConnectionId, Connection>,
    connecting: usize,
    next_accepted: u64,
    /// Our address towards a peer, for sockets that are bound to all addresses.
    towards: BTreeMap<IpAddr, IpAddr>,
    events: mpsc::Sender<StreamEvent>,
    listening: Vec<Listener>,
    /// By source, see [`source_of`].
    handshakes: BTreeMap<IpAddr, Bucket>,
    acceptors: Vec<JoinHandle<()>>,
    tls: Tls,
}

impl SipSockets {
    /// Opens every listener. What happens on connections comes out of the receiver.
    ///
    /// # Errors
    /// [`ShellError::Listen`] names the first that cannot be opened.
    pub(super) fn open(
        listeners: &[Listener],
        tls: Tls,
    ) -> Result<(SipSockets, mpsc::Receiver<StreamEvent>), ShellError> {
        let (events, inbox) = mpsc::channel(STREAM_EVENTS);
        let mut sockets = SipSockets {
            udp: Vec::new(),
            connections: BTreeMap::new(),
            connecting: 0,
            next_accepted: FIRST_ACCEPTED,
            towards: BTreeMap::new(),
            events,
            listening: Vec::new(),
            handshakes: BTreeMap::new(),
            acceptors: Vec::new(),
            tls,
        };
        for listener in listeners {
            let address = match listener.transport {
                Transport::Udp => sockets.open_udp(listener.address),
                Transport::Tcp | Transport::Tls => sockets.open_stream(listener.transport, listener.address),
            }
            .map_err(|source| listen_error(*listener, source))?;
            sockets.listening.push(Listener { transport: listener.transport, address });
        }
        Ok((sockets, inbox))
    }

    /// What is listened on, with the ports that the system chose where 0 was asked.
    pub(super) fn listening(&self) -> &[Listener] {
        &self.listening
    }

    /// New connections are made with these certificates; open ones stay as they are.
    pub(super) fn exchange_certificates(&mut self, tls: Tls) {
        self.tls = tls;
    }

    fn open_udp(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
        // A burst of calls must survive the time that one wake-up takes. The kernel caps the wish.
        let _ = socket.set_recv_buffer_size(UDP_BUFFER_BYTES);
        if address.is_ipv6() {
            socket.set_only_v6(true)?; // [::] and 0.0.0.0 are two listeners
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let local = socket.local_addr()?;
        self.udp.push(UdpPort { socket, local });
        Ok(local)
    }

    fn open_stream(&mut self, transport: Transport, address: SocketAddr) -> io::Result<SocketAddr> {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?; // else a restart waits for connections in TIME_WAIT
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(1024)?;
        let listener = TcpListener::from_std(socket.into())?;
        let local = listener.local_addr()?;
        self.acceptors.push(tokio::spawn(accept(transport, listener, self.events.clone())));
        Ok(local)
    }

    /// Ready when a datagram can be read from some socket, with the number of that socket.
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<usize> {
        for (number, port) in self.udp.iter().enumerate() {
            if port.socket.poll_recv_ready(context).is_ready() {
                return Poll::Ready(number);
            }
        }
        Poll::Pending
    }

    /// Reads one datagram of socket `number` without waiting; `None` when there is none (left).
    pub(super) fn receive(&mut self, number: usize, buffer: &mut [u8]) -> Option<(Flow, Received)> {
        let port = self.udp.get(number)?;
        let bound = port.local;
        let flow = |local, remote| Flow { transport: Transport::Udp, local, remote, connection: None };
        match port.socket.try_recv_from(buffer) {
            Ok((length, remote)) => Some((flow(self.own_address(bound, remote), remote), Received::Bytes(length))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            // An unconnected UDP socket reports the ICMP error of an earlier send here, without
            // saying whose; the transaction's own timer handles it.
            Err(_) => Some((flow(bound, bound), Received::Error)),
        }
    }

    /// What Via and Contact may name: the address of a socket, or, when it is bound to all addresses
    /// of the machine, the one from which the kernel sends to `remote`.
    fn own_address(&mut self, bound: SocketAddr, remote: SocketAddr) -> SocketAddr {
        if !bound.ip().is_unspecified() {
            return bound;
        }
        let known = self.towards.get(&remote.ip()).copied();
        let own = known.or_else(|| {
            let own = address_towards(bound, remote).ok()?;
            if self.towards.len() >= TOWARDS_MAX {
                self.towards.clear(); // only a memory of what the kernel says
            }
            self.towards.insert(remote.ip(), own);
            Some(own)
        });
        SocketAddr::new(own.unwrap_or(bound.ip()), bound.port())
    }

    /// Our address from which packets to `remote` leave; `None` when there is no way to it.
    pub(super) fn source(&mut self, remote: IpAddr) -> Option<IpAddr> {
        let all = if remote.is_ipv4() { SocketAddr::from(([0; 4], 0)) } else { SocketAddr::from(([0; 16], 0)) };
        let own = self.own_address(all, SocketAddr::new(remote, 5060)).ip();
        (!own.is_unspecified()).then_some(own)
    }

    /// Sends a datagram from the socket that listens on `flow.local`. A full send buffer loses
    /// it, as any network may; the transaction layer repeats.
    ///
    /// # Errors
    /// When there is no such socket or no way to the peer.
    pub(super) fn send(&self, flow: &Flow, bytes: &[u8]) -> io::Result<()> {
        let same_family = |p: &&UdpPort| p.local.is_ipv4() == flow.remote.is_ipv4();
        let is_any = |p: &&UdpPort| p.local.ip().is_unspecified() && p.local.port() == flow.local.port();
        let port = self
            .udp
            .iter()
            .find(|p| p.local == flow.local)
            .or_else(|| self.udp.iter().find(|p| same_family(p) && is_any(p)))
            .or_else(|| self.udp.iter().find(|p| same_family(p)))
            .ok_or(io::ErrorKind::AddrNotAvailable)?;
        match port.socket.try_send_to(bytes, flow.remote) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            // A socket reports the ICMP error of an earlier datagram at the next send; that one
            // was not sent, so once more.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                port.socket.try_send_to(bytes, flow.remote).map(|_| ())
            }
            Err(error) => Err(error),
        }
    }

    /// Starts to read and write a connection that a peer opened; `None` when there are too many.
    pub(super) fn adopt(
        &mut self,
        now: Instant,
        transport: Transport,
        stream: TcpStream,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Option<ConnectionId> {
        // Dropping the stream closes it.
        if self.connections.len() + self.connecting >= limits::CONNECTIONS_MAX
            || self.accepted_from(remote.ip()) >= limits::CONNECTIONS_PER_SOURCE
            || (transport == Transport::Tls && !self.may_shake_hands(now, remote.ip()))
        {
            return None;
        }
        let connection = ConnectionId(self.next_accepted);
        self.next_accepted += 1;
        let (queue, outgoing) = mpsc::channel(WRITE_QUEUE);
        let events = self.events.clone();
        let task = match (transport, &self.tls.acceptor) {
            (Transport::Tls, Some(acceptor)) => {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    match tokio::time::timeout(FIRST_BYTES_TIMEOUT, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => {
                            // Only a certificate that was verified gets as far as here.
                            let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                            let identities = shown.map(|shown| Identities::of(shown).hosts()).unwrap_or_default();
                            if !identities.is_empty() {
                                let _ = events.send(StreamEvent::Verified { connection, identities }).await;
                            }
                            let stream = Stream::Tls(Box::new(TlsStream::Server(stream)));
                            serve(connection, stream, Some(FIRST_BYTES_TIMEOUT), outgoing, events).await;
                            return;
                        }
                        Ok(Err(error)) => tracing::info!(%remote, %error, "no agreement on TLS with a peer"),
                        Err(_) => tracing::info!(%remote, "a peer connected and did not begin TLS"),
                    }
                    let _ = events.send(StreamEvent::Closed { connection }).await;
                })
            }
            (Transport::Tls, None) => return None,
            _ => {
                let stream = Stream::Tcp(stream);
                tokio::spawn(serve(connection, stream, Some(FIRST_BYTES_TIMEOUT), outgoing, events))
            }
        };
        let flow = Flow { transport, local, remote, connection: Some(connection) };
        self.connections.insert(connection, Connection { flow, queue, task });
        Some(connection)
    }

    /// Connections that a source has opened.
    fn accepted_from(&self, source: IpAddr) -> usize {
        let source = source_of(source);
        let same =
            |(id, c): &(&ConnectionId, &Connection)| id.0 >= FIRST_ACCEPTED && source_of(c.flow.remote.ip()) == source;
        self.connections.iter().filter(same).count()
    }

    /// Whether a source may begin TLS once more: each handshake costs us much more than it costs the peer.
    fn may_shake_hands(&mut self, now: Instant, source: IpAddr) -> bool {
        if self.handshakes.len() >= limits::SOURCES_MAX {
            self.handshakes.clear(); // a flood from so many sources is none of one source
        }
        let bucket = self.handshakes.entry(source_of(source));
        bucket.or_insert_with(|| Bucket::new(limits::TLS_HANDSHAKES_PER_SECOND)).take(now)
    }

    /// Starts to read and write a connection that the core asked for.
    pub(super) fn opened(
        &mut self,
        connection: ConnectionId,
        stream: Stream,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Flow {
        self.connecting = self.connecting.saturating_sub(1);
        let flow = Flow { transport: stream.transport(), local, remote, connection: Some(connection) };
        let (queue, outgoing) = mpsc::channel(WRITE_QUEUE);
        let task = tokio::spawn(serve(connection, stream, None, outgoing, self.events.clone()));
        self.connections.insert(connection, Connection { flow, queue, task });
        flow
    }

    /// The addresses of an open connection.
    pub(super) fn flow(&self, connection: ConnectionId) -> Option<Flow> {
        self.connections.get(&connection).map(|c| c.flow)
    }

    /// Opens a connection; [`StreamEvent::Opened`] or [`StreamEvent::Failed`] follows.
    pub(super) fn connect(
        &mut self,
        connection: ConnectionId,
        transport: Transport,
        remote: SocketAddr,
        domain: Option<String>,
    ) {
        let events = self.events.clone();
        let tls = (transport == Transport::Tls).then(|| self.tls.clone());
        self.connecting += 1;
        tokio::spawn(async move {
            let event = match open(remote, tls, domain).await {
                Ok((stream, local)) => StreamEvent::Opened { connection, stream, local, remote },
                Err(error) => {
                    tracing::info!(%remote, ?transport, %error, "a connection could not be opened");
                    StreamEvent::Failed { connection }
                }
            };
            let _ = events.send(event).await; // fails only when the process is going down
        });
    }

    /// Queues bytes for a connection. A peer that does not read loses it: `false` says that the
    /// connection is gone and the core is to be told.
    pub(super) fn write(&mut self, connection: ConnectionId, bytes: Vec<u8>) -> bool {
        let Some(open) = self.connections.get(&connection) else { return false };
        if open.queue.try_send(bytes).is_ok() {
            return true;
        }
        open.task.abort();
        self.connections.remove(&connection);
        false
    }

    /// Forgets a connection whose task has ended, or that could not be opened.
    pub(super) fn closed(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
    }

    /// Forgets that a connection is being opened.
    pub(super) fn gave_up(&mut self) {
        self.connecting = self.connecting.saturating_sub(1);
    }

    /// Closes all connections after what is queued has been written, or after a short while.
    pub(super) async fn finish(&mut self) {
        let all = std::mem::take(&mut self.connections);
        let tasks: Vec<JoinHandle<()>> = all.into_values().map(|c| c.task).collect();
        let _ = tokio::time::timeout(FINISH_TIMEOUT, async {
            for task in tasks {
                let _ = task.await;
            }
        })
        .await;
    }

    /// Closes a connection after what is queued has been written.
    pub(super) fn close(&mut self, connection: ConnectionId) {
        // Dropping the queue ends the task: it writes the rest and shuts the connection down.
        self.connections.remove(&connection);
    }
}

impl Drop for SipSockets {
    fn drop(&mut self) {
        for acceptor in &self.acceptors {
            acceptor.abort();
        }
    }
}

/// What counts as one source: an IPv4 address, or the /64 of an IPv6 one, the least that one host has.
fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(std::net::Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

/// What a read brought.
pub(super) enum Received {
    /// So many bytes in the buffer.
    Bytes(usize),
    /// Only an error report of an earlier send.
    Error,
}

/// The address from which the kernel sends to `remote`. Connecting a UDP socket sends nothing.
fn address_towards(bound: SocketAddr, remote: SocketAddr) -> io::Result<IpAddr> {
    let probe = std::net::UdpSocket::bind(SocketAddr::new(bound.ip(), 0))?;
    probe.connect(remote)?;
    Ok(probe.local_addr()?.ip())
}

fn listen_error(listener: Listener, source: io::Error) -> ShellError {
    let word = listener.transport.word();
    let hint = match source.kind() {
        io::ErrorKind::AddrInUse => "; another tipring? --sip ADDR:PORT listens somewhere else",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need the capability net_bind_service",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    };
    ShellError::Listen { what: format!("{word}:{}", listener.address), source, hint }
}

/// Connects to `remote`, with TLS for `domain` (or the address) when `tls` is given.
async fn open(remote: SocketAddr, tls: Option<Tls>, domain: Option<String>) -> io::Result<(Stream, SocketAddr)> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(remote)).await.map_err(late)??;
    let local = stream.local_addr()?;
    let Some(tls) = tls else { return Ok((Stream::Tcp(stream), local)) };
    let domain = domain.unwrap_or_else(|| remote.ip().to_string());
    let name = server_name(&domain).ok_or(io::ErrorKind::InvalidInput)?;
    // Not on the control thread: calls need not wait until the authorities are read.
    let connector = tokio::task::spawn_blocking(move || tls.connector()).await.map_err(io::Error::other)?;
    let connecting = connector.map_err(io::Error::other)?.connect(name, stream);
    let agreed = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(late)??;
    Ok((Stream::Tls(Box::new(TlsStream::Client(agreed))), local))
}

async fn accept(transport: Transport, listener: TcpListener, events: mpsc::Sender<StreamEvent>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                let Ok(local) = stream.local_addr() else { continue };
                if events.send(StreamEvent::Accepted { transport, stream, local, remote }).await.is_err() {
                    return;
                }
            }
            Err(_) => pause_accepting().await,
        }
    }
}

/// Waits a little before accepting again: no descriptor is left, and trying at once would spin.
#[allow(clippy::disallowed_methods)] // the shell may wait; nothing of the cores depends on it
pub(super) async fn pause_accepting() {
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// One connection: reads until the peer closes, writes until the queue is dropped.
async fn serve(
    connection: ConnectionId,
    stream: Stream,
    first_within: Option<Duration>,
    outgoing: mpsc::Receiver<Vec<u8>>,
    events: mpsc::Sender<StreamEvent>,
) {
    // Small messages, answered one by one: waiting for more bytes only adds delay.
    match stream {
        Stream::Tcp(stream) => {
            let _ = stream.set_nodelay(true);
            let (reader, writer) = stream.into_split();
            carry(connection, reader, writer, first_within, outgoing, &events).await;
        }
        Stream::Tls(stream) => {
            let _ = stream.get_ref().0.set_nodelay(true);
            let (reader, writer) = tokio::io::split(*stream);
            carry(connection, reader, writer, first_within, outgoing, &events).await;
        }
    }
    let _ = events.send(StreamEvent::Closed { connection }).await;
}

/// Carries bytes both ways. A peer that says nothing within `first_within` is let go.
async fn carry(
    connection: ConnectionId,
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    first_within: Option<Duration>,
    mut outgoing: mpsc::Receiver<Vec<u8>>,
    events: &mpsc::Sender<StreamEvent>,
) {
    let read = async {
        let mut buffer = vec![0; 16 * 1024];
        let mut patience = first_within;
        loop {
            let more = reader.read(&mut buffer);
            let got = match patience.take() {
                Some(time) => tokio::time::timeout(time, more).await.unwrap_or(Ok(0)),
                None => more.await,
            };
            match got {
                Ok(0) | Err(_) => break,
                Ok(length) => {
                    let bytes = buffer[..length].to_vec();
                    if events.send(StreamEvent::Bytes { connection, bytes }).await.is_err() {
                        break;
                    }
                }
            }
        }
    };
    let write = async {
        while let Some(bytes) = outgoing.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = writer.shutdown().await;
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
    }

    fn no_tls() -> Tls {
        Tls::new(&crate::config::Tls::default()).expect("nothing to be read")
    }

    fn listener(transport: Transport, address: &str) -> Listener {
        Listener { transport, address: address.parse().expect("an address") }
    }

    async fn datagram(sockets: &mut SipSockets, buffer: &mut [u8]) -> (Flow, usize) {
        loop {
            let number = poll_fn(|context| sockets.poll_readable(context)).await;
            if let Some((flow, Received::Bytes(length))) = sockets.receive(number, buffer) {
                return (flow, length);
            }
        }
    }

    #[test]
    fn an_answer_leaves_from_the_address_that_was_asked() {
        run(async {
            let listeners = [listener(Transport::Udp, "127.0.0.1:0"), listener(Transport::Udp, "127.0.0.2:0")];
            let (mut sockets, _inbox) = SipSockets::open(&listeners, no_tls()).expect("opened");
            for listening in sockets.listening().to_vec() {
                let peer = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
                peer.send_to(b"ask", listening.address).await.expect("sent");
                let mut buffer = [0; 64];
                let (flow, length) = datagram(&mut sockets, &mut buffer).await;
                assert_eq!((flow.local, &buffer[..length]), (listening.address, &b"ask"[..]));
                sockets.send(&flow, b"answer").expect("sent");
                let (_, from) = peer.recv_from(&mut buffer).await.expect("answered");
                assert_eq!(from, listening.address);
            }
        });
    }

    #[test]
    fn a_socket_on_all_addresses_names_the_one_that_the_peer_reaches() {
        run(async {
            let (mut sockets, _inbox) =
                SipSockets::open(&[listener(Transport::Udp, "0.0.0.0:0")], no_tls()).expect("opened");
            let port = sockets.listening()[0].address.port();
            let peer = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
            peer.send_to(b"ask", ("127.0.0.1", port)).await.expect("sent");
            let mut buffer = [0; 64];
            let (flow, _) = datagram(&mut sockets, &mut buffer).await;
            assert_eq!(flow.local, SocketAddr::from(([127, 0, 0, 1], port)));
            sockets.send(&flow, b"answer").expect("sent");
            let (_, from) = peer.recv_from(&mut buffer).await.expect("answered");
            assert_eq!(from, flow.local);
        });
    }

    #[test]
    fn a_port_in_use_is_named_with_what_to_do() {
        run(async {
            let (first, _inbox) =
                SipSockets::open(&[listener(Transport::Udp, "127.0.0.1:0")], no_tls()).expect("opened");
            let error = SipSockets::open(first.listening(), no_tls()).err().expect("the port is taken").to_string();
            assert!(error.contains("udp:127.0.0.1:") && error.contains("--sip"), "{error}");
        });
    }

    #[test]
    fn bytes_come_and_go_on_connections_of_either_side() {
        run(async {
            let (mut sockets, mut inbox) =
                SipSockets::open(&[listener(Transport::Tcp, "127.0.0.1:0")], no_tls()).expect("opened");
            let address = sockets.listening()[0].address;
            let ours = ConnectionId(1);
            sockets.connect(ours, Transport::Tcp, address, None); // to itself: both sides are seen
            let mut accepted = None;
            let mut got = Vec::new();
            while got.len() < 2 {
                match inbox.recv().await.expect("an event") {
                    StreamEvent::Accepted { transport, stream, local, remote } => {
                        let connection = sockets.adopt(Instant::ZERO, transport, stream, local, remote).expect("room");
                        assert!(connection.0 >= FIRST_ACCEPTED);
                        assert!(sockets.write(connection, b"from the accepted".to_vec()));
                        accepted = Some(connection);
                    }
                    StreamEvent::Opened { connection, stream, local, remote } => {
                        assert_eq!(sockets.opened(connection, stream, local, remote).remote, address);
                        assert!(sockets.write(connection, b"from ours".to_vec()));
                    }
                    StreamEvent::Bytes { connection, bytes } => got.push((connection, bytes)),
                    other => panic!("{other:?}"),
                }
            }
            got.sort();
            let accepted = accepted.expect("it was accepted");
            assert_eq!(got, [(ours, b"from the accepted".to_vec()), (accepted, b"from ours".to_vec())]);
            sockets.close(ours);
            loop {
                match inbox.recv().await.expect("an event") {
                    StreamEvent::Closed { connection } if connection == accepted => break,
                    StreamEvent::Closed { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        });
    }

    #[test]
    fn a_peer_that_does_not_read_loses_its_connection() {
        run(async {
            let (mut sockets, mut inbox) =
                SipSockets::open(&[listener(Transport::Tcp, "127.0.0.1:0")], no_tls()).expect("opened");
            let peer = TcpStream::connect(sockets.listening()[0].address).await.expect("connected");
            let Some(StreamEvent::Accepted { transport, stream, local, remote }) = inbox.recv().await else {
                panic!("accepted")
            };
            let connection = sockets.adopt(Instant::ZERO, transport, stream, local, remote).expect("room");
            let mut written = 0;
            while sockets.write(connection, vec![0; 60_000]) {
                written += 1;
                assert!(written < 10_000, "the queue is bounded");
                tokio::task::yield_now().await;
            }
            assert!(sockets.flow(connection).is_none());
            drop(peer);
        });
    }

    #[test]
    fn one_source_has_a_share_of_the_connections_and_a_rate_of_handshakes() {
        run(async {
            let (mut sockets, mut inbox) =
                SipSockets::open(&[listener(Transport::Tcp, "127.0.0.1:0")], no_tls()).expect("opened");
            let address = sockets.listening()[0].address;
            let mut peers = Vec::new();
            for number in 0..=limits::CONNECTIONS_PER_SOURCE {
                peers.push(TcpStream::connect(address).await.expect("connected"));
                let Some(StreamEvent::Accepted { transport, stream, local, remote }) = inbox.recv().await else {
                    panic!("accepted")
                };
                let taken = sockets.adopt(Instant::ZERO, transport, stream, local, remote).is_some();
                assert_eq!(taken, number < limits::CONNECTIONS_PER_SOURCE, "{number}");
            }
            let source = |text: &str| text.parse().expect("an address");
            let begun = |sockets: &mut SipSockets, from| {
                (0..1_000).filter(|_| sockets.may_shake_hands(Instant::ZERO, from)).count() as u64
            };
            assert_eq!(begun(&mut sockets, source("192.0.2.1")), 2 * limits::TLS_HANDSHAKES_PER_SECOND);
            assert_eq!(begun(&mut sockets, source("192.0.2.2")), 2 * limits::TLS_HANDSHAKES_PER_SECOND);
            assert_eq!(begun(&mut sockets, source("2001:db8::1")), 2 * limits::TLS_HANDSHAKES_PER_SECOND);
            assert_eq!(begun(&mut sockets, source("2001:db8::2")), 0, "one host has many such addresses");
        });
    }

    #[test]
    fn a_connection_that_cannot_be_opened_says_so() {
        run(async {
            let (mut sockets, mut inbox) = SipSockets::open(&[], no_tls()).expect("opened");
            let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = closed.local_addr().expect("bound");
            drop(closed);
            sockets.connect(ConnectionId(5), Transport::Tcp, address, None);
            assert!(matches!(inbox.recv().await, Some(StreamEvent::Failed { connection: ConnectionId(5) })));
        });
    }
}
