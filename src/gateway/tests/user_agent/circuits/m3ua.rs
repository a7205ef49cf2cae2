//! Two gateways whose circuits are joined by the two ends of M3UA, in virtual time: associations are lost while calls
//! run, another takes over, and all come back.

use super::*;
use crate::isup::m3ua::{self, AssociationId};
use std::collections::BTreeMap;

const GROUP: &str = r#"
[isup.far]
transport = "m3ua"
circuits = "1-30"
own-point-code = "OWN"
peer-point-code = "PEER"
m3ua = { TABLE, routing-context = 7, traffic-mode = "override" }

[[route]]
name = "between the exchanges"
match = "9XX"
from = ["FROM"]
transit = true
to = "TO"
"#;

/// The two gateways, of which the first sets associations up and the second accepts them.
struct Pair {
    sides: [Between; 2],
    ends: [m3ua::Endpoint; 2],
    /// Where each association of the first leads to, and both names of it.
    joined: BTreeMap<AssociationId, (SocketAddr, AssociationId)>,
    dead: Vec<SocketAddr>,
}

fn point(number: usize) -> SocketAddr {
    format!("192.0.2.{}:2905", number + 1).parse().expect("an address")
}

impl Pair {
    fn new() -> Pair {
        let text = |own: &str, peer: &str, table: &str, from: &str, to: &str| {
            let group = GROUP.replace("OWN", own).replace("PEER", peer).replace("TABLE", table);
            let group = group.replace("FROM", from).replace("TO", to);
            format!("{}{group}", super::super::CONFIG.replace("LEFT", "").replace("RIGHT", ""))
        };
        let peers = "peers = [\"192.0.2.1:2905\", \"192.0.2.2:2905\"]";
        let answers = "role = \"sgp\", listen = \"192.0.2.1:2905\", from = \"192.0.2.0/24\"";
        let texts = [
            text("1-1-1", "1-1-2", peers, "trunk/left", "isup/far"),
            text("1-1-2", "1-1-1", answers, "isup/far", "trunk/right"),
        ];
        let end = |text: &String| {
            let config = Config::parse("test.toml", text, &NoReader).expect("a valid configuration");
            let isup = &config.isups[0];
            let m3ua = isup.m3ua.as_ref().expect("the table");
            let settings = m3ua.settings(isup.variant, isup.own_point_code, isup.peer_point_code);
            m3ua::Endpoint::new(settings.expect("point codes that fit"), &Seed::from_number(3))
        };
        Pair {
            ends: [end(&texts[0]), end(&texts[1])],
            sides: texts.map(|text| Between::with(&text)),
            joined: BTreeMap::new(),
            dead: Vec::new(),
        }
    }

    /// Carries what the gateways say to each other until nobody has anything to say.
    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            for side in 0..2 {
                let mut said = Vec::new();
                self.sides[side].outputs.retain(|output| match output {
                    Output::Isup { octets, .. } => {
                        said.push(octets.clone());
                        false
                    }
                    _ => true,
                });
                for octets in said {
                    quiet = false;
                    let mut out = Vec::new();
                    self.ends[side].send(self.sides[side].now, octets, &mut out);
                    self.carry_out(side, out);
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn carry_out(&mut self, side: usize, out: Vec<m3ua::Output>) {
        let now = self.sides[0].now;
        for output in out {
            let mut follows = Vec::new();
            let mut to = 0;
            match output {
                m3ua::Output::Connect { association, peer } if self.dead.contains(&peer) => {
                    self.ends[0].handle_closed(now, association, "connection refused", &mut follows);
                }
                m3ua::Output::Connect { association, peer } => {
                    let there = self.ends[1].handle_accepted(now, peer).expect("room");
                    self.joined.insert(association, (peer, there));
                    self.ends[0].handle_opened(now, association, &mut follows);
                }
                m3ua::Output::Close(association) => drop(self.joined.remove(&association)),
                m3ua::Output::Transmit { association, octets, .. } if side == 0 => {
                    let Some((_, there)) = self.joined.get(&association) else { continue };
                    to = 1;
                    self.ends[1].handle_octets(now, *there, &octets, &mut follows);
                }
                m3ua::Output::Transmit { association, octets, .. } => {
                    let here = self.joined.iter().find(|(_, (_, there))| *there == association).map(|(here, _)| *here);
                    let Some(here) = here else { continue };
                    self.ends[0].handle_octets(now, here, &octets, &mut follows);
                }
                m3ua::Output::Deliver(octets) => {
                    self.sides[side].input(Input::Isup { group: FAR, octets: &octets });
                }
                m3ua::Output::Available(available) => {
                    self.sides[side].input(Input::FarEnd { group: FAR, available });
                }
                m3ua::Output::Notice(_) => {}
            }
            self.carry_out(to, follows);
        }
    }

    fn run(&mut self, time: Duration) {
        let step = Duration::from_millis(50);
        let end = self.sides[0].now + time;
        while self.sides[0].now < end {
            for side in 0..2 {
                if self.ends[side].deadline().is_some_and(|at| at <= self.sides[side].now) {
                    let mut out = Vec::new();
                    self.ends[side].handle_timeout(self.sides[side].now, &mut out);
                    self.carry_out(side, out);
                }
            }
            self.settle();
            self.sides.iter_mut().for_each(|side| side.run(step));
            self.settle();
        }
    }

    /// The way to an address breaks.
    fn cut(&mut self, address: SocketAddr) {
        self.dead.push(address);
        let now = self.sides[0].now;
        let cut: Vec<_> =
            self.joined.iter().filter(|(_, (peer, _))| *peer == address).map(|(a, (_, b))| (*a, *b)).collect();
        for (here, there) in cut {
            self.joined.remove(&here);
            for (side, id) in [(1, there), (0, here)] {
                let mut out = Vec::new();
                self.ends[side].handle_closed(now, id, "cut", &mut out);
                self.carry_out(side, out);
            }
        }
        self.settle();
    }

    /// A call from the left of the first to the right of the second, answered.
    fn call(&mut self, number: &str) -> SessionId {
        let caller = self.sides[0].call_from_left(number);
        self.settle();
        let (callee, _) = self.sides[1].incoming();
        self.sides[1].act(RIGHT, |e, now, out| e.accept(now, callee, body(RIGHT, 1, "0"), out));
        self.settle();
        let heard = self.sides[0].heard(LEFT);
        assert!(heard.last().is_some_and(|last| last == "200 sdp"), "{heard:?}");
        self.sides[1].events[RIGHT].clear();
        caller
    }

    fn calls(&self) -> [usize; 2] {
        [0, 1].map(|side| self.sides[side].gateway.counts().calls)
    }
}

#[test]
fn calls_survive_associations_and_none_is_begun_while_there_is_none() {
    let mut pair = Pair::new();
    pair.sides[0].call_from_left("900");
    pair.settle();
    let heard = pair.sides[0].heard(LEFT);
    assert!(heard.last().is_some_and(|last| last.ends_with("cause 38")), "nobody is there yet: {heard:?}");
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.ends.each_ref().map(m3ua::Endpoint::is_available), [true; 2]);

    let first = pair.call("901");
    pair.cut(point(0));
    let second = pair.call("902");
    assert_eq!(pair.calls(), [2, 2], "the second association took over");
    pair.run(Duration::from_secs(5));
    assert_eq!(pair.calls(), [2, 2]);

    // No way at all: calls that run stay, and none is begun.
    pair.cut(point(1));
    pair.run(Duration::from_secs(3));
    assert_eq!(pair.ends.each_ref().map(m3ua::Endpoint::is_available), [false; 2]);
    pair.sides[0].call_from_left("903");
    pair.settle();
    let heard = pair.sides[0].heard(LEFT);
    assert!(heard.last().is_some_and(|last| last.ends_with("cause 38")), "{heard:?}");
    assert_eq!(pair.calls(), [2, 2]);
    // One of them ends meanwhile; the far end learns of it when there is a way again: T1 says REL once more.
    pair.sides[0].act(LEFT, |e, now, out| e.terminate(now, first, None, out));
    pair.settle();

    pair.dead.clear();
    pair.run(Duration::from_secs(100));
    assert_eq!(pair.ends.each_ref().map(m3ua::Endpoint::is_available), [true; 2]);
    assert_eq!(pair.calls(), [1, 1]);
    let heard = pair.sides[1].heard(RIGHT);
    assert_eq!(heard, ["BYE cause 16"]);
    let third = pair.call("904");
    for session in [second, third] {
        pair.sides[0].act(LEFT, |e, now, out| e.terminate(now, session, None, out));
    }
    pair.run(Duration::from_secs(64));
    assert_eq!(pair.calls(), [0, 0]);
    for side in &pair.sides {
        let circuits = side.gateway.circuit_summaries(None).expect("all groups");
        assert!(circuits.iter().all(|circuit| circuit.state == "idle"), "{circuits:?}");
    }
}
