//! The TCP and TLS connections of one host of the simulated network.
//!
//! A connection is a pair of addresses. What travels on it are packets that arrive in order and are
//! never lost ([`super::network::Form`]); a connection as a whole may die at any time, and then both
//! ends hear of it. Bytes of a connection that an end has forgotten are refused by closing it.
//! TLS is TCP with a handshake ([`Form::Hello`], [`Form::Welcome`]) before the first byte.

use super::network::{Form, Packet, Traffic};
use crate::sip::{ConnectionId, Flow, Transport};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// First port of connections that a host opens.
const EPHEMERAL_FIRST: u16 = 40_000;

/// The connections of a host.
#[derive(Debug)]
pub struct Links {
    ip: IpAddr,
    next_port: u16,
    accepted: u64,
    by_pair: BTreeMap<(SocketAddr, SocketAddr), Link>,
    by_id: BTreeMap<ConnectionId, (SocketAddr, SocketAddr)>,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
struct Link {
    id: ConnectionId,
    transport: Transport,
    /// Bytes may be said: for TLS the handshake is over.
    ready: bool,
}

/// What a packet meant to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Nothing that anybody needs to know.
    Nothing,
    /// A connection of ours is open.
    Opened(ConnectionId, Flow),
    /// Bytes came.
    Bytes(Flow),
    /// A connection is gone, or could not be opened.
    Closed(ConnectionId),
}

impl Links {
    /// A host without connections.
    pub fn new(ip: IpAddr) -> Links {
        Links { ip, next_port: EPHEMERAL_FIRST, accepted: 0, by_pair: BTreeMap::new(), by_id: BTreeMap::new() }
    }

    /// Connections that are open or being opened.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Whether this packet belongs to a connection that is there.
    pub fn knows(&self, packet: &Packet) -> bool {
        self.by_pair.contains_key(&(packet.to, packet.from))
    }

    /// Asks for a connection, by TCP or by TLS.
    pub fn open(&mut self, id: ConnectionId, transport: Transport, remote: SocketAddr) -> Packet {
        let local = SocketAddr::new(self.ip, self.next_port);
        self.next_port = self.next_port.checked_add(1).unwrap_or(EPHEMERAL_FIRST);
        self.add(Link { id, transport, ready: false }, (local, remote));
        packet(Form::Open, (local, remote), Vec::new())
    }

    /// Writes to a connection; `None` when it is gone.
    pub fn write(&self, id: ConnectionId, bytes: Vec<u8>) -> Option<Packet> {
        self.by_id.get(&id).map(|pair| packet(Form::Bytes, *pair, bytes))
    }

    /// Closes a connection.
    pub fn close(&mut self, id: ConnectionId) -> Option<Packet> {
        let pair = self.by_id.remove(&id)?;
        self.by_pair.remove(&pair);
        Some(packet(Form::Close, pair, Vec::new()))
    }

    /// Takes a packet that is no datagram: what it means, and what goes back. `listens` is what the port
    /// is for that it came to.
    pub fn receive(&mut self, packet_in: &Packet, listens: Option<Transport>) -> (Happened, Option<Packet>) {
        let pair = (packet_in.to, packet_in.from);
        let reply = |form| Some(packet(form, pair, Vec::new()));
        let Some(link) = self.by_pair.get(&pair).copied() else {
            return match (packet_in.form, listens) {
                (Form::Open, Some(transport)) => {
                    let id = ConnectionId(ConnectionId::ACCEPTED + self.accepted);
                    self.accepted += 1;
                    self.add(Link { id, transport, ready: transport == Transport::Tcp }, pair);
                    (Happened::Nothing, reply(Form::Accept))
                }
                (Form::Close | Form::Datagram, _) => (Happened::Nothing, None),
                _ => (Happened::Nothing, reply(Form::Close)),
            };
        };
        let Link { id, transport, ready } = link;
        let flow = Flow { transport, local: pair.0, remote: pair.1, connection: Some(id) };
        let is_ours = id.0 < ConnectionId::ACCEPTED;
        match packet_in.form {
            Form::Accept if is_ours && transport == Transport::Tls => (Happened::Nothing, reply(Form::Hello)),
            Form::Accept | Form::Welcome if is_ours && !ready => {
                self.by_pair.insert(pair, Link { ready: true, ..link });
                (Happened::Opened(id, flow), None)
            }
            Form::Hello if !is_ours && transport == Transport::Tls => {
                self.by_pair.insert(pair, Link { ready: true, ..link });
                (Happened::Nothing, reply(Form::Welcome))
            }
            Form::Bytes if ready => (Happened::Bytes(flow), None),
            Form::Close => {
                self.forget(id, pair);
                (Happened::Closed(id), None)
            }
            // One side speaks TLS and the other does not: nothing that is said has a meaning.
            _ => {
                self.forget(id, pair);
                (Happened::Closed(id), reply(Form::Close))
            }
        }
    }

    fn forget(&mut self, id: ConnectionId, pair: (SocketAddr, SocketAddr)) {
        self.by_pair.remove(&pair);
        self.by_id.remove(&id);
    }

    fn add(&mut self, link: Link, pair: (SocketAddr, SocketAddr)) {
        self.by_pair.insert(pair, link);
        self.by_id.insert(link.id, pair);
    }
}

fn packet(form: Form, (from, to): (SocketAddr, SocketAddr), bytes: Vec<u8>) -> Packet {
    Packet { traffic: Traffic::Signalling, form, from, to, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    const TCP: Option<Transport> = Some(Transport::Tcp);
    const TLS: Option<Transport> = Some(Transport::Tls);

    #[test]
    fn a_connection_is_opened_used_and_closed_by_either_side() {
        let (mut ours, mut theirs) = (Links::new(host(1)), Links::new(host(2)));
        let listening = SocketAddr::new(host(2), 5060);
        let syn = ours.open(ConnectionId(1), Transport::Tcp, listening);
        let (happened, accept) = theirs.receive(&syn, TCP);
        assert_eq!(happened, Happened::Nothing);
        let (happened, _) = ours.receive(&accept.unwrap(), TCP);
        assert!(matches!(happened, Happened::Opened(ConnectionId(1), flow) if flow.remote == listening));
        let bytes = ours.write(ConnectionId(1), b"x".to_vec()).unwrap();
        let (happened, _) = theirs.receive(&bytes, TCP);
        let Happened::Bytes(flow) = happened else { panic!("{happened:?}") };
        assert_eq!((flow.local, flow.remote), (listening, syn.from));
        let close = theirs.close(flow.connection.unwrap()).unwrap();
        assert_eq!(ours.receive(&close, TCP).0, Happened::Closed(ConnectionId(1)));
        assert!(ours.is_empty() && theirs.is_empty());
        assert_eq!(ours.write(ConnectionId(1), Vec::new()), None);
    }

    #[test]
    fn tls_opens_after_its_handshake() {
        let (mut ours, mut theirs) = (Links::new(host(1)), Links::new(host(2)));
        let syn = ours.open(ConnectionId(1), Transport::Tls, SocketAddr::new(host(2), 5061));
        let (_, accept) = theirs.receive(&syn, TLS);
        let (happened, hello) = ours.receive(&accept.unwrap(), None);
        assert_eq!((happened, hello.as_ref().unwrap().form), (Happened::Nothing, Form::Hello));
        let (happened, welcome) = theirs.receive(&hello.unwrap(), TLS);
        assert_eq!((happened, welcome.as_ref().unwrap().form), (Happened::Nothing, Form::Welcome));
        let (happened, _) = ours.receive(&welcome.unwrap(), None);
        assert!(matches!(happened, Happened::Opened(ConnectionId(1), flow) if flow.transport == Transport::Tls));
        let bytes = ours.write(ConnectionId(1), b"x".to_vec()).unwrap();
        let (happened, _) = theirs.receive(&bytes, TLS);
        assert!(matches!(happened, Happened::Bytes(flow) if flow.transport == Transport::Tls));
    }

    #[test]
    fn tls_and_plain_tcp_do_not_understand_each_other() {
        for (by, listens) in [(Transport::Tls, TCP), (Transport::Tcp, TLS)] {
            let (mut ours, mut theirs) = (Links::new(host(1)), Links::new(host(2)));
            let syn = ours.open(ConnectionId(1), by, SocketAddr::new(host(2), 5061));
            let accept = theirs.receive(&syn, listens).1.unwrap();
            let hello = ours.receive(&accept, None).1;
            let first = hello.or_else(|| ours.write(ConnectionId(1), b"x".to_vec())).unwrap();
            let (happened, close) = theirs.receive(&first, listens);
            assert!(matches!(happened, Happened::Closed(_)), "{happened:?}");
            assert_eq!(ours.receive(&close.unwrap(), None).0, Happened::Closed(ConnectionId(1)));
            assert!(ours.is_empty() && theirs.is_empty());
        }
    }

    #[test]
    fn nobody_listening_and_bytes_of_forgotten_connections_are_refused() {
        let (mut ours, mut theirs) = (Links::new(host(1)), Links::new(host(2)));
        let syn = ours.open(ConnectionId(1), Transport::Tcp, SocketAddr::new(host(2), 5070));
        let (_, refusal) = theirs.receive(&syn, None);
        assert_eq!(ours.receive(&refusal.unwrap(), TCP).0, Happened::Closed(ConnectionId(1)));
        let stale = packet(Form::Bytes, (SocketAddr::new(host(1), 40_009), SocketAddr::new(host(2), 5060)), vec![1]);
        assert_eq!(theirs.receive(&stale, TCP).1.unwrap().form, Form::Close);
    }
}
