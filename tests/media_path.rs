//! The whole media path: no allocation, audio from port to port, an hour of drift and loss.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;
use tipring::media::{
    DigitDetector, DigitEdge, End, JitterBounds, MediaCommand, MediaEvent, MediaOut, PacketBatch, Service, Sine,
    Statistics, Stream, StreamConfig, StreamId, StreamSettings, Tone, Worker, WorkerLayout, dtmf_hertz, level_dbm0,
};
use tipring::rng::{Rng, Seed};
use tipring::time::Instant;
use tipring_hal::{Block, Digit, PortIndex};

/// Counts what the calling thread allocates and frees.
struct Counting;

thread_local! {
    static TOUCHED: Cell<u64> = const { Cell::new(0) };
}

fn touch() {
    TOUCHED.with(|touched| touched.set(touched.get() + 1));
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract;
// counting touches only a constant-initialised thread-local, which does not allocate.
#[allow(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        touch();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        touch();
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(place, layout) }
    }
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        touch();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `act` allocates and frees.
fn touched_by(act: impl FnOnce()) -> u64 {
    let before = TOUCHED.with(Cell::get);
    act();
    TOUCHED.with(Cell::get) - before
}

fn id(n: u64) -> StreamId {
    StreamId::from_bits(n)
}

fn address(n: u64) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 20_000 + 2 * n as u16))
}

/// Stream `n` that talks to stream `far` of any worker.
fn stream(n: u64, far: u64, law: g7xx::g711::Law, service: Option<Service>) -> Box<Stream> {
    let settings = StreamSettings {
        remote: Some(address(far)),
        law,
        payload_type: if law == g7xx::g711::Law::Mu { 0 } else { 8 },
        event_payload_type: Some(101),
        packet_samples: 160,
        sends: true,
        receives: true,
    };
    Box::new(Stream::new(StreamConfig {
        id: id(n),
        local: address(n),
        settings,
        ssrc: n as u32 * 7919,
        first_sequence: 65_000,
        first_timestamp: 0xFFFF_0000,
        jitter: JitterBounds::default(),
        service,
    }))
}

/// A packet between two streams of any workers.
struct Flying {
    arrives: Instant,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// A worker with the shell around it.
struct Side {
    worker: Worker,
    out: MediaOut,
    batch: PacketBatch,
    input: Block,
    output: Block,
    events: Vec<MediaEvent>,
    /// What the worker allocated and freed in `receive` and `tick`.
    touched: u64,
}

impl Side {
    fn new(ports: u16) -> Self {
        let layout = WorkerLayout { ports, block_samples: 80, streams_max: 32 };
        Side {
            worker: Worker::new(layout, Instant::ZERO),
            out: MediaOut::new(&layout),
            batch: PacketBatch::new(),
            input: Block::new(ports, 80),
            output: Block::new(ports, 80),
            events: Vec::new(),
            touched: 0,
        }
    }

    fn command(&mut self, now: Instant, command: MediaCommand) {
        self.worker.command(now, command, &mut self.out);
    }

    /// Takes the packets in `flying` that are for one of `streams` and have arrived, then ticks.
    fn turn(&mut self, now: Instant, streams: &[u64], flying: &mut Vec<Flying>, tick: bool) {
        let mut at = 0;
        while at < flying.len() {
            let mine = streams.iter().find(|n| address(**n) == flying[at].to);
            match mine {
                Some(n) if flying[at].arrives <= now && !self.batch.is_full() => {
                    let packet = flying.remove(at);
                    self.batch.push(id(*n), packet.from, packet.arrives, &packet.bytes);
                }
                _ => at += 1,
            }
        }
        let Side { worker, out, batch, input, output, .. } = self;
        self.touched += touched_by(|| {
            worker.receive(now, batch, out);
            if tick {
                worker.tick(now, input, output, out);
            }
        });
    }

    /// Sends what the turn made; `delay` decides how long it takes or loses it.
    fn send(&mut self, now: Instant, flying: &mut Vec<Flying>, delay: &mut impl FnMut() -> Option<Duration>) {
        for packet in self.batch.forwards().chain(self.out.packets()) {
            if let Some(delay) = delay() {
                let from = address(packet.stream.to_bits());
                flying.push(Flying { arrives: now + delay, from, to: packet.to, bytes: packet.bytes.to_vec() });
            }
        }
        // Packets that left by different ways may overtake each other.
        flying.sort_by_key(|packet| packet.arrives);
        self.batch.clear();
        self.out.clear_packets();
        self.events.extend(self.out.events());
    }

    fn statistics(&self, n: u64) -> Statistics {
        self.worker.stream(id(n)).expect("the stream lives").statistics()
    }
}

fn join(side: &mut Side, a: End, b: End) {
    side.command(Instant::ZERO, MediaCommand::Join(a, b));
}

fn port(n: u16) -> End {
    End::Port(PortIndex(n))
}

/// Two cards with a relay between them: port 0 - stream 1 ... 2 = 3 ... stream 4 - port 0, in
/// different laws on the two stretches.
fn port_to_port() -> (Side, Side, Side) {
    use g7xx::g711::Law::{A, Mu};
    let (mut left, mut relay, mut right) = (Side::new(1), Side::new(0), Side::new(1));
    left.command(Instant::ZERO, MediaCommand::Start(stream(1, 2, Mu, None)));
    relay.command(Instant::ZERO, MediaCommand::Start(stream(2, 1, Mu, None)));
    relay.command(Instant::ZERO, MediaCommand::Start(stream(3, 4, A, None)));
    right.command(Instant::ZERO, MediaCommand::Start(stream(4, 3, A, None)));
    join(&mut left, port(0), End::Stream(id(1)));
    join(&mut relay, End::Stream(id(2)), End::Stream(id(3)));
    join(&mut right, End::Stream(id(4)), port(0));
    (left, relay, right)
}

/// Noise of a few hundred hertz, loud enough to be told from quantisation.
fn noise(rng: &mut Rng, state: &mut i32) -> i16 {
    *state += ((rng.below(16_001) as i32 - 8_000) - *state) / 3;
    *state as i16
}

/// Where `heard` follows `said`, in samples, and how well: 1 is the same signal.
fn correlate(said: &[i16], heard: &[i16], lag_max: usize) -> (usize, f64) {
    let length = said.len() - lag_max;
    let energy = |s: &[i16]| s.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
    (0..lag_max)
        .map(|lag| {
            let moved = &heard[lag..lag + length];
            let product: f64 = said[..length].iter().zip(moved).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            (lag, product / (energy(&said[..length]) * energy(moved)).sqrt().max(1.0))
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .expect("there is a lag to try")
}

#[test]
fn audio_goes_from_port_to_stream_to_stream_to_port_both_ways() {
    let (mut left, mut relay, mut right) = port_to_port();
    let mut flying = Vec::new();
    let mut rngs = [1, 2].map(|n| Seed::from_number(n).rng());
    let mut states = [0; 2];
    let (mut said, mut heard) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let mut no_delay = || Some(Duration::ZERO);
    for ms in 1..4_000u64 {
        let now = Instant::from_millis(ms);
        relay.turn(now, &[2, 3], &mut flying, ms % 10 == 0);
        relay.send(now, &mut flying, &mut no_delay);
        if ms % 10 == 0 {
            for (n, side) in [&mut left, &mut right].into_iter().enumerate() {
                side.input.port_mut(PortIndex(0)).fill_with(|| noise(&mut rngs[n], &mut states[n]));
                said[n].extend_from_slice(side.input.port(PortIndex(0)));
                side.turn(now, &[[1, 4][n]], &mut flying, true);
                side.send(now, &mut flying, &mut no_delay);
                heard[n].extend_from_slice(side.output.port(PortIndex(0)));
            }
        }
    }
    for (from, to) in [(0, 1), (1, 0)] {
        let (lag, likeness) = correlate(&said[from][8_000..24_000], &heard[to][8_000..24_000], 2_000);
        let delay_ms = lag as f64 / 8.0;
        println!("port {from} to port {to}: {delay_ms} ms, correlation {likeness:.4}");
        assert!(likeness > 0.99, "correlation {likeness}");
        // The block that is said, the packet and 20 to 30 ms of playout, and a turn of the relay.
        assert!((30.0..=62.0).contains(&delay_ms), "{delay_ms} ms");
    }
    assert_eq!((left.touched, relay.touched, right.touched), (0, 0, 0));
    assert_eq!(right.statistics(4).concealed_samples + left.statistics(1).concealed_samples, 0);
}

#[test]
fn digits_cross_the_path_as_events_and_come_out_as_tones() {
    let (mut left, mut relay, mut right) = port_to_port();
    let mut flying = Vec::new();
    let mut rng = Seed::from_number(3).rng();
    let mut lossy = || (!rng.chance(1, 20)).then_some(Duration::from_millis(3));
    let dialled = "0123456789*#ABCD";
    let mut detector = DigitDetector::new();
    let mut heard = String::new();
    let mut sines = [Sine::default(); 2];
    for ms in 1..=(dialled.len() as u64 + 2) * 200 {
        let now = Instant::from_millis(ms);
        relay.turn(now, &[2, 3], &mut flying, false);
        relay.send(now, &mut flying, &mut lossy);
        if ms % 10 != 0 {
            continue;
        }
        let (press, inside) = ((ms / 200) as usize, ms % 200);
        if let Some(c) = dialled.chars().nth(press).filter(|_| inside == 10) {
            let (low, high) = dtmf_hertz(Digit::from_char(c).unwrap());
            sines = [Sine::at_level(low, -1_100), Sine::at_level(high, -900)];
        }
        let sounds = press < dialled.len() && (10..90).contains(&inside);
        left.input
            .port_mut(PortIndex(0))
            .fill_with(|| if sounds { sines.iter_mut().map(Sine::sample).sum() } else { 0 });
        for (side, n) in [(&mut left, 1), (&mut right, 4)] {
            side.turn(now, &[n], &mut flying, true);
            side.send(now, &mut flying, &mut lossy);
        }
        detector.process(right.output.port(PortIndex(0)), &mut |edge| {
            if let DigitEdge::Begin(digit) = edge {
                heard.push(digit.as_char());
            }
        });
    }
    assert_eq!(heard, dialled);
    let reported = |side: &Side| -> String {
        let digits = side.events.iter().filter_map(|e| match e {
            MediaEvent::Digit { digit, .. } => Some(digit.as_char()),
            _ => None,
        });
        digits.collect()
    };
    assert_eq!((reported(&relay).as_str(), reported(&right).as_str()), (dialled, dialled));
    assert_eq!((left.touched, relay.touched, right.touched), (0, 0, 0));
}

#[test]
fn nothing_is_allocated_with_ports_tones_digits_relays_services_and_loss() {
    use g7xx::g711::Law::{A, Mu};
    let mut side = Side::new(8);
    // Ports 0 to 3 talk to streams 1 to 4; 5 and 6 are relayed; 7 echoes; 8 is a milliwatt; ports 4
    // and 5 talk to each other; port 6 hears a tone. All streams talk to their neighbour's address.
    for n in 1..=8u64 {
        let service = [(7, Service::Echo), (8, Service::Milliwatt)].into_iter().find(|s| s.0 == n).map(|s| s.1);
        let far = if n % 2 == 1 { n + 1 } else { n - 1 };
        side.command(Instant::ZERO, MediaCommand::Start(stream(n, far, if n <= 4 { Mu } else { A }, service)));
    }
    (0..4u16).for_each(|n| join(&mut side, port(n), End::Stream(id(u64::from(n) + 1))));
    join(&mut side, End::Stream(id(5)), End::Stream(id(6)));
    join(&mut side, port(4), port(5));
    let tone = Tone { hertz: [440, 480, 0, 0], level_centi_dbm0: -1_900, cadence_ms: [2_000, 4_000, 0, 0, 0, 0, 0, 0] };
    side.command(Instant::ZERO, MediaCommand::PlayTone(PortIndex(6), tone));
    (0..8).for_each(|n| side.command(Instant::ZERO, MediaCommand::DetectDigits(PortIndex(n), true)));
    assert_eq!((side.worker.stream_count(), side.worker.counters().refused_commands), (8, 0));

    let mut rng = Seed::from_number(4).rng();
    let mut chance = Seed::from_number(5).rng();
    let mut flying = Vec::new();
    let mut sines = [Sine::at_level(697, -1_000), Sine::at_level(1_209, -1_000)];
    let mut relayed = header_of_a_call(5, 6);
    for n in 0..5_000u64 {
        let now = Instant::from_millis(10 * n);
        // Two seconds of noise, then a digit, on all ports.
        let presses = n % 200 < 10;
        let samples: [i16; 80] = std::array::from_fn(|_| {
            if presses { sines.iter_mut().map(Sine::sample).sum() } else { rng.below(2_001) as i16 - 1_000 }
        });
        (0..8).for_each(|p| side.input.port_mut(PortIndex(p)).copy_from_slice(&samples));
        // A far end of the relay, rubbish, and a stranger.
        if n % 2 == 0 {
            flying.push(relayed.next(now));
            flying.push(Flying { arrives: now, from: address(99), to: address(1), bytes: vec![0x80; 172] });
            let rubbish: Vec<u8> = (0..chance.below(64)).map(|_| chance.next_u64() as u8).collect();
            flying.push(Flying { arrives: now, from: address(2), to: address(1), bytes: rubbish });
        }
        side.turn(now, &[1, 2, 3, 4, 5, 6, 7, 8], &mut flying, true);
        side.send(now, &mut flying, &mut || {
            let jitter = Duration::from_micros(chance.below(15_000));
            (!chance.chance(1, 50)).then_some(Duration::from_millis(2) + jitter)
        });
        // The echo of the milliwatt and of the relay would go round for ever.
        flying.retain(|p| p.to != address(8) && p.to != address(5) && p.to != address(6));
    }
    assert_eq!(side.touched, 0, "allocations and frees in 5000 ticks");
    for n in 1..=4 {
        let s = side.statistics(n);
        assert!(s.received > 2_000 && s.lost > 10 && s.concealed_samples > 0 && s.sent > 2_000, "{n}: {s:?}");
        assert!((24..=25).contains(&s.digits_sent) && s.digits_received >= 24, "{n}: {s:?}");
    }
    assert!(side.statistics(1).wrong_source == 2_500 && side.statistics(1).malformed > 1_000);
    assert!(side.statistics(5).received == 2_500 && side.statistics(6).sent == 2_500);
    assert!(side.statistics(7).received > 2_000 && side.statistics(7).sent == side.statistics(7).received);
    assert_eq!((side.out.packets_dropped(), side.out.events_dropped()), (0, 0));
    // After 50 s the ringback has been on for 2 s again.
    assert!(level_dbm0(side.output.port(PortIndex(6))) > -20.0);
}

/// A far end that sends silence to stream `to` from the address of stream `from`.
struct FarEnd {
    from: u64,
    to: u64,
    header: tipring::rtp::Header,
}

fn header_of_a_call(to: u64, from: u64) -> FarEnd {
    let header = tipring::rtp::Header { marker: true, payload_type: 8, sequence: 1, timestamp: 1, ssrc: 42 };
    FarEnd { from, to, header }
}

impl FarEnd {
    fn next(&mut self, arrives: Instant) -> Flying {
        let bytes = [&self.header.to_bytes()[..], &[0xD5; 160]].concat();
        self.header.marker = false;
        self.header.sequence = self.header.sequence.wrapping_add(1);
        self.header.timestamp = self.header.timestamp.wrapping_add(160);
        Flying { arrives, from: address(self.from), to: address(self.to), bytes }
    }
}

/// A crystal: the time of its n-th block.
fn block_time(n: u64, ppm: i64) -> Instant {
    Instant::from_nanos((i128::from(n) * 10_000_000 * (1_000_000 - i128::from(ppm)) / 1_000_000) as u64)
}

#[test]
fn an_hour_at_plus_80_and_minus_50_ppm_with_loss_and_jitter_keeps_the_delay() {
    use g7xx::g711::Law::Mu;
    let (mut left, mut right) = (Side::new(1), Side::new(1));
    left.command(Instant::ZERO, MediaCommand::Start(stream(1, 2, Mu, None)));
    right.command(Instant::ZERO, MediaCommand::Start(stream(2, 1, Mu, None)));
    join(&mut left, port(0), End::Stream(id(1)));
    join(&mut right, port(0), End::Stream(id(2)));
    let mut chance = Seed::from_number(6).rng();
    let mut network =
        || (!chance.chance(1, 100)).then(|| Duration::from_millis(5) + Duration::from_micros(chance.below(15_000)));
    let mut flying = Vec::new();
    // Each side says a click of 20 ms every five seconds; when each was said and heard.
    let (mut said, mut heard) = ([Instant::ZERO; 2], [None::<Instant>; 2]);
    let mut delays = [Vec::new(), Vec::new()];
    let mut blocks = [0u64; 2];
    let end = Instant::from_millis(3_600_000);
    loop {
        let times = [block_time(blocks[0], 80), block_time(blocks[1], -50)];
        let n = usize::from(times[1] < times[0]);
        let now = times[n];
        if now > end {
            break;
        }
        let side = [&mut left, &mut right].into_iter().nth(n).unwrap();
        let clicks = blocks[n] % 500 < 2;
        side.input.port_mut(PortIndex(0)).fill(if clicks { 8_000 } else { 0 });
        if blocks[n] % 500 == 0 {
            // What was said before must have been heard by now, if it was not lost.
            if let Some(at) = heard[1 - n].take() {
                delays[1 - n].push(at.since(said[n]));
            }
            said[n] = now;
        }
        side.turn(now, &[n as u64 + 1], &mut flying, true);
        side.send(now, &mut flying, &mut network);
        let block = side.output.port(PortIndex(0));
        if let Some(at) = block.iter().position(|s| *s > 6_000)
            && heard[n].is_none()
            && now.since(said[1 - n]) < Duration::from_secs(1)
        {
            heard[n] = Some(now + Duration::from_micros(125 * at as u64));
        }
        blocks[n] += 1;
    }
    for (n, (side, name)) in [(&left, "to the fast card"), (&right, "to the slow card")].into_iter().enumerate() {
        let s = side.statistics(n as u64 + 1);
        delays[n].sort();
        let count = delays[n].len();
        let [least, median, most] = [delays[n][0], delays[n][count / 2], delays[n][count - 1]];
        println!(
            "{name}: {count} clicks, delay {least:?} {median:?} {most:?}, {} late, {} lost, {} concealed, {} adjusted",
            s.late, s.lost, s.concealed_samples, s.adjusted_samples
        );
        assert!(count > 690, "{count} of 719 clicks were heard");
        // Said blocks leave with the packet (20 ms), network 5 to 20 ms, playout 20 to 60 ms.
        assert!(least >= Duration::from_millis(30), "{least:?}");
        assert!(most <= Duration::from_millis(110), "{most:?}");
        let lost_samples = s.lost * 160;
        let excess = s.concealed_samples.saturating_sub(lost_samples);
        assert!(excess < 3_600 * 8_000 / 500, "{excess} samples concealed that were not lost");
        assert!(s.late < 180_000 / 200, "{} late", s.late);
        assert_eq!(side.touched, 0);
    }
}
