//! What SCTP needs of the kernel and the standard library has no word for (RFC 6458): sockets of the one-to-one
//! style, two of their options, and the control message that says on which stream a message goes.
#![allow(unsafe_code)] // options of SCTP have no safe interface

use socket2::{Domain, MsgHdr, Protocol, Socket, Type};
use std::io::{self, IoSlice, Read};
use std::mem;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use tokio::io::unix::AsyncFd;

/// Its number among the protocols of IP, which is the level of its options too.
const SCTP: libc::c_int = 132;
/// Send at once instead of gathering (RFC 6458 8.1.5).
const NODELAY: libc::c_int = 3;
/// State of an association (RFC 6458 8.2.1).
const STATUS: libc::c_int = 14;
/// Octets of `struct sctp_status` on Linux, and where in it the number of outgoing streams stands.
const STATUS_OCTETS: usize = 176;
const OUTGOING_STREAMS_AT: usize = 18;
/// Control message with `struct sctp_sndrcvinfo` (RFC 6458 5.3.2).
const SNDRCV: libc::c_int = 1;
const SNDRCV_OCTETS: usize = 32;
/// Payload protocol identifier of M3UA (RFC 4666 7.1).
const M3UA: u32 = 3;
/// Associations that wait to be accepted.
const BACKLOG: i32 = 16;

/// Whether the kernel does not know SCTP.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPROTONOSUPPORT | libc::ESOCKTNOSUPPORT))
}

/// A socket of the one-to-one style that does not wait.
fn socket(local: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(local), Type::STREAM, Some(Protocol::from(SCTP)))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Begins to set up an association; it is there, or an error is, when the socket can be written.
pub(super) fn connect(peer: SocketAddr, local: Option<SocketAddr>) -> io::Result<Socket> {
    let socket = socket(peer)?;
    if let Some(local) = local {
        socket.set_reuse_address(true)?;
        socket.bind(&local.into())?;
    }
    match socket.connect(&peer.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

/// A socket that accepts associations.
pub(super) fn listen(local: SocketAddr) -> io::Result<Socket> {
    let socket = socket(local)?;
    socket.set_reuse_address(true)?;
    socket.bind(&local.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Watches a socket for the runtime.
pub(super) fn watch(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: a `Socket` owns its descriptor, gives the same one for as long as it lives, and `AsyncFd` lends it out
    // only by shared reference, by which it can't be closed.
    unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)
}

/// Makes a socket with an association ready, and says how many streams may go out.
pub(super) fn prepare(socket: &Socket) -> io::Result<u16> {
    socket.set_nonblocking(true)?;
    let on: libc::c_int = 1;
    // SAFETY: the pointer and length describe `on`, which lives through the call; the kernel only reads it.
    let refused = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            SCTP,
            NODELAY,
            (&raw const on).cast(),
            mem::size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if refused != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut status = [0_u8; STATUS_OCTETS];
    let mut length = STATUS_OCTETS as libc::socklen_t;
    // SAFETY: the pointer and length describe `status`, which lives through the call; the kernel writes at most
    // that many octets, all of which may have any value.
    let refused =
        unsafe { libc::getsockopt(socket.as_raw_fd(), SCTP, STATUS, status.as_mut_ptr().cast(), &raw mut length) };
    if refused != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u16::from_ne_bytes([status[OUTGOING_STREAMS_AT], status[OUTGOING_STREAMS_AT + 1]]).max(1))
}

/// Sends one message on a stream.
pub(super) fn send(socket: &Socket, stream: u16, octets: &[u8]) -> io::Result<usize> {
    let control = control(stream);
    let buffers = [IoSlice::new(octets)];
    let message = MsgHdr::new().with_buffers(&buffers).with_control(&control);
    socket.sendmsg(&message, libc::MSG_NOSIGNAL)
}

/// Takes one message; 0 octets when the association has ended. One that is longer than the buffer comes in parts.
pub(super) fn receive(socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
    let mut socket = socket;
    socket.read(buffer)
}

/// `struct cmsghdr`, whose length is as wide as a pointer, and `struct sctp_sndrcvinfo`.
fn control(stream: u16) -> Vec<u8> {
    let length = mem::size_of::<usize>() + 8 + SNDRCV_OCTETS;
    let mut control = Vec::with_capacity(length);
    control.extend(length.to_ne_bytes());
    control.extend(SCTP.to_ne_bytes());
    control.extend(SNDRCV.to_ne_bytes());
    control.extend(stream.to_ne_bytes());
    control.extend([0; 6]); // sequence number, flags, padding
    control.extend(M3UA.to_be_bytes()); // the kernel passes it on as it is
    control.resize(length, 0); // context, time to live, two sequence numbers, association
    control
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_message_has_the_layout_of_the_kernel() {
        let octets = control(5);
        // SAFETY: no pointer is passed, the macro only counts.
        let wanted = unsafe { libc::CMSG_LEN(SNDRCV_OCTETS as u32) } as usize;
        assert_eq!(octets.len(), wanted);
        let data = &octets[octets.len() - SNDRCV_OCTETS..];
        assert_eq!(data[..2], 5_u16.to_ne_bytes());
        assert_eq!(data[8..12], [0, 0, 0, 3]);
    }

    #[test]
    fn a_kernel_without_sctp_says_so_and_one_with_it_opens_a_socket() {
        match listen(SocketAddr::from(([127, 0, 0, 1], 0))) {
            Ok(_) => {}
            Err(error) => assert!(is_missing(&error), "{error}"),
        }
    }
}
