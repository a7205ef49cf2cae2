//! RTP sockets of one media thread: who has packets, take them, send them.
//!
//! One socket a stream, all in one epoll set that is asked and never waited on: the thread wakes
//! by its clock, takes what has come, and goes back to sleep. What costs in a relay is waking,
//! not copying. `recvmmsg` and `sendmmsg` batch only within one socket; with one packet in 20 ms
//! for each socket they would batch nothing, so it is one receive and one send for each packet.
#![allow(unsafe_code)] // epoll and the kernel's receive stamps have no safe interface in the standard library

use crate::limits::PACKETS_PER_BATCH;
use crate::media::{Outgoing, PacketBatch, StreamId};
use crate::time::{Duration, Instant};
use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Expedited forwarding, RFC 3246 and RFC 4594 section 4.1, as the whole former TOS octet.
const EXPEDITED_FORWARDING: u32 = 0xb8;

/// Opens the socket of a stream; done by the control thread, which so knows at once if it fails.
///
/// # Errors
/// What the system says, most likely that the port is in use.
pub(super) fn bind(local: SocketAddr) -> io::Result<UdpSocket> {
    let domain = socket2::Domain::for_address(local);
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    if local.is_ipv4() {
        let _ = socket.set_tos_v4(EXPEDITED_FORWARDING); // a wish; sound passes without it
    }
    enable_stamps(socket.as_raw_fd());
    Ok(socket.into())
}

fn enable_stamps(socket: RawFd) {
    let on: libc::c_int = 1;
    // SAFETY: the pointer and length describe `on`, which lives through the call; the kernel only
    // reads it. A refusal leaves the packets without stamps, which `receive_one` allows for.
    unsafe {
        libc::setsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            mem::size_of::<libc::c_int>() as libc::socklen_t,
        );
    }
}

struct Port {
    stream: StreamId,
    socket: UdpSocket,
}

/// The sockets of all streams of one media thread.
pub(super) struct RtpPorts {
    epoll: OwnedFd,
    /// By the index of the stream id.
    ports: Vec<Option<Port>>,
    ready: Vec<libc::epoll_event>,
    /// Packets that the kernel did not take.
    pub(super) send_failures: u64,
}

impl RtpPorts {
    /// An empty set with room for `streams` streams.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub(super) fn new(streams: usize) -> io::Result<RtpPorts> {
        // SAFETY: no pointer is passed.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(RtpPorts {
            // SAFETY: `epoll` was just opened and nobody else owns it.
            epoll: unsafe { OwnedFd::from_raw_fd(epoll) },
            ports: Vec::with_capacity(streams), // no place is touched before it is needed
            ready: vec![libc::epoll_event { events: 0, u64: 0 }; PACKETS_PER_BATCH],
            send_failures: 0,
        })
    }

    /// Takes over the socket of a stream. Allocates only when there are more streams at once than
    /// there was ever room for.
    pub(super) fn add(&mut self, stream: StreamId, socket: UdpSocket) {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: stream.to_bits() };
        // SAFETY: both descriptors are open, as their owners live here; the kernel only reads `event`.
        unsafe {
            libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event);
        }
        if self.ports.len() <= stream.index() {
            self.ports.resize_with(stream.index() + 1, || None);
        }
        self.ports[stream.index()] = Some(Port { stream, socket });
    }

    /// Gives the socket of a stream back, to be closed by the control thread.
    pub(super) fn remove(&mut self, stream: StreamId) -> Option<UdpSocket> {
        let place = self.ports.get_mut(stream.index())?;
        if place.as_ref()?.stream != stream {
            return None;
        }
        let port = place.take()?;
        // SAFETY: both descriptors are open; this operation takes no event.
        unsafe {
            libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, port.socket.as_raw_fd(), std::ptr::null_mut());
        }
        Some(port.socket)
    }

    /// Asks, without waiting, which sockets have packets, and takes one packet from each: at most
    /// as many as the batch has room for. Says how many were taken. A socket with more than one is
    /// found again in the next round, so a flood on one stream starves no other; asking each
    /// socket until it is empty would double the system calls, as one packet is the rule.
    pub(super) fn receive(&mut self, stamps: &Stamps, batch: &mut PacketBatch) -> usize {
        let room = self.ready.len().min(PACKETS_PER_BATCH.saturating_sub(batch.len()));
        if room == 0 {
            return 0;
        }
        // SAFETY: the pointer and count describe `ready`, which nobody else uses meanwhile; a
        // timeout of zero makes the call return at once.
        let count =
            unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), self.ready.as_mut_ptr(), room as libc::c_int, 0) };
        // A failure means an interruption: nothing is known, the next round asks again.
        let count = usize::try_from(count).unwrap_or(0);
        let mut taken = 0;
        for event in &self.ready[..count] {
            let stream = StreamId::from_bits(event.u64);
            let Some(port) = self.ports.get(stream.index()).and_then(Option::as_ref) else { continue };
            let Some(slot) = batch.vacant().first_mut() else { break };
            let Some(received) = receive_one(port.socket.as_raw_fd(), &mut slot.data) else { continue };
            let Some(source) = received.source else { continue };
            slot.stream = port.stream;
            slot.source = source;
            slot.len = received.length;
            slot.received_at = stamps.instant(received.stamp);
            batch.commit(1);
            taken += 1;
        }
        taken
    }

    /// Sends one packet. What the kernel does not take is lost, as on any network, and counted.
    pub(super) fn send(&mut self, packet: &Outgoing<'_>) {
        let port = self.ports.get(packet.stream.index()).and_then(Option::as_ref);
        let Some(port) = port.filter(|p| p.stream == packet.stream) else { return };
        if port.socket.send_to(packet.bytes, packet.to).is_err() {
            self.send_failures += 1;
        }
    }
}

/// Turns the kernel's stamps, which are wall-clock time, into our time.
pub(super) struct Stamps {
    now: Instant,
    wall_now: Duration,
}

impl Stamps {
    /// `now` and the wall clock at the same moment.
    pub(super) fn new(now: Instant, wall_now: Duration) -> Self {
        Stamps { now, wall_now }
    }

    /// When a packet with this stamp came. Never later than now; a wall clock that was set
    /// meanwhile, or a packet without a stamp, gives now.
    fn instant(&self, stamp: Option<Duration>) -> Instant {
        match stamp.and_then(|stamp| self.wall_now.checked_sub(stamp)) {
            Some(age) if age < Duration::from_secs(1) => self.now - age,
            _ => self.now,
        }
    }
}

struct ReceivedOne {
    length: usize,
    source: Option<SocketAddr>,
    stamp: Option<Duration>,
}

/// Room for the one control message that is asked for, aligned as the kernel wants it.
#[repr(C, align(8))]
struct ControlRoom([u8; 64]);

/// Takes one datagram without waiting.
fn receive_one(socket: RawFd, data: &mut [u8]) -> Option<ReceivedOne> {
    // SAFETY: an all-zero sockaddr_storage is a valid value of that plain structure.
    let mut source: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let mut control = ControlRoom([0; 64]);
    let mut vector = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    // SAFETY: an all-zero msghdr is a valid value of that plain structure.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_name = (&raw mut source).cast();
    header.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len() as _;
    // SAFETY: every pointer in `header` points to a local value or to `data`, with its length
    // beside it, and all of them outlive the call.
    let length = unsafe { libc::recvmsg(socket, &raw mut header, libc::MSG_DONTWAIT) };
    let length = usize::try_from(length).ok()?;
    Some(ReceivedOne { length, source: address(&source), stamp: stamp_of(&header) })
}

/// The address that the kernel wrote.
fn address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match libc::c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that it is this structure, and the storage is larger and
            // aligned for every kind of address.
            let v4 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in>() };
            Some((Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)), u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in6>() };
            Some((Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port)).into())
        }
        _ => None,
    }
}

/// The receive stamp among the control messages, as time since the epoch.
fn stamp_of(header: &libc::msghdr) -> Option<Duration> {
    // SAFETY: `header` was filled by a successful recvmsg and its control room still lives; the
    // macro checks that a whole message header is inside.
    let first = unsafe { libc::CMSG_FIRSTHDR(header) };
    if first.is_null() {
        return None;
    }
    // SAFETY: not null, so it points to a message header inside the control room.
    let message = unsafe { &*first };
    if message.cmsg_level != libc::SOL_SOCKET || message.cmsg_type != libc::SCM_TIMESTAMPNS {
        return None;
    }
    // SAFETY: a message of this type carries a timespec behind its header; the kernel wrote it
    // whole, because the room is larger than header and timespec. It may be unaligned.
    let stamp = unsafe { libc::CMSG_DATA(first).cast::<libc::timespec>().read_unaligned() };
    let seconds = u64::try_from(stamp.tv_sec).ok()?;
    Some(Duration::new(seconds, u32::try_from(stamp.tv_nsec).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(index: u64) -> StreamId {
        StreamId::from_bits(index)
    }

    fn localhost() -> UdpSocket {
        bind("127.0.0.1:0".parse().expect("an address")).expect("a free port")
    }

    #[test]
    fn packets_are_found_taken_with_source_and_stamp_and_sent() {
        let mut ports = RtpPorts::new(4).expect("an epoll set");
        let ours = localhost();
        let to = ours.local_addr().expect("bound");
        ports.add(stream(2), ours);
        let peer = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        peer.send_to(b"hello", to).expect("sent");

        let now = Instant::from_millis(5_000);
        let wall_now = std::fs::metadata("/proc/self").expect("proc").modified().expect("a time");
        let wall_now = wall_now.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let mut batch = PacketBatch::new();
        let stamps = Stamps::new(now, wall_now + Duration::from_millis(500));
        assert_eq!(ports.receive(&stamps, &mut batch), 1);
        assert_eq!(batch.len(), 1);
        assert_eq!(ports.receive(&stamps, &mut batch), 0, "taken");

        ports.send(&Outgoing { stream: stream(2), to: peer.local_addr().expect("bound"), bytes: b"back" });
        let mut buffer = [0; 16];
        let (length, from) = peer.recv_from(&mut buffer).expect("answered");
        assert_eq!((&buffer[..length], from), (&b"back"[..], to));
        assert_eq!(ports.send_failures, 0);
        assert!(ports.remove(stream(2)).is_some());
        assert!(ports.remove(stream(2)).is_none());
    }

    #[test]
    fn a_stream_that_is_gone_neither_sends_nor_gives_its_successors_socket_away() {
        let mut ports = RtpPorts::new(1).expect("an epoll set");
        let later = StreamId::from_bits(1 << 32);
        ports.add(later, localhost());
        assert!(ports.remove(stream(0)).is_none());
        assert!(ports.remove(later).is_some());
    }

    #[test]
    fn stamps_are_taken_relative_to_the_wall_clock() {
        let stamps = Stamps::new(Instant::from_millis(1_000), Duration::from_secs(50));
        assert_eq!(stamps.instant(Some(Duration::from_millis(49_990))), Instant::from_millis(990));
        assert_eq!(stamps.instant(Some(Duration::from_secs(51))), Instant::from_millis(1_000));
        assert_eq!(stamps.instant(Some(Duration::from_secs(3))), Instant::from_millis(1_000));
        assert_eq!(stamps.instant(None), Instant::from_millis(1_000));
    }
}
