//! The virtual card as its users see it: lines, people, and sound, in a time that is made up.
#![allow(clippy::unwrap_used, reason = "in the helpers of a test, a panic is a failure")]

use std::time::Duration;
use tipring_hal::{
    Audio, Block, Card, CardConfig, Digit, Exchange, Instant, LineCommand, LineEventKind, Lines, PortIndex, Readiness,
};
use tipring_virtual::{Behaviour, Hand, HandError, HandState, Plays, VirtualCard, VirtualConfig, VirtualPort};

const PORT: PortIndex = PortIndex(0);
const BLOCK: u16 = 80;
/// Peak of a sine of 0 dBm0 in 16-bit samples.
const PEAK_0_DBM0: f64 = 22_656.0;

/// A card with one telephone, and its world.
struct World {
    began: Instant,
    now: Instant,
    hand: Hand,
    lines: Box<dyn Lines>,
    audio: Box<dyn Audio>,
    /// What the line hears, sample after sample from the first; silence after the end.
    says: Vec<i16>,
    said: usize,
    /// What we hear from the line.
    heard: Vec<i16>,
    /// Milliseconds and kind of each event.
    events: Vec<(u128, LineEventKind)>,
}

impl World {
    fn new(behaviour: Behaviour) -> World {
        World::from_seed(behaviour, 1)
    }

    fn from_seed(behaviour: Behaviour, seed: u64) -> World {
        let ports = vec![VirtualPort::station(behaviour)];
        let mut card = VirtualCard::new(VirtualConfig { ports, seed, ..VirtualConfig::default() });
        let hand = card.hands().pop().unwrap();
        let now = Instant::from_millis(5000);
        let halves = Box::new(card).open(now, &CardConfig { block_samples: BLOCK }).unwrap();
        World {
            began: now,
            now,
            hand,
            lines: halves.lines,
            audio: halves.audio.unwrap(),
            says: Vec::new(),
            said: 0,
            heard: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Lets time pass until `millis` after the opening, with all events and blocks.
    fn until(&mut self, millis: u64) {
        let until = self.began + Duration::from_millis(millis);
        loop {
            while let Some(event) = self.lines.event(self.now) {
                self.events.push((event.at.since(self.began).as_millis(), event.kind));
            }
            let Readiness::At(block_at) = self.audio.readiness() else { panic!("a crystal knows its time") };
            if block_at <= self.now {
                self.exchange();
                continue;
            }
            let next = match self.lines.readiness() {
                Readiness::At(at) => at.min(block_at),
                _ => block_at,
            };
            if next > until {
                self.now = until;
                return;
            }
            self.now = self.now.max(next);
        }
    }

    fn exchange(&mut self) -> Exchange {
        let mut input = Block::new(1, BLOCK);
        let mut output = Block::new(1, BLOCK);
        for sample in output.port_mut(PORT) {
            *sample = self.says.get(self.said).copied().unwrap_or(0);
            self.said += 1;
        }
        let exchange = self.audio.exchange(self.now, &mut input, &output).unwrap();
        self.heard.extend_from_slice(input.port(PORT));
        exchange
    }

    fn command(&mut self, command: LineCommand) {
        self.lines.command(self.now, PORT, command).unwrap();
    }

    /// Rings with the cadence of North America from `from` to `to`, in milliseconds.
    fn ring(&mut self, from: u64, to: u64) {
        for begins in (from..to).step_by(6000) {
            self.until(begins);
            self.command(LineCommand::Ring);
            self.until((begins + 2000).min(to));
            self.command(LineCommand::StopRing);
            self.until((begins + 6000).min(to));
        }
    }

    /// Events with their bounce folded: only the last state of each 10 ms.
    fn hooks(&self) -> Vec<(u128, bool)> {
        let mut hooks: Vec<(u128, bool)> = Vec::new();
        for (at, kind) in &self.events {
            let off_hook = *kind == LineEventKind::OffHook;
            match hooks.last_mut() {
                Some(last) if at - last.0 <= 10 => last.1 = off_hook,
                _ => hooks.push((*at, off_hook)),
            }
        }
        hooks
    }
}

fn answers(after_ms: u64) -> Behaviour {
    Behaviour { answers_after: Some(Duration::from_millis(after_ms)), ..Behaviour::default() }
}

fn off_hook(plays: Plays) -> Behaviour {
    Behaviour { off_hook: true, plays, ..Behaviour::default() }
}

/// Level of one frequency in dBm0, by a Goertzel sum.
fn level(samples: &[i16], hertz: f64) -> f64 {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (index, &sample) in samples.iter().enumerate() {
        let angle = std::f64::consts::TAU * hertz * index as f64 / 8000.0;
        real += f64::from(sample) * angle.cos();
        imaginary += f64::from(sample) * angle.sin();
    }
    let peak = 2.0 * (real * real + imaginary * imaginary).sqrt() / samples.len() as f64;
    20.0 * (peak.max(1e-9) / PEAK_0_DBM0).log10()
}

/// Mean power of all samples relative to a sine of 0 dBm0.
fn power(samples: &[i16]) -> f64 {
    let mean = samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len() as f64;
    10.0 * (mean.max(1e-9) / (PEAK_0_DBM0 * PEAK_0_DBM0 / 2.0)).log10()
}

/// Noise that sounds like nothing else, so that it is found again.
fn noise(samples: usize) -> Vec<i16> {
    let mut state = 12345u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 48) as u16 as i16) / 8
    };
    (0..samples).map(|_| next()).collect()
}

/// Where `needle` is found in `hay`, and how strong: by correlation.
fn find(needle: &[i16], hay: &[i16]) -> (usize, f64) {
    let energy: f64 = needle.iter().map(|&s| f64::from(s).powi(2)).sum();
    let product = |at: usize| needle.iter().zip(&hay[at..]).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let all = (0..=hay.len() - needle.len()).map(|at| (at, product(at) / energy));
    all.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).unwrap()
}

fn digits(text: &str) -> Vec<Digit> {
    text.chars().map(|c| Digit::from_char(c).unwrap()).collect()
}

#[test]
fn the_person_answers_and_hangs_up_as_told() {
    let mut world = World::new(Behaviour { hangs_up_after: Some(Duration::from_secs(3)), ..answers(1000) });
    world.until(100);
    world.command(LineCommand::Ring);
    assert!(world.hand.state().ringing);
    world.until(5000);
    // Lifted at 1100, and the ring trips 40 ms later; down again at 4100.
    assert_eq!(world.hooks(), [(1140, true), (4100, false)]);
    assert_eq!(world.hand.state(), HandState::default());
}

#[test]
fn nobody_lifts_a_silent_telephone() {
    let mut world = World::new(answers(3000));
    world.ring(0, 60_000);
    // Three seconds fall into the first pause, so the second ring is answered.
    assert_eq!(world.hooks(), [(6040, true)]);
    let mut world = World::new(answers(3000));
    world.ring(0, 2000);
    world.until(60_000);
    assert_eq!(world.hooks(), []);
    // Much later it is a new call, which is given its own time.
    world.command(LineCommand::Ring);
    world.until(64_000);
    assert_eq!(world.hooks(), [(63_040, true)]);
}

#[test]
fn a_person_without_a_will_lets_it_ring() {
    let mut world = World::new(Behaviour::default());
    world.ring(0, 60_000);
    assert_eq!(world.events, []);
}

#[test]
fn a_hand_answers_between_two_rings() {
    let mut world = World::new(Behaviour::default());
    world.ring(0, 3500);
    world.hand.off_hook(world.now).unwrap();
    world.until(4000);
    assert_eq!(world.hooks(), [(3500, true)]);
}

#[test]
fn lifting_while_it_rings_trips_the_ring_once_and_without_bounce() {
    let mut world = World::new(Behaviour::default());
    world.command(LineCommand::Ring);
    world.until(500);
    world.hand.off_hook(world.now).unwrap();
    world.until(1500);
    assert_eq!(world.events, [(540, LineEventKind::OffHook)]);
    assert!(!world.hand.state().ringing);
    // The telephone is off hook now: the bell cannot sound.
    world.command(LineCommand::Ring);
    assert!(!world.hand.state().ringing);
}

#[test]
fn a_ring_that_ends_before_it_trips_hides_nothing() {
    let mut world = World::new(Behaviour::default());
    world.command(LineCommand::Ring);
    world.until(500);
    world.hand.off_hook(world.now).unwrap();
    world.until(520);
    world.command(LineCommand::StopRing);
    world.until(600);
    assert_eq!(world.events, [(520, LineEventKind::OffHook)]);
}

#[test]
fn contacts_bounce_for_less_than_10_ms_and_by_the_seed() {
    let lift = |seed| {
        let mut world = World::from_seed(Behaviour::default(), seed);
        world.hand.off_hook(world.now).unwrap();
        world.until(100);
        let events = world.events;
        assert!(events.len() >= 3 && events.iter().all(|&(at, _)| at < 10), "{events:?}");
        assert_eq!(events.last().unwrap().1, LineEventKind::OffHook);
        events
    };
    assert_eq!(lift(1), lift(1));
    assert!((2..10).any(|seed| lift(seed) != lift(1)), "all seeds bounce alike");
}

#[test]
fn a_flash_is_a_break_of_half_a_second_and_no_hang_up_for_the_person() {
    let mut world = World::new(off_hook(Plays::Silence));
    world.until(100);
    world.hand.flash(world.now).unwrap();
    world.until(300);
    assert!(world.hand.state().off_hook);
    world.until(1000);
    assert_eq!(world.hooks(), [(0, true), (100, false), (600, true)]);
    // On hook there is nothing to flash.
    world.hand.on_hook(world.now).unwrap();
    world.hand.flash(world.now).unwrap();
    world.until(2000);
    assert_eq!(world.hooks()[3..], [(1000, false)]);
}

#[test]
fn a_rotary_dial_breaks_the_loop_once_for_each_pulse() {
    let mut world = World::new(off_hook(Plays::Silence));
    world.until(100);
    world.hand.dial_pulses(world.now, &digits("2#0")).unwrap();
    world.until(5000);
    let hooks = &world.hooks()[1..];
    assert_eq!(hooks[..4], [(100, false), (160, true), (200, false), (260, true)]);
    assert_eq!(hooks[4..6], [(960, false), (1020, true)]);
    assert_eq!(hooks.len(), 2 * (2 + 10));
}

#[test]
fn without_battery_nothing_is_told_until_it_is_back() {
    let mut world = World::new(off_hook(Plays::Silence));
    world.until(100);
    world.command(LineCommand::Battery(false));
    world.hand.on_hook(world.now).unwrap();
    world.until(600);
    assert_eq!(world.hooks(), [(0, true)]);
    world.command(LineCommand::Battery(true));
    world.until(700);
    assert_eq!(world.hooks(), [(0, true), (600, false)]);
}

#[test]
fn who_answers_by_himself_hangs_up_when_the_line_goes_dead() {
    let mut world = World::new(answers(0));
    world.command(LineCommand::Ring);
    world.until(1000);
    world.command(LineCommand::Battery(false));
    world.until(1299);
    assert!(world.hand.state().off_hook);
    world.until(1301);
    assert!(!world.hand.state().off_hook);
    // Who was only moved by a hand stays.
    let mut world = World::new(Behaviour::default());
    world.hand.off_hook(world.now).unwrap();
    world.until(100);
    world.command(LineCommand::Battery(false));
    world.until(5000);
    assert!(world.hand.state().off_hook);
}

#[test]
fn the_tone_of_a_microphone_has_its_level_and_sounds_off_hook_only() {
    let tone = Plays::Tone { hertz: 1004, level_tenth_dbm0: -100 };
    let mut world = World::new(Behaviour { plays: tone, ..answers(1000) });
    world.command(LineCommand::Ring);
    world.until(3000);
    assert_eq!(power(&world.heard[..8000]), power(&[0]));
    let heard = &world.heard[12_000..20_000];
    assert!((level(heard, 1004.0) + 10.0).abs() < 0.01, "{} dBm0", level(heard, 1004.0));
    assert!((power(heard) + 10.0).abs() < 0.01, "something else sounds: {} dBm0", power(heard));
}

#[test]
fn the_echo_comes_200_ms_later_6_db_weaker_and_only_once() {
    let mut world = World::new(off_hook(Plays::Echo { after: Duration::from_millis(200), weaker_tenth_db: 60 }));
    let probe = noise(800);
    world.says = probe.clone();
    world.until(2000);
    // Away from the hybrid's own echo, which is over after the probe. One block passes until what is
    // handed in is said.
    let (at, gain) = find(&probe, &world.heard[1000..]);
    assert_eq!(at + 1000, usize::from(BLOCK) + 1600);
    assert!((20.0 * gain.log10() + 6.0).abs() < 0.05, "{gain}");
    assert!(world.heard[3000..].iter().all(|&sample| sample == 0), "the echo feeds back");
}

#[test]
fn the_hybrid_returns_a_hundredth_of_the_power() {
    let mut world = World::new(off_hook(Plays::Silence));
    world.says = noise(16_000);
    world.until(2000);
    let loss = power(&world.says) - power(&world.heard[usize::from(BLOCK)..]);
    assert!((18.0..22.0).contains(&loss), "{loss} dB");
    // An open loop carries nothing.
    world.hand.on_hook(world.now).unwrap();
    world.until(2100);
    world.heard.clear();
    world.said = 0;
    world.until(3000);
    assert!(world.heard.iter().all(|&sample| sample == 0));
}

#[test]
fn the_ear_hears_exactly_what_the_line_says() {
    let mut world = World::new(Behaviour::default());
    world.hand.listen(world.now, 1600).unwrap();
    world.says = noise(80_000);
    world.until(500);
    let silence = world.hand.take_recording().unwrap();
    assert!(silence.samples.len() == 1600 && silence.samples.iter().all(|&sample| sample == 0), "heard while on hook");
    assert_eq!(silence.first_sample, 0);
    world.hand.off_hook(world.now).unwrap();
    world.until(520);
    for _ in 0..3 {
        world.hand.listen(world.now, 1000).unwrap();
    }
    world.until(700);
    assert_eq!(world.hand.take_recording().map(|recording| recording.samples.len()), Some(1000));
    world.until(1000);
    assert!(!world.hand.state().listening);
    let second = world.hand.take_recording().unwrap();
    let third = world.hand.take_recording().unwrap();
    assert_eq!(third.first_sample, second.first_sample + 1000);
    // What is handed in with one block is said during the next.
    let from = second.first_sample as usize - usize::from(BLOCK);
    assert_eq!([second.samples, third.samples].concat(), world.says[from..from + 2000]);
    assert_eq!(world.hand.take_recording(), None);
}

#[test]
fn a_recording_can_be_ended_early() {
    let mut world = World::new(off_hook(Plays::Silence));
    world.hand.listen(world.now, 80_000).unwrap();
    world.hand.listen(world.now, 80_000).unwrap();
    world.until(105);
    world.hand.stop_listening(world.now).unwrap();
    world.until(200);
    let lengths: Vec<usize> = std::iter::from_fn(|| world.hand.take_recording()).map(|r| r.samples.len()).collect();
    assert_eq!(lengths, [800, 0]);
    assert!(!world.hand.state().listening);
}

#[test]
fn speech_is_heard_as_it_is_spoken() {
    let mut world = World::new(off_hook(Plays::Silence));
    world.until(95);
    let speech = noise(4000);
    world.hand.speak(world.now, speech[..1500].to_vec()).unwrap();
    world.hand.speak(world.now, speech[1500..].to_vec()).unwrap();
    world.until(300);
    assert!(world.hand.state().speaking);
    world.until(1000);
    assert!(!world.hand.state().speaking);
    assert_eq!(world.heard[720..4720], speech);
}

#[test]
fn keys_are_dtmf_of_100_ms_with_pauses() {
    const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
    const COLUMNS: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
    let keypad = ["123A", "456B", "789C", "*0#D"];
    for (row, keys) in keypad.iter().enumerate() {
        let mut world = World::new(off_hook(Plays::Silence));
        world.hand.dial(world.now, &digits(keys)).unwrap();
        world.until(100);
        assert!(world.hand.state().dialling);
        world.until(1000);
        assert!(!world.hand.state().dialling);
        for (column, key) in world.heard.chunks(1600).take(4).enumerate() {
            let (tone, pause) = key.split_at(800);
            assert!((level(tone, ROWS[row]) + 9.0).abs() < 0.2, "row {row}");
            assert!((level(tone, COLUMNS[column]) + 7.0).abs() < 0.2, "column {column}");
            assert!(pause.iter().all(|&sample| sample == 0));
        }
    }
}

#[test]
fn what_is_said_on_hook_is_lost_and_hanging_up_ends_what_is_said() {
    let mut world = World::new(Behaviour::default());
    world.hand.dial(world.now, &digits("123")).unwrap();
    world.hand.speak(world.now, noise(800)).unwrap();
    world.until(100);
    assert_eq!(world.hand.state(), HandState::default());
    world.hand.off_hook(world.now).unwrap();
    world.hand.dial(world.now, &digits("456")).unwrap();
    world.until(250);
    assert!(world.hand.state().dialling);
    world.hand.on_hook(world.now).unwrap();
    world.until(300);
    assert!(!world.hand.state().dialling);
    world.hand.off_hook(world.now).unwrap();
    world.until(1000);
    assert!(world.heard[2400..].iter().all(|&sample| sample == 0), "keys were pressed after hanging up");
}

#[test]
fn too_many_orders_are_refused_and_none_is_forgotten() {
    let mut world = World::new(off_hook(Plays::Silence));
    let taken = (0..1000).take_while(|_| world.hand.dial(world.now, &digits("1")).is_ok()).count();
    assert!((100..1000).contains(&taken), "{taken}");
    let mut refused = 0;
    while world.hand.speak(world.now, vec![0; 10]) == Err(HandError::Full) && refused < 100 {
        refused += 1;
        world.until(refused * 1000);
    }
    assert!(refused > 0);
    world.until(taken as u64 * 200 + 2000);
    assert_eq!(world.hand.state(), HandState { off_hook: true, ..HandState::default() });
    let tones = world.heard.chunks(1600).filter(|key| power(&key[..800]) > -20.0).count();
    assert_eq!(tones, taken);
}

#[test]
fn gain_is_that_of_both_directions() {
    let mut world = World::new(off_hook(Plays::Tone { hertz: 1000, level_tenth_dbm0: -100 }));
    world.command(LineCommand::Gain { receive_tenth_db: -60, transmit_tenth_db: -35 });
    world.says = noise(16_000);
    world.hand.listen(world.now, 1000).unwrap();
    world.says.fill(8000);
    world.until(1000);
    assert!((level(&world.heard[4000..8000], 1000.0) + 16.0).abs() < 0.05);
    let ear = world.hand.take_recording().unwrap().samples;
    let mean = ear[200..].iter().map(|&s| f64::from(s)).sum::<f64>() / 800.0;
    assert!((mean - 8000.0 * 10f64.powf(-3.5 / 20.0)).abs() < 2.0, "{mean}");
}

#[test]
fn a_late_reader_loses_what_the_card_cannot_hold() {
    let mut world = World::new(off_hook(Plays::Silence));
    world.hand.listen(world.now, 8000).unwrap();
    world.until(105);
    world.now += Duration::from_secs(1);
    let late = world.exchange();
    // 110 blocks are made, 10 were taken, 16 are held.
    assert_eq!((late.first_sample, late.lost, late.pending), (94 * 80, 84 * 80, 15));
    assert_eq!(late.stamped_at, world.began + Duration::from_millis(950));
    let next = world.exchange();
    assert_eq!((next.first_sample, next.lost, next.pending), (95 * 80, 0, 14));
    // The recording keeps its time over the loss.
    world.until(1105);
    assert_eq!(world.hand.take_recording().map(|r| (r.first_sample, r.samples.len())), Some((0, 8000)));
}

#[test]
fn a_block_before_its_time_is_refused() {
    let mut world = World::new(Behaviour::default());
    let mut block = Block::new(1, BLOCK);
    let output = block.clone();
    assert!(world.audio.exchange(world.now, &mut block, &output).is_err());
    world.now += Duration::from_millis(10);
    assert!(world.audio.exchange(world.now, &mut Block::new(2, BLOCK), &output).is_err());
    assert!(world.audio.exchange(world.now, &mut block, &output).is_ok());
}

#[test]
fn a_hand_outlives_its_card() {
    let mut world = World::new(Behaviour::default());
    drop(world.lines);
    assert_eq!(world.hand.off_hook(world.now), Err(HandError::Gone));
}

#[test]
fn hands_and_halves_may_live_on_three_threads() {
    fn may_move<T: Send>(_: &T) {}
    let mut world = World::new(off_hook(Plays::Silence));
    may_move(&world.hand);
    may_move(&world.lines);
    let mut audio = world.audio;
    let now = world.now + Duration::from_secs(10);
    world.hand.listen(world.now, 100).unwrap();
    world.hand.speak(world.now, vec![1; 100]).unwrap();
    while world.lines.event(world.now).is_some() {}
    let thread = std::thread::spawn(move || {
        let (mut input, output) = (Block::new(1, BLOCK), Block::new(1, BLOCK));
        for _ in 0..2 {
            audio.exchange(now, &mut input, &output).unwrap();
        }
        input.port(PORT)[..20].to_vec()
    });
    assert_eq!(thread.join().unwrap(), [1; 20]);
    assert_eq!(world.hand.take_recording().unwrap().samples.len(), 100);
}
