use super::super::{Sine, level_dbm0};
use super::*;
use crate::rng::{Rng, Seed};

const BOUNDS: JitterBounds = JitterBounds { min_ms: 20, max_ms: 200 };

/// A sender whose packets arrive at given times, and a card that takes blocks of 10 ms.
struct Line {
    buffer: JitterBuffer,
    statistics: Statistics,
    /// Error of the sender's clock against the card's, in parts per million.
    ppm: f64,
    packet: usize,
    sine: Sine,
    next_packet: u64,
    /// Packets on their way: when they arrive (in samples of the card), timestamp, payload.
    network: Vec<(f64, u32, Vec<u8>)>,
    blocks: u64,
    heard: Vec<i16>,
}

impl Line {
    fn new(ppm: f64, packet: usize) -> Self {
        Line {
            buffer: JitterBuffer::new(BOUNDS),
            statistics: Statistics::default(),
            ppm,
            packet,
            sine: Sine::at_level(1004, -1_000),
            next_packet: 0,
            network: Vec::new(),
            blocks: 0,
            heard: Vec::new(),
        }
    }

    /// Lets `blocks` pass; `delay` gives each packet its delay in samples, or loses it.
    fn run(&mut self, blocks: u64, mut delay: impl FnMut(u64) -> Option<f64>) {
        for _ in 0..blocks {
            let now = (self.blocks * 80) as f64;
            loop {
                let sent = (self.next_packet + 1) as f64 * self.packet as f64 * (1.0 - self.ppm / 1e6) + 37.0;
                if sent > now {
                    break;
                }
                let samples: Vec<i16> = (0..self.packet).map(|_| self.sine.sample()).collect();
                let mut coded = vec![0; self.packet];
                g711::encode(Law::Mu, &samples, &mut coded);
                let timestamp = 0xFFFF_F000u32.wrapping_add((self.next_packet * self.packet as u64) as u32);
                if let Some(delay) = delay(self.next_packet) {
                    self.network.push((sent + delay, timestamp, coded));
                }
                self.next_packet += 1;
            }
            self.network.sort_by(|a, b| a.0.total_cmp(&b.0));
            let due = self.network.partition_point(|p| p.0 <= now);
            for (_, timestamp, coded) in self.network.drain(..due) {
                self.buffer.put(timestamp, Law::Mu, &coded, &mut self.statistics);
            }
            let mut block = [0; 80];
            self.buffer.get(&mut block, &mut self.statistics);
            self.heard.extend(block);
            self.blocks += 1;
        }
    }

    /// The largest step between samples, against that of the tone itself.
    fn roughness(&self) -> f64 {
        let start = self.heard.iter().position(|s| *s != 0).unwrap();
        let step = self.heard[start..].windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max().unwrap();
        let peak = f64::from(super::super::PEAK_0_DBM0) * 10f64.powf(-0.5);
        f64::from(step) / (peak * std::f64::consts::TAU * 1004.0 / 8000.0)
    }
}

fn uniform(rng: &mut Rng, max: u64) -> f64 {
    rng.between(0, max * 1000) as f64 / 1000.0
}

#[test]
fn a_clean_network_plays_every_sample_20_to_30_ms_after_it_came() {
    for packet in [80, 160, 240, 320, 480] {
        let mut line = Line::new(0.0, packet);
        line.run(1_000, |_| Some(0.0));
        let start = line.heard.iter().position(|s| *s != 0).unwrap();
        let arrived = packet + 37;
        assert!((arrived + 160..=arrived + 241).contains(&start), "{packet}: {start}");
        assert_eq!((line.statistics.late, line.statistics.concealed_samples), (0, 0), "{packet}");
        assert_eq!(line.statistics.adjusted_samples, 0, "{packet}");
        assert!((level_dbm0(&line.heard[start..]) + 10.0).abs() < 0.05);
    }
}

#[test]
fn a_lost_packet_is_concealed_and_costs_no_delay() {
    let mut line = Line::new(0.0, 160);
    line.run(1_000, |n| (n != 200 && n != 300 && n != 301).then_some(0.0));
    assert_eq!(line.statistics.concealed_samples, 3 * 160);
    assert_eq!((line.statistics.late, line.statistics.adjusted_samples), (0, 0));
    assert!(line.roughness() < 1.6, "{}", line.roughness());
}

#[test]
fn what_is_made_up_for_a_lost_packet_leads_to_the_packet_that_waits() {
    let mut line = Line::new(0.0, 160);
    line.run(300, |n| (n != 100).then_some(0.0));
    let mut whole = Line::new(0.0, 160);
    whole.run(300, |_| Some(0.0));
    // The beginning of silence is the same, so both have the same places.
    let different = |(a, b): (&i16, &i16)| a != b;
    let first = line.heard.iter().zip(&whole.heard).position(different).unwrap();
    let last = line.heard.iter().zip(&whole.heard).rposition(different).unwrap();
    assert!(last - first < 160, "what was received is played as it is: {first} to {last}");
    let gap = first..=last;
    let step = |heard: &[i16]| distance(&heard[gap.clone()], &whole.heard[gap.clone()]);
    assert!(step(&line.heard) < magnitude(&whole.heard[gap.clone()]) / 8);
}

#[test]
fn the_level_follows_the_jitter_up_and_down_again() {
    let mut rng = Seed::from_number(1).rng();
    let mut line = Line::new(0.0, 160);
    line.run(1_000, |_| Some(0.0));
    let clean = line.buffer.delay_samples();
    line.run(1_000, |_| Some(uniform(&mut rng, 400)));
    let late = line.statistics.late;
    line.run(3_000, |_| Some(uniform(&mut rng, 400)));
    let jittery = line.buffer.delay_samples();
    // The mean packet is 25 ms late, the earliest waits 50 ms longer than the latest.
    assert!((200..360).contains(&jittery), "{clean} to {jittery}");
    assert!(line.statistics.late - late < 15, "{} of 1500 late once it knows", line.statistics.late - late);
    line.run(4_000, |_| Some(0.0));
    assert!(line.buffer.delay_samples() < clean + 160, "{}", line.buffer.delay_samples());
}

#[test]
fn a_stall_of_the_network_loses_nothing_and_the_delay_comes_back() {
    let mut line = Line::new(0.0, 160);
    // Packets 200 to 207 all arrive when the last of them does.
    line.run(500, |n| Some(if (200..208).contains(&n) { (207 - n) as f64 * 160.0 } else { 0.0 }));
    assert!(line.buffer.occupied.count_ones() < 5, "what was passed over is not kept");
    assert!(line.statistics.concealed_samples <= 8 * 160);
    line.run(3_000, |_| Some(0.0));
    assert!(line.buffer.delay_samples() < 320, "{}", line.buffer.delay_samples());
    assert!(line.roughness() < 1.6, "{}", line.roughness());
}

#[test]
fn an_outage_ends_with_one_step_to_the_present() {
    let mut line = Line::new(0.0, 160);
    // Half a second arrives at once: more than may ever wait.
    line.run(600, |n| Some(if (200..225).contains(&n) { (224 - n) as f64 * 160.0 } else { 0.0 }));
    assert!(line.buffer.delay_samples() <= 200 * 8);
    line.run(3_000, |_| Some(0.0));
    assert!(line.buffer.delay_samples() < 320, "{}", line.buffer.delay_samples());
}

#[test]
fn a_new_timestamp_base_begins_anew() {
    let mut line = Line::new(0.0, 160);
    line.run(100, |_| Some(0.0));
    line.next_packet += 1_000_000;
    line.network.clear();
    let mut statistics = Statistics::default();
    let mut block = [0; 80];
    for n in 0..20u32 {
        line.buffer.put(0x4000_0000 + n * 80, Law::A, &[0x55; 80], &mut statistics);
        line.buffer.get(&mut block, &mut statistics);
    }
    assert_eq!(statistics.late, 0);
    assert!((0..=240).contains(&line.buffer.delay_samples()));
}

#[test]
fn a_sender_that_stops_and_goes_on_is_heard_again() {
    let mut line = Line::new(0.0, 160);
    line.run(1_000, |n| (!(100..=400).contains(&n)).then_some(0.0));
    let concealed = line.statistics.concealed_samples;
    assert!(concealed <= u64::from(STARVED_SAMPLES) + 160, "{concealed}");
    assert!((level_dbm0(&line.heard[line.heard.len() - 800..]) + 10.0).abs() < 0.1);
}

#[test]
fn drift_is_taken_out_without_a_click_and_without_a_gap() {
    for ppm in [200.0, -200.0] {
        let mut line = Line::new(ppm, 160);
        line.run(60_000, |_| Some(0.0)); // ten minutes: 120 ms of drift
        assert_eq!((line.statistics.late, line.statistics.concealed_samples), (0, 0), "{ppm}");
        let adjusted = line.statistics.adjusted_samples;
        assert!((700..1_200).contains(&adjusted), "{ppm}: {adjusted}");
        assert!((80..=400).contains(&line.buffer.delay_samples()), "{ppm}: {}", line.buffer.delay_samples());
        assert!(line.roughness() < 1.3, "{ppm}: {}", line.roughness());
    }
}

#[test]
fn nothing_that_is_put_makes_it_panic() {
    let mut rng = Seed::from_number(9).rng();
    let mut buffer = JitterBuffer::new(JitterBounds { min_ms: 0, max_ms: u16::MAX });
    let mut statistics = Statistics::default();
    let (payload, mut block) = ([0x80; 1_024], [0; 320]);
    let mut timestamp = 0u32;
    for _ in 0..200_000 {
        timestamp = match rng.below(20) {
            0 => rng.next_u64() as u32,
            n => timestamp.wrapping_add(n as u32 * 37).wrapping_sub(200),
        };
        let length = rng.below(1_025) as usize;
        buffer.put(timestamp, Law::A, &payload[..length], &mut statistics);
        let length = rng.between(1, 320) as usize;
        buffer.get(&mut block[..length], &mut statistics);
    }
}
