//! Calls through the control core, and an hour of one call in virtual time.
//!
//! `cargo bench --bench calls`. Figures and the command that made them stand in `benches/README.md`.

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;
use tipring::config::Config;
use tipring::gateway::{Gateway, Input, Outbox, Output};
use tipring::rng::Seed;
use tipring::simulator::peers::Habits;
use tipring::simulator::phone_audio::describe;
use tipring::simulator::player::phone_settings;
use tipring::simulator::world::{World, WorldSettings};
use tipring::sip::{Flow, Transport};
use tipring::time::Instant;

/// A caller that is nothing but text: what it sends costs nothing in the measurement.
struct Caller {
    gateway: Gateway,
    out: Outbox,
    now: Instant,
    flow: Flow,
    calls: u64,
}

impl Caller {
    fn new() -> Self {
        let config = Config::demo();
        let flow = Flow {
            transport: Transport::Udp,
            local: config.sip.listen.first().expect("a listener").address,
            remote: ([127, 0, 0, 2], 5_070).into(),
            connection: None,
        };
        let gateway = Gateway::new(config, Seed::from_number(1), Instant::ZERO);
        Caller { gateway, out: Outbox::default(), now: Instant::ZERO, flow, calls: 0 }
    }

    /// Hands a request over; the text of the last response that came back.
    fn send(&mut self, text: &str) -> Option<String> {
        self.now += Duration::from_millis(1);
        let input = Input::Datagram { flow: self.flow, bytes: text.as_bytes() };
        self.gateway.handle(self.now, input, &mut self.out);
        self.collect()
    }

    fn collect(&mut self) -> Option<String> {
        let mut last = None;
        let mut streams = Vec::new();
        for output in self.out.drain() {
            match output {
                Output::Datagram { bytes, .. } => last = String::from_utf8(bytes).ok(),
                Output::Media(worker, tipring::media::MediaCommand::Start(stream)) => streams.push((worker, stream)),
                other => drop(black_box(other)),
            }
        }
        // The worker is not part of this: each stream ends at once and comes back as if stopped.
        for (worker, stream) in streams {
            let event = tipring::media::MediaEvent::Stopped(stream);
            self.gateway.handle(self.now, Input::Media(worker, event), &mut self.out);
            self.out.drain().for_each(|output| drop(black_box(output)));
        }
        last
    }

    /// INVITE, ACK, BYE to the echo service, and the timers that follow.
    fn call(&mut self) {
        self.calls += 1;
        let (remote, local, n) = (self.flow.remote, self.flow.local, self.calls);
        let request = |method: &str, cseq: u32, to_tag: &str, body: &str| {
            format!(
                "{method} sip:600@{local} SIP/2.0\r\nVia: SIP/2.0/UDP {remote};branch=z9hG4bK{n}x{cseq}{method};rport\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:bench@{remote}>;tag=f{n}\r\nTo: <sip:600@{local}>{to_tag}\r\n\
                 Call-ID: {n}@bench\r\nCSeq: {cseq} {method}\r\nContact: <sip:bench@{remote}>\r\n{}Content-Length: {}\r\n\r\n{body}",
                if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" },
                body.len()
            )
        };
        let offer = describe(([127, 0, 0, 2], 30_000).into(), 1, &[g7xx::g711::Law::Mu], Some(101));
        let offer = String::from_utf8(offer).expect("text");
        let answer = self.send(&request("INVITE", 1, "", &offer)).expect("a response");
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        let to = answer.lines().find(|line| line.starts_with("To:")).expect("a To field");
        let tag = format!(";tag={}", to.split(";tag=").nth(1).expect("a tag"));
        self.send(&request("ACK", 1, &tag, ""));
        let end = self.send(&request("BYE", 2, &tag, "")).expect("a response");
        assert!(end.starts_with("SIP/2.0 200 "), "{end}");
        while let Some(deadline) = self.gateway.deadline().filter(|at| *at <= self.now) {
            self.now = self.now.max(deadline);
            self.gateway.handle(self.now, Input::Tick, &mut self.out);
            self.collect();
        }
    }
}

fn call_set_up_and_tear_down(c: &mut Criterion) {
    let mut caller = Caller::new();
    c.bench_function("call set-up and tear-down", |b| b.iter(|| caller.call()));
}

/// A SIP phone and an analog phone talk both ways; crystals 80 ppm apart, every block and packet real.
fn call_for(time: Duration) -> World {
    let config = Config::demo();
    let mut settings = WorldSettings::new(config.clone(), 1);
    settings.crystals.extend(config.cards.first().map(|card| (card.name.clone(), 80)));
    let mut world = World::new(settings);
    let mut phone = phone_settings(&config, "bench", ([127, 0, 0, 2], 5_060).into(), None);
    phone.habits = Habits { speaks: true, ..Habits::default() };
    let phone = world.add_phone(phone);
    world.at_phone(phone, |phone, now, sent| phone.call(now, "101", sent));
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.phone(phone).call_count(), 1);
    world.run_for(time);
    assert!(world.phone(phone).received().packets > 0);
    world
}

fn hour_of_one_call(c: &mut Criterion) {
    let mut group = c.benchmark_group("simulated hour");
    group.sample_size(10).measurement_time(Duration::from_secs(40));
    group.bench_function("one call", |b| b.iter(|| call_for(Duration::from_secs(3_600)).events()));
    group.finish();
}

criterion_group!(benches, call_set_up_and_tear_down, hour_of_one_call);
criterion_main!(benches);
