use super::super::{Sine, StreamConfig, StreamSettings, TONE_STEPS, Tone, dtmf_hertz, level_dbm0};
use super::*;
use crate::rtp::Header;
use crate::rtp::telephone_event::Payload;
use crate::time::Duration;
use std::net::SocketAddr;
use tipring_hal::Digit;

/// A worker with the shell's part of the work, in blocks of 10 ms.
struct Bench {
    worker: Worker,
    out: MediaOut,
    batch: PacketBatch,
    now: Instant,
    input: Block,
    output: Block,
    /// Everything that was sent, with the stream that sent it and where to.
    sent: Vec<(StreamId, SocketAddr, Vec<u8>)>,
    events: Vec<MediaEvent>,
}

fn id(n: u64) -> StreamId {
    StreamId::from_bits(n)
}

fn far(n: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 4_000 + n as u16))
}

fn settings(n: u64, law: Law) -> StreamSettings {
    StreamSettings {
        remote: Some(far(n)),
        law,
        payload_type: if law == Law::Mu { 0 } else { 8 },
        event_payload_type: Some(100 + n as u8),
        packet_samples: 160,
        sends: true,
        receives: true,
    }
}

fn config(n: u64, law: Law, service: Option<Service>) -> StreamConfig {
    StreamConfig {
        id: id(n),
        local: SocketAddr::from(([10, 0, 0, 2], 20_000 + 2 * n as u16)),
        settings: settings(n, law),
        ssrc: 0x1000 + n as u32,
        first_sequence: 65_530,
        first_timestamp: 0xFFFF_FF00,
        jitter: JitterBounds::default(),
        service,
    }
}

impl Bench {
    fn new(ports: u16) -> Self {
        let layout = WorkerLayout { ports, block_samples: 80, streams_max: 8 };
        Bench {
            worker: Worker::new(layout, Instant::ZERO),
            out: MediaOut::new(&layout),
            batch: PacketBatch::new(),
            now: Instant::from_millis(1_000),
            input: Block::new(ports, 80),
            output: Block::new(ports, 80),
            sent: Vec::new(),
            events: Vec::new(),
        }
    }

    fn drain(&mut self) {
        let packets = self.batch.forwards().chain(self.out.packets());
        self.sent.extend(packets.map(|p| (p.stream, p.to, p.bytes.to_vec())));
        self.batch.clear();
        self.out.clear_packets();
        self.events.extend(self.out.events());
    }

    fn command(&mut self, command: MediaCommand) {
        self.worker.command(self.now, command, &mut self.out);
        self.drain();
    }

    fn start(&mut self, n: u64, law: Law) {
        self.command(MediaCommand::Start(Box::new(Stream::new(config(n, law, None)))));
    }

    fn receive_from(&mut self, n: u64, source: SocketAddr, bytes: &[u8]) {
        assert!(self.batch.push(id(n), source, self.now, bytes));
        self.worker.receive(self.now, &mut self.batch, &mut self.out);
        self.drain();
    }

    fn receive(&mut self, n: u64, header: Header, payload: &[u8]) {
        self.receive_from(n, far(n), &packet(header, payload));
    }

    fn tick(&mut self) {
        self.now += Duration::from_millis(10);
        self.worker.tick(self.now, &self.input, &mut self.output, &mut self.out);
        self.drain();
    }

    fn sent_headers(&mut self) -> Vec<(Header, Vec<u8>)> {
        self.sent
            .drain(..)
            .map(|(_, _, bytes)| {
                let (header, payload) = Header::parse(&bytes).unwrap();
                (header, bytes[payload].to_vec())
            })
            .collect()
    }

    fn statistics(&self, n: u64) -> super::super::Statistics {
        self.worker.stream(id(n)).unwrap().statistics()
    }
}

fn packet(header: Header, payload: &[u8]) -> Vec<u8> {
    [&header.to_bytes()[..], payload].concat()
}

fn header(payload_type: u8, n: u16, ssrc: u32) -> Header {
    Header { marker: false, payload_type, sequence: n, timestamp: u32::from(n) * 160, ssrc }
}

fn relay() -> Bench {
    let mut bench = Bench::new(0);
    bench.start(1, Law::Mu);
    bench.start(2, Law::A);
    bench.command(MediaCommand::Join(End::Stream(id(1)), End::Stream(id(2))));
    bench
}

#[test]
fn a_relayed_packet_leaves_at_once_as_ours_in_the_other_law() {
    let mut bench = relay();
    let mut coded: Vec<u8> = (0..160).map(|n| n as u8).collect();
    bench.receive(1, header(0, 7, 0xAAAA), &coded);
    let (stream, to, bytes) = bench.sent.pop().unwrap();
    assert_eq!((stream, to), (id(2), far(2)));
    let (sent, payload) = Header::parse(&bytes).unwrap();
    let expected = Header { marker: true, payload_type: 8, sequence: 65_530, timestamp: 0xFFFF_FF00, ssrc: 0x1002 };
    assert_eq!(sent, expected);
    g711::transcode(Law::Mu, Law::A, &mut coded);
    assert_eq!(bytes[payload], coded);
}

#[test]
fn header_extensions_are_not_passed_on() {
    let mut bench = relay();
    let mut bytes = header(0, 7, 0xAAAA).to_bytes().to_vec();
    bytes[0] = 0x91; // one contributing source, an extension
    bytes.extend([1, 1, 1, 1, 0xBE, 0xDE, 0, 1, 2, 2, 2, 2]);
    bytes.extend([0xFF; 80]);
    bench.receive_from(1, far(1), &bytes);
    assert_eq!(bench.sent_headers()[0].1, [0xD5; 80]);
}

#[test]
fn loss_order_and_steps_of_time_pass_through_and_duplicates_do_not() {
    let mut bench = relay();
    for n in [10, 11, 14, 13, 14, 15] {
        bench.receive(1, header(0, n, 0xAAAA), &[0; 160]);
    }
    let sent = bench.sent_headers();
    let steps: Vec<(u16, u32)> =
        sent.iter().map(|(h, _)| (h.sequence.wrapping_sub(65_530), h.timestamp.wrapping_sub(0xFFFF_FF00))).collect();
    assert_eq!(steps, [(0, 0), (1, 160), (4, 640), (3, 480), (5, 800)]);
    let statistics = bench.statistics(1);
    assert_eq!((statistics.received, statistics.lost), (5, 1));
    assert_eq!((statistics.duplicate, statistics.reordered), (1, 1));
    assert_eq!(bench.statistics(2).sent, 5);
}

#[test]
fn a_new_source_goes_on_where_the_old_one_ended() {
    let mut bench = relay();
    for n in 0..5 {
        bench.receive(1, header(0, n, 0xAAAA), &[0; 160]);
        bench.now += Duration::from_millis(20);
    }
    // A stray packet of another source is not heard while the first one speaks; two in a row are.
    bench.receive(1, header(0, 900, 0xBBBB), &[0; 160]);
    bench.receive(1, header(0, 5, 0xAAAA), &[0; 160]);
    bench.receive(1, header(0, 901, 0xBBBB), &[0; 160]);
    bench.receive(1, header(0, 899, 0xBBBB), &[0; 160]);
    let sent = bench.sent_headers();
    assert_eq!(sent.len(), 7);
    let last = sent[6].0;
    assert_eq!(last.sequence, sent[5].0.sequence.wrapping_add(1));
    assert_eq!(last.timestamp, sent[5].0.timestamp.wrapping_add(160));
    assert!(last.marker && !sent[5].0.marker);
    assert_eq!((bench.statistics(1).wrong_ssrc, bench.statistics(1).ssrc_changes), (1, 1));
    // After a pause the new source is believed at once, and the timestamps contain the pause.
    bench.now += Duration::from_millis(500);
    bench.receive(1, header(0, 77, 0xCCCC), &[0; 160]);
    let after = bench.sent_headers()[0].0;
    assert_eq!(after.sequence, last.sequence.wrapping_add(1));
    assert_eq!(after.timestamp, last.timestamp.wrapping_add(4_000));
}

#[test]
fn another_far_end_joined_later_is_the_same_stream_to_the_listener() {
    let mut bench = relay();
    bench.start(3, Law::A);
    bench.receive(1, header(0, 500, 0xAAAA), &[0; 160]);
    bench.now += Duration::from_millis(60);
    bench.command(MediaCommand::Join(End::Stream(id(3)), End::Stream(id(2))));
    bench.receive(1, header(0, 501, 0xAAAA), &[0; 160]);
    bench.receive(3, header(8, 9, 0xAAAA), &[0; 160]);
    let sent = bench.sent_headers();
    assert_eq!(sent.len(), 2, "stream 1 is heard by nobody now");
    assert_eq!(sent[1].0.sequence, sent[0].0.sequence.wrapping_add(1));
    assert_eq!(sent[1].0.timestamp, sent[0].0.timestamp.wrapping_add(480));
    assert_eq!(sent[1].0.ssrc, 0x1002);
}

#[test]
fn a_hold_is_no_gap_in_the_sequence() {
    let mut bench = relay();
    bench.receive(1, header(0, 1, 0xAAAA), &[0; 160]);
    let held = StreamSettings { sends: false, ..settings(2, Law::A) };
    bench.command(MediaCommand::Update(id(2), held));
    bench.now += Duration::from_millis(100);
    bench.receive(1, header(0, 2, 0xAAAA), &[0; 160]);
    bench.command(MediaCommand::Update(id(2), settings(2, Law::A)));
    bench.receive(1, header(0, 6, 0xAAAA), &[0; 160]);
    let sent = bench.sent_headers();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[1].0.sequence, sent[0].0.sequence.wrapping_add(1));
    assert_eq!(sent[1].0.timestamp, sent[0].0.timestamp.wrapping_add(800));
}

#[test]
fn only_the_signalled_address_and_payload_types_are_heard() {
    let mut bench = relay();
    let good = packet(header(0, 1, 0xAAAA), &[0; 160]);
    bench.receive_from(1, far(9), &good);
    bench.receive_from(1, SocketAddr::from(([10, 0, 0, 9], far(1).port())), &good);
    bench.receive_from(1, far(1), &packet(header(3, 1, 0xAAAA), &[0; 33]));
    bench.receive_from(1, far(1), &good[..11]);
    bench.receive_from(1, far(1), &[]);
    bench.receive_from(7, far(7), &good);
    assert!(bench.sent.is_empty());
    let statistics = bench.statistics(1);
    assert_eq!((statistics.wrong_source, statistics.wrong_payload, statistics.malformed), (2, 1, 2));
    assert_eq!((statistics.received, bench.worker.counters().unknown_stream), (0, 1));
}

#[test]
fn a_peer_on_this_machine_may_signal_another_address_of_it() {
    let mut bench = Bench::new(0);
    let mut echo = config(1, Law::Mu, Some(Service::Echo));
    echo.local = SocketAddr::from(([127, 0, 0, 1], 20_002));
    bench.command(MediaCommand::Start(Box::new(Stream::new(echo))));
    let (port, good) = (far(1).port(), packet(header(0, 1, 0xAAAA), &[0; 160]));
    bench.receive_from(1, SocketAddr::from(([127, 0, 0, 1], port + 2)), &good);
    bench.receive_from(1, SocketAddr::from(([10, 0, 0, 9], port)), &good);
    assert!(bench.sent.is_empty());
    bench.receive_from(1, SocketAddr::from(([127, 0, 0, 1], port)), &good);
    assert_eq!(bench.sent.len(), 1);
    assert_eq!(bench.sent[0].1, far(1), "and is answered where it asked for");
}

#[test]
fn events_are_relayed_under_the_other_payload_type_and_reported_once() {
    let mut bench = relay();
    for (n, duration, end) in [(1, 160, false), (2, 320, false), (3, 480, true), (4, 480, true), (5, 480, true)] {
        let event = Payload { event: 7, end, volume: 10, duration };
        let header = Header { timestamp: 5_000, marker: n == 1, ..header(101, n, 0xAAAA) };
        bench.receive(1, header, &event.to_bytes());
    }
    let sent = bench.sent_headers();
    assert!(sent.iter().all(|(h, _)| h.payload_type == 102 && h.timestamp == 0xFFFF_FF00));
    assert_eq!(sent.iter().filter(|(h, _)| h.marker).count(), 1);
    assert_eq!(sent.len(), 5);
    let digits: Vec<&MediaEvent> = bench.events.iter().collect();
    let [MediaEvent::Digit { end: End::Stream(stream), digit, .. }] = digits[..] else { panic!("{digits:?}") };
    assert_eq!((*stream, digit.as_char()), (id(1), '7'));
    // A far end without telephone-event sees neither the event nor a gap.
    bench.command(MediaCommand::Update(id(2), StreamSettings { event_payload_type: None, ..settings(2, Law::A) }));
    bench.receive(1, header(0, 6, 0xAAAA), &[0; 160]);
    bench.receive(1, header(101, 7, 0xAAAA), &[1, 10, 0, 160]);
    bench.receive(1, header(0, 8, 0xAAAA), &[0; 160]);
    let sent = bench.sent_headers();
    assert_eq!((sent.len(), sent[1].0.sequence), (2, sent[0].0.sequence.wrapping_add(1)));
}

#[test]
fn the_echo_service_sends_every_packet_back_as_ours() {
    let mut bench = Bench::new(0);
    bench.command(MediaCommand::Start(Box::new(Stream::new(config(1, Law::Mu, Some(Service::Echo))))));
    let payload: Vec<u8> = (0..240).map(|n| n as u8).collect();
    for n in 0..3 {
        bench.receive(1, header(0, n, 0xAAAA), &payload);
    }
    assert!(bench.sent.iter().all(|(stream, to, _)| (*stream, *to) == (id(1), far(1))));
    let sent = bench.sent_headers();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|(h, p)| h.ssrc == 0x1001 && *p == payload));
}

#[test]
fn a_tone_takes_the_place_of_the_peer_until_it_ends() {
    let mut bench = Bench::new(0);
    for n in [1, 2] {
        bench.command(MediaCommand::Start(Box::new(Stream::new(config(n, Law::Mu, None)))));
    }
    bench.command(MediaCommand::Join(End::Stream(id(1)), End::Stream(id(2))));
    let tone = crate::media::Tone {
        hertz: [1000, 0, 0, 0],
        level_centi_dbm0: -1000,
        cadence_ms: [100, 100, 0, 0, 0, 0, 0, 0],
    };
    assert!(!bench.worker.needs_ticks());
    bench.command(MediaCommand::PlayToStream(id(1), Some(tone)));
    bench.command(MediaCommand::PlayToStream(id(1), Some(tone)));
    assert!(bench.worker.needs_ticks());
    (0..40).for_each(|_| bench.tick());
    let sent = bench.sent_headers();
    assert_eq!(sent.len(), 20, "400 ms, once, to one of them");
    let loud = |payload: &Vec<u8>| {
        let mut samples = [0; 160];
        g711::decode(Law::Mu, payload, &mut samples);
        level_dbm0(&samples) > -12.0
    };
    let heard: Vec<bool> = sent.iter().map(|(_, payload)| loud(payload)).collect();
    let expected: Vec<bool> = (0..20).map(|n| n / 5 % 2 == 0).collect();
    assert_eq!(heard, expected, "100 ms of sound, 100 ms of silence");
    bench.command(MediaCommand::PlayToStream(id(1), None));
    assert!(!bench.worker.needs_ticks());
    (0..10).for_each(|_| bench.tick());
    assert_eq!(bench.sent_headers().len(), 0);
}

#[test]
fn the_milliwatt_is_1004_hz_at_0_dbm0_with_even_packets() {
    for law in [Law::Mu, Law::A] {
        let mut bench = Bench::new(0);
        bench.command(MediaCommand::Start(Box::new(Stream::new(config(1, law, Some(Service::Milliwatt))))));
        assert!(bench.worker.needs_ticks());
        (0..200).for_each(|_| bench.tick());
        let sent = bench.sent_headers();
        assert_eq!(sent.len(), 100, "2 s");
        let mut linear = Vec::new();
        for (n, (header, payload)) in sent.iter().enumerate() {
            assert_eq!(header.sequence, 65_530u16.wrapping_add(n as u16));
            assert_eq!(header.timestamp, 0xFFFF_FF00u32.wrapping_add(n as u32 * 160));
            let mut samples = [0; 160];
            g711::decode(law, payload, &mut samples);
            linear.extend(samples);
        }
        let own_scale = 20.0 * (f64::from(peak_0_dbm0(law)) / f64::from(super::super::PEAK_0_DBM0)).log10();
        let level = level_dbm0(&linear) - own_scale;
        assert!(level.abs() < 0.02, "{law:?}: {level}");
        let rises = linear.windows(2).filter(|w| w[0] < 0 && w[1] >= 0).count();
        assert!((2_007..=2_008).contains(&rises), "{rises} periods in 2 s");
        bench.command(MediaCommand::Stop(id(1)));
        assert!(!bench.worker.needs_ticks());
    }
}

#[test]
fn a_late_tick_catches_up_a_little_and_not_for_ever() {
    let mut bench = Bench::new(0);
    bench.command(MediaCommand::Start(Box::new(Stream::new(config(1, Law::Mu, Some(Service::Milliwatt))))));
    bench.tick();
    bench.now += Duration::from_millis(50);
    bench.tick();
    assert_eq!(bench.sent_headers().len(), 4);
    bench.now += Duration::from_secs(10);
    bench.tick();
    assert_eq!(bench.sent_headers().len(), 1);
}

#[test]
fn a_stopped_stream_comes_back_with_its_statistics_and_a_second_start_does_too() {
    let mut bench = relay();
    bench.receive(1, header(0, 1, 0xAAAA), &[0; 160]);
    bench.start(1, Law::A);
    bench.command(MediaCommand::Stop(id(1)));
    assert_eq!(bench.worker.stream_count(), 1);
    let stopped: Vec<u64> = bench
        .events
        .iter()
        .filter_map(|e| if let MediaEvent::Stopped(s) = e { Some(s.statistics().received) } else { None })
        .collect();
    assert_eq!(stopped, [0, 1]);
    // Its id is stale now, and the one that it was joined to is alone.
    bench.command(MediaCommand::Join(End::Stream(id(1)), End::Stream(id(2))));
    bench.command(MediaCommand::Stop(StreamId::from_bits(1 << 32 | 2)));
    assert_eq!((bench.worker.counters().refused_commands, bench.worker.stream_count()), (3, 1));
    bench.receive(2, header(8, 1, 0xAAAA), &[0; 160]);
    assert_eq!(bench.sent_headers().len(), 1, "only what stream 1 said before");
}

#[test]
fn two_ports_hear_each_other_until_they_part() {
    let mut bench = Bench::new(3);
    let ends = [0, 1].map(|n| End::Port(PortIndex(n)));
    bench.command(MediaCommand::Join(ends[0], ends[1]));
    bench.input.port_mut(PortIndex(0)).fill(111);
    bench.input.port_mut(PortIndex(1)).fill(222);
    bench.input.port_mut(PortIndex(2)).fill(333);
    bench.tick();
    assert_eq!([0, 1, 2].map(|n| bench.output.port(PortIndex(n))[79]), [222, 111, 0]);
    bench.command(MediaCommand::Part(ends[1]));
    bench.tick();
    assert_eq!([0, 1].map(|n| bench.output.port(PortIndex(n))[0]), [0, 0]);
}

#[test]
fn a_port_joined_to_itself_hears_itself_until_it_parts() {
    let mut bench = Bench::new(1);
    let end = End::Port(PortIndex(0));
    bench.command(MediaCommand::Join(end, end));
    bench.input.port_mut(PortIndex(0)).fill(1234);
    bench.tick();
    assert_eq!(bench.output.port(PortIndex(0)), [1234; 80]);
    bench.command(MediaCommand::Part(end));
    bench.tick();
    assert_eq!(bench.output.port(PortIndex(0)), [0; 80]);
    assert_eq!(bench.worker.counters().refused_commands, 0);
}

#[test]
fn a_tone_is_heard_instead_of_what_is_joined() {
    let mut bench = Bench::new(2);
    let ends = [0, 1].map(|n| End::Port(PortIndex(n)));
    bench.command(MediaCommand::Join(ends[0], ends[1]));
    bench.input.port_mut(PortIndex(1)).fill(222);
    let tone = Tone { hertz: [440, 0, 0, 0], level_centi_dbm0: -1_000, cadence_ms: [0; TONE_STEPS] };
    bench.command(MediaCommand::PlayTone(PortIndex(0), tone));
    let mut heard = Vec::new();
    for _ in 0..10 {
        bench.tick();
        heard.extend_from_slice(bench.output.port(PortIndex(0)));
    }
    assert!((level_dbm0(&heard) + 10.0).abs() < 0.1);
    bench.command(MediaCommand::StopTone(PortIndex(0)));
    bench.tick();
    assert_eq!(bench.output.port(PortIndex(0)), [222; 80]);
}

/// Presses `digit` on port 0 for `ticks`, then releases it for 20.
fn press(bench: &mut Bench, digit: char, ticks: u32) {
    let (low, high) = dtmf_hertz(Digit::from_char(digit).unwrap());
    let mut sines = [Sine::at_level(low, -1_100), Sine::at_level(high, -900)];
    for n in 0..ticks + 20 {
        for sample in bench.input.port_mut(PortIndex(0)) {
            *sample = if n < ticks { sines.iter_mut().map(Sine::sample).sum() } else { 0 };
        }
        bench.tick();
    }
}

fn line_to_stream() -> Bench {
    let mut bench = Bench::new(1);
    bench.start(1, Law::Mu);
    bench.command(MediaCommand::Join(End::Port(PortIndex(0)), End::Stream(id(1))));
    bench
}

#[test]
fn a_digit_of_the_line_becomes_an_event_and_the_audio_is_silent_meanwhile() {
    let mut bench = line_to_stream();
    bench.command(MediaCommand::DetectDigits(PortIndex(0), true));
    press(&mut bench, '9', 20);
    let sent = bench.sent_headers();
    for pair in sent.windows(2) {
        assert_eq!(pair[1].0.sequence, pair[0].0.sequence.wrapping_add(1));
    }
    let events: Vec<&(Header, Vec<u8>)> = sent.iter().filter(|(h, _)| h.payload_type == 101).collect();
    assert!(events.iter().all(|(h, p)| h.timestamp == events[0].0.timestamp && p[0] == 9));
    assert_eq!(events.iter().filter(|(h, _)| h.marker).count(), 1);
    assert_eq!(events.iter().filter(|(_, p)| p[1] & 0x80 != 0).count(), 3);
    // While the event lasts no audio goes out; what leaks before it is what recognition needs.
    let (first, last) = (events[0], events[events.len() - 1]);
    let lasts = u32::from(u16::from_be_bytes([last.1[2], last.1[3]]));
    for (header, payload) in sent.iter().filter(|(h, _)| h.payload_type == 0) {
        let after = header.timestamp.wrapping_sub(first.0.timestamp);
        assert!(after as i32 + (payload.len() as i32) <= 0 || after >= lasts, "audio at {after} of {lasts}");
    }
    assert_eq!(bench.statistics(1).digits_sent, 1);
    let reported = bench.events.iter().filter(|e| matches!(e, MediaEvent::Digit { end: End::Port(_), .. }));
    assert_eq!(reported.count(), 1);
}

#[test]
fn without_telephone_event_the_digit_stays_in_the_audio() {
    let mut bench = line_to_stream();
    bench.command(MediaCommand::Update(id(1), StreamSettings { event_payload_type: None, ..settings(1, Law::Mu) }));
    press(&mut bench, '9', 20);
    let sent = bench.sent_headers();
    assert_eq!(sent.len(), 20);
    assert!(sent.iter().all(|(h, p)| h.payload_type == 0 && p.len() == 160));
    assert!(bench.events.is_empty(), "nobody asked for digits");
}

#[test]
fn an_event_from_the_network_is_a_tone_on_the_line() {
    let mut bench = line_to_stream();
    let mut detector = DigitDetector::new();
    let mut edges = Vec::new();
    let mut sounding = 0;
    for n in 0..60u16 {
        // 200 ms of digit, all its ends lost.
        if n % 2 == 0 && n < 20 {
            let event = Payload { event: 3, end: false, volume: 10, duration: 80 * (n + 2) };
            bench.receive(1, Header { timestamp: 77, ..header(101, n, 1) }, &event.to_bytes());
        }
        bench.tick();
        let block = bench.output.port(PortIndex(0));
        sounding += u32::from(level_dbm0(block) > -20.0);
        detector.process(block, &mut |e| edges.push(e));
    }
    let three = Digit::from_char('3').unwrap();
    assert_eq!(edges, [DigitEdge::Begin(three), DigitEdge::End(three)]);
    assert!((18..=30).contains(&sounding), "{sounding} blocks");
    assert_eq!(bench.statistics(1).digits_received, 1);
}

#[test]
fn parting_in_a_digit_ends_the_event() {
    let mut bench = line_to_stream();
    press(&mut bench, '5', 6);
    bench.sent.clear();
    let (low, high) = dtmf_hertz(Digit::from_char('5').unwrap());
    let mut sines = [Sine::at_level(low, -1_100), Sine::at_level(high, -900)];
    for _ in 0..10 {
        bench.input.port_mut(PortIndex(0)).fill_with(|| sines.iter_mut().map(Sine::sample).sum());
        bench.tick();
    }
    bench.command(MediaCommand::Part(End::Port(PortIndex(0))));
    let ends = bench.sent_headers().iter().filter(|(h, p)| h.payload_type == 101 && p[1] & 0x80 != 0).count();
    assert_eq!(ends, 3);
    bench.tick();
    assert!(bench.sent.is_empty());
}

#[test]
fn the_packets_of_a_line_have_the_size_that_was_negotiated() {
    for samples in [80, 160, 240, 320, 480] {
        let mut bench = line_to_stream();
        bench.command(MediaCommand::Update(id(1), StreamSettings { packet_samples: samples, ..settings(1, Law::Mu) }));
        (0..48).for_each(|_| bench.tick());
        let sent = bench.sent_headers();
        assert_eq!(sent.len(), 48 * 80 / usize::from(samples));
        for (n, (header, payload)) in sent.iter().enumerate() {
            assert_eq!(payload.len(), usize::from(samples));
            assert_eq!(header.timestamp, 0xFFFF_FF00u32.wrapping_add(n as u32 * u32::from(samples)));
        }
    }
}

/// Commands, packets and blocks without any sense, many of them nearly right.
#[test]
fn no_order_of_commands_packets_and_blocks_makes_it_panic_or_lose_a_stream() {
    for seed in 0..20 {
        let mut rng = crate::rng::Seed::from_number(seed).rng();
        let mut bench = Bench::new(3);
        let samples = [80, 160, 320, 1, 37, 240][rng.below(6) as usize];
        (bench.input, bench.output) = (Block::new(3, samples), Block::new(3, samples));
        let mut started = 0;
        let mut sequence = [0u16; 12];
        for _ in 0..6_000 {
            let n = rng.below(12);
            let end = |rng: &mut crate::rng::Rng| match rng.below(3) {
                0 => End::Port(PortIndex(rng.below(4) as u16)),
                _ => End::Stream(id(rng.below(12))),
            };
            let law = if rng.chance(1, 2) { Law::Mu } else { Law::A };
            let wild = StreamSettings {
                remote: rng.chance(9, 10).then(|| far(n)),
                event_payload_type: rng.chance(2, 3).then_some(100),
                packet_samples: [0, 1, 80, 160, 480, u16::MAX][rng.below(6) as usize],
                sends: rng.chance(3, 4),
                receives: rng.chance(3, 4),
                ..settings(n, law)
            };
            match rng.below(40) {
                0 | 1 => {
                    let service = [None, None, Some(Service::Echo), Some(Service::Milliwatt)][rng.below(4) as usize];
                    let config = StreamConfig { settings: wild, ..config(n, law, service) };
                    bench.command(MediaCommand::Start(Box::new(Stream::new(config))));
                    started += 1;
                }
                2 => bench.command(MediaCommand::Stop(id(n))),
                3 => bench.command(MediaCommand::Update(id(n), wild)),
                4..=6 => {
                    let (a, b) = (end(&mut rng), end(&mut rng));
                    bench.command(MediaCommand::Join(a, b));
                }
                7 => {
                    let end = end(&mut rng);
                    bench.command(MediaCommand::Part(end));
                }
                8 => bench.command(MediaCommand::DetectDigits(PortIndex(n as u16 % 4), rng.chance(1, 2))),
                9..=25 => {
                    let next = &mut sequence[n as usize];
                    *next = next.wrapping_add([1, 1, 1, 2, 0, 5_000, u16::MAX][rng.below(7) as usize]);
                    let mut header = header([0, 8, 100, 100][rng.below(4) as usize], *next, n as u32);
                    header.timestamp = header.timestamp.wrapping_add([0, 80, 1 << 31][rng.below(3) as usize]);
                    header.ssrc += u32::from(rng.chance(1, 10));
                    let payload: Vec<u8> = (0..rng.below(900)).map(|_| rng.next_u64() as u8).collect();
                    let event = [rng.below(18) as u8, rng.next_u64() as u8, rng.next_u64() as u8, 0];
                    bench.receive(n, header, if rng.chance(1, 2) { &payload } else { &event });
                }
                _ => {
                    let (low, high) = dtmf_hertz(Digit::ALL[n as usize]);
                    let mut sines = [Sine::at_level(low, 0), Sine::at_level(high, 300)];
                    let sounds = rng.chance(1, 2);
                    for port in 0..3 {
                        bench.input.port_mut(PortIndex(port)).fill_with(|| {
                            let sum: i32 = sines.iter_mut().map(|s| i32::from(s.sample())).sum();
                            if sounds { sum.clamp(-32_768, 32_767) as i16 } else { 0 }
                        });
                    }
                    for _ in 0..rng.below(20) {
                        bench.tick();
                    }
                }
            }
        }
        let stopped = bench.events.iter().filter(|e| matches!(e, MediaEvent::Stopped(_))).count();
        assert_eq!(stopped + bench.worker.stream_count(), started, "seed {seed}");
        assert_eq!((bench.out.packets_dropped(), bench.out.events_dropped()), (0, 0), "seed {seed}");
    }
}

#[test]
fn a_flood_without_a_tick_does_no_harm() {
    let mut bench = line_to_stream();
    for n in 0..300_000u32 {
        let header = Header { timestamp: n.wrapping_mul(9_000), ..header(0, n as u16, 1) };
        assert!(bench.batch.push(id(1), far(1), bench.now, &packet(header, &[0; 8])));
        if bench.batch.is_full() {
            bench.worker.receive(bench.now, &mut bench.batch, &mut bench.out);
            bench.batch.clear();
        }
    }
    bench.tick();
}
