//! A SIP caller that writes and reads its messages as text, and knows nothing of the gateway.

use std::net::{IpAddr, SocketAddr};
use tipring::config::Config;
use tipring::simulator::network::{Form, Packet, Traffic};
use tipring::simulator::world::{World, WorldSettings};
use tipring::time::{Duration, Instant};

/// Where callers live.
const HOME: [u8; 4] = [127, 0, 9, 1];

/// A world with one host that calls.
pub struct Caller {
    pub world: World,
    from: SocketAddr,
    calls: u32,
}

/// What a call has met, in order.
#[derive(Debug, Default)]
pub struct Story {
    /// When, after the INVITE, and what: `100`, `180`, `200`, `BYE`, and the Reason field of it.
    pub lines: Vec<Line>,
    /// Samples that came, decoded, with their times.
    pub heard: Vec<(Duration, Vec<i16>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub after: Duration,
    pub what: String,
    pub reason: Option<String>,
    /// Whether it has a session description.
    pub sdp: bool,
}

impl Story {
    /// `180 200 BYE`, without 100 and repetitions.
    pub fn order(&self) -> String {
        let mut words: Vec<&str> = self.lines.iter().map(|l| l.what.as_str()).filter(|w| *w != "100").collect();
        words.dedup();
        words.join(" ")
    }

    /// The first line of this kind.
    #[track_caller]
    pub fn line(&self, what: &str) -> &Line {
        self.lines.iter().find(|line| line.what == what).unwrap_or_else(|| panic!("no {what} in {:?}", self.lines))
    }

    /// What was heard in this time after the INVITE.
    pub fn sound(&self, from: Duration, until: Duration) -> Vec<i16> {
        let inside = self.heard.iter().filter(|(at, _)| (from..until).contains(at));
        inside.flat_map(|(_, samples)| samples.clone()).collect()
    }
}

impl Caller {
    pub fn new(config: Config, seed: u64) -> Caller {
        let mut world = World::new(WorldSettings::new(config, seed));
        world.add_host(IpAddr::from(HOME));
        Caller { world, from: (HOME, 5_060).into(), calls: 0 }
    }

    /// Calls a number and watches for this time; answers nothing but what must be answered.
    pub fn call(&mut self, number: &str, time: Duration) -> Story {
        self.call_and(number, time, None)
    }

    /// As [`Caller::call`]; `hangs_up` so long after the answer.
    pub fn call_and(&mut self, number: &str, time: Duration, hangs_up: Option<Duration>) -> Story {
        self.calls += 1;
        let call = format!("call-{}", self.calls);
        let began = self.world.now();
        let (gateway, from) = (self.world.gateway_address(), self.from);
        let port = 6_000 + 2 * (self.calls % 1_000) as u16;
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n",
            ip = from.ip(),
        );
        let head = |method: &str, cseq: &str, branch: &str, to_tag: &str| {
            format!(
                "{method} sip:{number}@{gateway} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK-{call}-{branch}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:tester@{from}>;tag=t-{call}\r\nTo: <sip:{number}@{gateway}>{to_tag}\r\n\
                 Call-ID: {call}\r\nCSeq: {cseq}\r\nContact: <sip:tester@{from}>\r\n"
            )
        };
        let invite = format!(
            "{}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            head("INVITE", "1 INVITE", "invite", ""),
            sdp.len()
        );
        self.send(&invite);
        let mut story = Story::default();
        let mut bye_at: Option<(Instant, String)> = None;
        let until = began + time;
        while self.world.now() < until {
            self.world.run_for(Duration::from_millis(10));
            while let Some((at, packet)) = self.world.take_packet(from.ip()) {
                if packet.traffic == Traffic::Media {
                    if packet.to.port() == port && packet.bytes.len() > 12 {
                        let mut samples = vec![0; packet.bytes.len() - 12];
                        g7xx::g711::decode(g7xx::g711::Law::Mu, &packet.bytes[12..], &mut samples);
                        story.heard.push((at.since(began), samples));
                    }
                    continue;
                }
                let text = String::from_utf8_lossy(&packet.bytes).into_owned();
                if field(&text, "Call-ID") != Some(call.as_str()) {
                    self.answer_stranger(&text, packet.from);
                    continue;
                }
                let cseq = field(&text, "CSeq").unwrap_or("").to_owned();
                let what = match text.strip_prefix("SIP/2.0 ") {
                    Some(status) => status[..3].to_owned(),
                    None => text.split(' ').next().unwrap_or("").to_owned(),
                };
                let to_tag = field(&text, "To").and_then(|to| to.find(";tag").map(|at| to[at..].to_owned()));
                if what.starts_with(|c: char| c.is_ascii_digit()) {
                    if !cseq.ends_with("INVITE") {
                        continue;
                    }
                    let tag = to_tag.unwrap_or_default();
                    if what.as_str() >= "300" {
                        self.send(&format!("{}Content-Length: 0\r\n\r\n", head("ACK", "1 ACK", "invite", &tag)));
                    } else if what.as_str() >= "200" {
                        self.send(&format!("{}Content-Length: 0\r\n\r\n", head("ACK", "1 ACK", "ack", &tag)));
                        if let Some(after) = hangs_up.filter(|_| bye_at.is_none()) {
                            bye_at = Some((at + after, tag));
                        }
                    }
                } else {
                    self.accept(&text, packet.from);
                }
                let reason = field(&text, "Reason").map(str::to_owned);
                let sdp = text.contains("application/sdp");
                story.lines.push(Line { after: at.since(began), what, reason, sdp });
            }
            if let Some((_, tag)) = bye_at.take_if(|(at, _)| *at <= self.world.now()) {
                self.send(&format!("{}Content-Length: 0\r\n\r\n", head("BYE", "2 BYE", "bye", &tag)));
                story.lines.push(Line {
                    after: self.world.now().since(began),
                    what: "our BYE".to_owned(),
                    reason: None,
                    sdp: false,
                });
                // Only once.
                return self.finish(story, until);
            }
        }
        story
    }

    fn finish(&mut self, story: Story, until: Instant) -> Story {
        self.world.run_until(until);
        while self.world.take_packet(self.from.ip()).is_some() {}
        story
    }

    /// A call of the far end, or the like: this host is nobody's telephone.
    fn answer_stranger(&mut self, text: &str, to: SocketAddr) {
        if text.starts_with("BYE") {
            self.accept(text, to);
        }
    }

    fn accept(&mut self, request: &str, to: SocketAddr) {
        let mut response = String::from("SIP/2.0 200 OK\r\n");
        for line in request.lines().take_while(|line| !line.is_empty()) {
            if ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)) {
                response.push_str(line);
                response.push_str("\r\n");
            }
        }
        response.push_str("Content-Length: 0\r\n\r\n");
        self.send_to(&response, to);
    }

    fn send(&mut self, text: &str) {
        let gateway = self.world.gateway_address();
        self.send_to(text, gateway);
    }

    fn send_to(&mut self, text: &str, to: SocketAddr) {
        let (traffic, form, bytes) = (Traffic::Signalling, Form::Datagram, text.as_bytes().to_vec());
        self.world.send_packet(Packet { traffic, form, from: self.from, to, bytes });
    }

    /// Fails when a circuit of the switch, or anything in the gateway, is left over.
    #[track_caller]
    pub fn check_quiet(&mut self) {
        self.world.run_for(Duration::from_secs(310));
        let problems = self.world.checkers().after_quiet(&self.world.gateway().counts());
        assert!(problems.is_empty(), "{problems:#?}");
        let far_end = self.world.far_ends().switch(tipring::ids::GroupId(0)).expect("a simulated switch");
        assert_eq!(far_end.busy(), [], "circuits that are not idle");
    }
}

fn field<'t>(message: &'t str, name: &str) -> Option<&'t str> {
    let head = message.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
