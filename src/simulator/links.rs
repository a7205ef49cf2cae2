//! The TCP connections of one host of the simulated network.
//!
//! A connection is a pair of addresses. What travels on it are packets that arrive in order and are
//! never lost ([`super::network::Form`]); a connection as a whole may die at any time, and then both
//! ends hear of it. Bytes of a connection that an end has forgotten are refused by closing it.

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
    by_pair: BTreeMap<(SocketAddr, SocketAddr), ConnectionId>,
    by_id: BTreeMap<ConnectionId, (SocketAddr, SocketAddr)>,
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

    /// Asks for a connection.
    pub fn open(&mut self, id: ConnectionId, remote: SocketAddr) -> Packet {
        let local = SocketAddr::new(self.ip, self.next_port);
        self.next_port = self.next_port.checked_add(1).unwrap_or(EPHEMERAL_FIRST);
        self.add(id, (local, remote));
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

    /// Takes a packet that is no datagram: what it means, and what goes back.
    pub fn receive(&mut self, packet_in: &Packet, listens: bool) -> (Happened, Option<Packet>) {
        let pair = (packet_in.to, packet_in.from);
        let flow = |id| Flow { transport: Transport::Tcp, local: pair.0, remote: pair.1, connection: Some(id) };
        let known = self.by_pair.get(&pair).copied();
        match (packet_in.form, known) {
            (Form::Open, _) if listens => {
                let id = ConnectionId(ConnectionId::ACCEPTED + self.accepted);
                self.accepted += 1;
                self.add(id, pair);
                (Happened::Nothing, Some(packet(Form::Accept, pair, Vec::new())))
            }
            (Form::Accept, Some(id)) => (Happened::Opened(id, flow(id)), None),
            (Form::Bytes, Some(id)) => (Happened::Bytes(flow(id)), None),
            (Form::Close, Some(id)) => {
                self.by_pair.remove(&pair);
                self.by_id.remove(&id);
                (Happened::Closed(id), None)
            }
            (Form::Close | Form::Datagram, _) => (Happened::Nothing, None),
            (Form::Open | Form::Accept | Form::Bytes, _) => {
                (Happened::Nothing, Some(packet(Form::Close, pair, Vec::new())))
            }
        }
    }

    fn add(&mut self, id: ConnectionId, pair: (SocketAddr, SocketAddr)) {
        self.by_pair.insert(pair, id);
        self.by_id.insert(id, pair);
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

    #[test]
    fn a_connection_is_opened_used_and_closed_by_either_side() {
        let (mut ours, mut theirs) = (Links::new(host(1)), Links::new(host(2)));
        let listening = SocketAddr::new(host(2), 5060);
        let syn = ours.open(ConnectionId(1), listening);
        let (happened, accept) = theirs.receive(&syn, true);
        assert_eq!(happened, Happened::Nothing);
        let (happened, _) = ours.receive(&accept.unwrap(), true);
        assert!(matches!(happened, Happened::Opened(ConnectionId(1), flow) if flow.remote == listening));
        let bytes = ours.write(ConnectionId(1), b"x".to_vec()).unwrap();
        let (happened, _) = theirs.receive(&bytes, true);
        let Happened::Bytes(flow) = happened else { panic!("{happened:?}") };
        assert_eq!((flow.local, flow.remote), (listening, syn.from));
        let close = theirs.close(flow.connection.unwrap()).unwrap();
        assert_eq!(ours.receive(&close, true).0, Happened::Closed(ConnectionId(1)));
        assert!(ours.is_empty() && theirs.is_empty());
        assert_eq!(ours.write(ConnectionId(1), Vec::new()), None);
    }

    #[test]
    fn nobody_listening_and_bytes_of_forgotten_connections_are_refused() {
        let (mut ours, mut theirs) = (Links::new(host(1)), Links::new(host(2)));
        let syn = ours.open(ConnectionId(1), SocketAddr::new(host(2), 5070));
        let (_, refusal) = theirs.receive(&syn, false);
        assert_eq!(ours.receive(&refusal.unwrap(), true).0, Happened::Closed(ConnectionId(1)));
        let stale = packet(Form::Bytes, (SocketAddr::new(host(1), 40_009), SocketAddr::new(host(2), 5060)), vec![1]);
        assert_eq!(theirs.receive(&stale, true).1.unwrap().form, Form::Close);
    }
}
