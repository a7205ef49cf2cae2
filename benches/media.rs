//! Cost of the media plane: a tick for 1, 8 and 64 ports, a relayed packet, the jitter buffer, the
//! digit detector.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;
use tipring::media::{
    DigitDetector, End, JitterBounds, JitterBuffer, MediaCommand, MediaOut, PacketBatch, Statistics, Stream,
    StreamConfig, StreamId, StreamSettings, Worker, WorkerLayout,
};
use tipring::rtp::Header;
use tipring::time::Instant;
use tipring_hal::{Block, PortIndex};

use g7xx::g711::Law;

fn id(n: u64) -> StreamId {
    StreamId::from_bits(n)
}

fn far(n: u64) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 30_000 + 2 * n as u16))
}

fn stream(n: u64, law: Law) -> Box<Stream> {
    let settings = StreamSettings {
        remote: Some(far(n)),
        law,
        payload_type: if law == Law::Mu { 0 } else { 8 },
        event_payload_type: Some(101),
        packet_samples: 160,
        sends: true,
        receives: true,
    };
    Box::new(Stream::new(StreamConfig {
        id: id(n),
        local: SocketAddr::from(([127, 0, 0, 1], 20_000 + 2 * n as u16)),
        settings,
        ssrc: n as u32,
        first_sequence: 0,
        first_timestamp: 0,
        jitter: JitterBounds::default(),
        service: None,
    }))
}

/// A worker with one stream a port, and a packet every 20 ms for each.
struct Card {
    worker: Worker,
    out: MediaOut,
    batch: PacketBatch,
    input: Block,
    output: Block,
    now: Instant,
    ticks: u32,
}

impl Card {
    fn new(ports: u16, digits: bool) -> Self {
        let layout = WorkerLayout { ports, block_samples: 80, streams_max: 256 };
        let mut card = Card {
            worker: Worker::new(layout, Instant::ZERO),
            out: MediaOut::new(&layout),
            batch: PacketBatch::new(),
            input: Block::new(ports, 80),
            output: Block::new(ports, 80),
            now: Instant::ZERO,
            ticks: 0,
        };
        for n in 0..ports {
            let port = PortIndex(n);
            card.input.port_mut(port).iter_mut().enumerate().for_each(|(i, s)| *s = (i as i32 * 977 % 8_000) as i16);
            card.command(MediaCommand::Start(stream(u64::from(n), Law::Mu)));
            card.command(MediaCommand::Join(End::Port(port), End::Stream(id(u64::from(n)))));
            if !digits {
                let stream = card.worker.stream(id(u64::from(n))).map(|s| *s.settings());
                let settings = StreamSettings { event_payload_type: None, ..stream.expect("it was just started") };
                card.command(MediaCommand::Update(id(u64::from(n)), settings));
            }
        }
        card
    }

    fn command(&mut self, command: MediaCommand) {
        self.worker.command(self.now, command, &mut self.out);
    }

    /// One block: every second one brings a packet for each port.
    fn turn(&mut self) {
        self.now += Duration::from_millis(10);
        self.ticks += 1;
        if self.ticks.is_multiple_of(2) {
            let n = self.ticks / 2;
            let header =
                Header { marker: false, payload_type: 0, sequence: n as u16, timestamp: n.wrapping_mul(160), ssrc: 1 };
            let mut bytes = [0x55; 172];
            bytes[..12].copy_from_slice(&header.to_bytes());
            for port in 0..u64::from(self.input.ports()) {
                self.batch.push(id(port), far(port), self.now, &bytes);
            }
            self.worker.receive(self.now, &mut self.batch, &mut self.out);
            self.batch.clear();
        }
        self.worker.tick(self.now, &self.input, &mut self.output, &mut self.out);
        black_box(self.out.packets().count());
        self.out.clear_packets();
    }
}

fn tick(c: &mut Criterion) {
    let mut group = c.benchmark_group("tick");
    for ports in [1u16, 8, 64] {
        group.throughput(Throughput::Elements(u64::from(ports)));
        for (name, digits) in [("with digits", true), ("plain", false)] {
            let mut card = Card::new(ports, digits);
            group.bench_function(BenchmarkId::new(name, ports), |b| b.iter(|| card.turn()));
        }
    }
    group.finish();
}

fn relay(c: &mut Criterion) {
    let mut group = c.benchmark_group("relay");
    group.throughput(Throughput::Elements(256));
    for (name, other) in [("same law", Law::Mu), ("mu to A", Law::A)] {
        let mut card = Card::new(0, false);
        for n in 0..64 {
            card.command(MediaCommand::Start(stream(2 * n, Law::Mu)));
            card.command(MediaCommand::Start(stream(2 * n + 1, other)));
            card.command(MediaCommand::Join(End::Stream(id(2 * n)), End::Stream(id(2 * n + 1))));
        }
        let mut n = 0u32;
        group.bench_function(name, |b| {
            b.iter_custom(|turns| {
                let mut spent = Duration::ZERO;
                for _ in 0..turns {
                    card.batch.clear();
                    for burst in 0..4 {
                        for call in 0..64 {
                            let sequence = n.wrapping_add(burst);
                            let header = Header {
                                marker: false,
                                payload_type: 0,
                                sequence: sequence as u16,
                                timestamp: sequence.wrapping_mul(160),
                                ssrc: 1,
                            };
                            let mut bytes = [0x55; 172];
                            bytes[..12].copy_from_slice(&header.to_bytes());
                            card.batch.push(id(2 * call), far(2 * call), card.now, &bytes);
                        }
                    }
                    n = n.wrapping_add(4);
                    card.now += Duration::from_millis(80);
                    #[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
                    let start = std::time::Instant::now();
                    card.worker.receive(card.now, &mut card.batch, &mut card.out);
                    black_box(card.batch.forwards().count());
                    spent += start.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

fn jitter(c: &mut Criterion) {
    let mut buffer = JitterBuffer::new(JitterBounds::default());
    let mut statistics = Statistics::default();
    let mut timestamp = 0u32;
    let mut block = [0i16; 80];
    c.bench_function("jitter: one packet in, two blocks out", |b| {
        b.iter(|| {
            buffer.put(timestamp, Law::Mu, &[0x55; 160], &mut statistics);
            timestamp = timestamp.wrapping_add(160);
            buffer.get(&mut block, &mut statistics);
            buffer.get(black_box(&mut block), &mut statistics);
        });
    });
}

fn conceal(c: &mut Criterion) {
    let mut buffer = JitterBuffer::new(JitterBounds::default());
    let mut statistics = Statistics::default();
    let mut timestamp = 0u32;
    let mut block = [0i16; 80];
    let payload: [u8; 160] = std::array::from_fn(|n| (n * n % 251) as u8);
    c.bench_function("jitter: two packets in, the third lost, six blocks out", |b| {
        b.iter(|| {
            for ahead in [0, 160] {
                buffer.put(timestamp.wrapping_add(ahead), Law::Mu, &payload, &mut statistics);
            }
            timestamp = timestamp.wrapping_add(480);
            for _ in 0..6 {
                buffer.get(black_box(&mut block), &mut statistics);
            }
        });
    });
    assert!(statistics.concealed_samples > 0);
}

fn detect(c: &mut Criterion) {
    let mut detector = DigitDetector::new();
    let block: [i16; 80] = std::array::from_fn(|i| (i as i32 * 977 % 8_000) as i16);
    c.bench_function("digit detector, 10 ms", |b| b.iter(|| detector.process(black_box(&block), &mut |_| {})));
}

criterion_group!(benches, tick, relay, jitter, conceal, detect);
criterion_main!(benches);
