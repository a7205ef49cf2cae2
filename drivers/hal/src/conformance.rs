//! Tests for any card: order of events, hook truth, steady block count, no loss at rest.
//!
//! The suite knows a card only through the traits of this crate. Whoever tests a card writes a
//! [`Rig`]: it makes the card, moves the far ends of its ports (the hand of a simulated person, or
//! a relay on a test bench), and lets time pass (by adding numbers, or by waiting). Then one test
//! calls [`run`], or each rule has a test of its own:
//!
//! ```text
//! #[test]
//! fn events_are_in_order() {
//!     tipring_hal::conformance::events_are_in_order(&mut MyRig::new());
//! }
//! ```
//!
//! Every function panics with a sentence when the card breaks the rule.

use crate::{
    Abilities, Audio, Block, Card, CardConfig, CardErrorKind, CardInfo, Digit, Exchange, Halves, Instant, LineCommand,
    LineEvent, LineEventKind, Lines, Pacing, Polarity, PortIndex, PortInfo, PortKind, Readiness,
};
use std::time::Duration;

/// The bench on which a card is tested.
pub trait Rig {
    /// A card that is not open. Called again after the halves of the card before were dropped: the
    /// far ends stay as they were moved.
    fn card(&mut self) -> Box<dyn Card>;
    /// Lifts the telephone on an FXS port at `now`, or puts it down.
    fn move_hook(&mut self, now: Instant, port: PortIndex, off_hook: bool);
    /// The present time.
    fn now(&mut self) -> Instant;
    /// Lets time pass until `at`; does nothing when that is in the past.
    fn wait_until(&mut self, at: Instant);
}

/// Contacts rest, rings trip and cards look at their hooks within this time.
const SETTLES: Duration = Duration::from_millis(500);
/// How often a half is asked that gives no time at which to ask it.
const POLL: Duration = Duration::from_millis(2);
/// How long blocks are counted.
const COUNTING: Duration = Duration::from_secs(2);
/// The most by which a crystal may be off, in parts per million, sound cards included.
const CRYSTAL_PPM_MAX: u128 = 500;

/// All rules, one after the other.
///
/// # Panics
/// When the card breaks one.
pub fn run(rig: &mut dyn Rig) {
    card_describes_itself(rig);
    impossible_blocks_are_refused(rig);
    unknown_ports_are_refused(rig);
    abilities_are_kept(rig);
    commands_in_any_state_do_no_harm(rig);
    events_are_in_order(rig);
    hook_is_true_after_moves(rig);
    hook_is_true_after_reopen(rig);
    blocks_keep_step_with_the_clock(rig);
    late_blocks_are_told_and_none_is_invented(rig);
}

/// The description holds together, and its rate is one that workers run at.
///
/// # Panics
/// When it does not.
pub fn card_describes_itself(rig: &mut dyn Rig) {
    let card = rig.card();
    let info = card.info();
    assert!(!info.name.is_empty(), "the card has no name");
    assert!(!info.ports.is_empty(), "{}: the card has no port", info.name);
    assert!([8000, 16000].contains(&info.rate_hz), "{}: no worker runs at {} Hz", info.name, info.rate_hz);
}

/// A block without samples, or with more than fit, makes `open` fail as unsupported.
///
/// # Panics
/// When the card opens, or fails otherwise.
pub fn impossible_blocks_are_refused(rig: &mut dyn Rig) {
    for block_samples in [0, Block::SAMPLES_MAX + 1] {
        let now = rig.now();
        match rig.card().open(now, &CardConfig { block_samples }) {
            Ok(_) => panic!("the card opened with blocks of {block_samples} samples"),
            Err(error) => assert_eq!(error.kind, CardErrorKind::Unsupported, "{error}"),
        }
    }
}

/// A command to a port that is not there fails as unsupported.
///
/// # Panics
/// When it does not.
pub fn unknown_ports_are_refused(rig: &mut dyn Rig) {
    let mut bench = Bench::open(rig);
    for port in [bench.info.ports.len() as u16, u16::MAX] {
        let now = bench.rig.now();
        match bench.lines.command(now, PortIndex(port), LineCommand::StopRing) {
            Ok(()) => panic!("{}: port {port} took a command, but there is none", bench.info.name),
            Err(error) => assert_eq!(error.kind, CardErrorKind::Unsupported, "{error}"),
        }
    }
}

/// What the kind and the abilities of a port promise is carried out, and the rest is refused as
/// unsupported.
///
/// # Panics
/// When a promise is not kept.
pub fn abilities_are_kept(rig: &mut dyn Rig) {
    let mut bench = Bench::open(rig);
    for (index, port) in bench.info.ports.clone().into_iter().enumerate() {
        for command in commands() {
            let now = bench.rig.now();
            let done = bench.lines.command(now, PortIndex(index as u16), command.clone());
            match (promises(port, &command), done) {
                (true, Ok(())) => {}
                (true, Err(error)) => panic!("port {index}, {command:?}: {error}, but the port promises it"),
                (false, Ok(())) => panic!("port {index} carried out {command:?}, which it does not promise"),
                (false, Err(error)) => assert_eq!(error.kind, CardErrorKind::Unsupported, "{error}"),
            }
        }
    }
    bench.pass(SETTLES);
}

/// Commands in states to which they do not belong (ringing an off-hook telephone, two rings, a
/// battery that is gone) end in no panic, and the hook is told truly afterwards.
///
/// # Panics
/// When the card does, or loses the truth.
pub fn commands_in_any_state_do_no_harm(rig: &mut dyn Rig) {
    let mut bench = Bench::open(rig);
    bench.pass(SETTLES);
    for off_hook in [true, false] {
        for before in commands() {
            for after in commands() {
                for port in bench.all_ports() {
                    let now = bench.rig.now();
                    // Refusals are the business of another rule.
                    let _ = bench.lines.command(now, port, before.clone());
                    let _ = bench.lines.command(now, port, after.clone());
                }
                bench.pass(Duration::from_millis(3));
            }
        }
        for port in bench.all_ports() {
            let now = bench.rig.now();
            let _ = bench.lines.command(now, port, LineCommand::StopRing);
            let _ = bench.lines.command(now, port, LineCommand::Battery(true));
        }
        bench.pass(SETTLES);
        bench.check_hooks(!off_hook);
        bench.move_all(off_hook);
        bench.pass(SETTLES);
        bench.check_hooks(off_hook);
    }
    bench.move_all(false);
    bench.pass(SETTLES);
}

/// Events come oldest first, none before it happened, and each hook alternates.
///
/// # Panics
/// When they do not.
pub fn events_are_in_order(rig: &mut dyn Rig) {
    let mut bench = Bench::open(rig);
    bench.pass(SETTLES);
    let began_at = bench.rig.now();
    for round in 0..6 {
        bench.move_all(round % 2 == 0);
        bench.pass(Duration::from_millis(37 * (round + 1)));
    }
    bench.pass(SETTLES);
    let moved: Vec<&LineEvent> = bench.events.iter().filter(|event| event.at >= began_at).collect();
    for port in bench.stations() {
        let is_hook = |kind: &LineEventKind| matches!(kind, LineEventKind::OffHook | LineEventKind::OnHook);
        let hooks = moved.iter().filter(|event| event.port == port && is_hook(&event.kind));
        assert!(hooks.count() >= 2, "port {}: its hook moved and nothing was told", port.0);
    }
}

/// When hooks have come to rest, the last event of each says how.
///
/// # Panics
/// When it does not.
pub fn hook_is_true_after_moves(rig: &mut dyn Rig) {
    let mut bench = Bench::open(rig);
    for off_hook in [true, false, true, false] {
        bench.move_all(off_hook);
        bench.pass(SETTLES);
        bench.check_hooks(off_hook);
    }
}

/// A card that is opened tells of each telephone that is off hook, and only of these.
///
/// # Panics
/// When it does not.
pub fn hook_is_true_after_reopen(rig: &mut dyn Rig) {
    for off_hook in [true, false] {
        let mut bench = Bench::open(&mut *rig);
        bench.move_all(off_hook);
        bench.pass(SETTLES);
        bench.close();
        let mut bench = Bench::open(&mut *rig);
        bench.pass(SETTLES);
        bench.check_hooks(off_hook);
        let told = bench.events.len();
        assert!(off_hook || told == 0, "{told} events, although all telephones are on hook");
    }
}

/// Over two seconds the samples are as many as the clock says, in unbroken order, and none is lost.
///
/// # Panics
/// When they are not.
pub fn blocks_keep_step_with_the_clock(rig: &mut dyn Rig) {
    let Some((mut bench, mut audio)) = Bench::open_audio(rig) else { return };
    let first = audio.next(&mut bench);
    let until = first.stamped_at + COUNTING;
    let mut last = first;
    while last.stamped_at < until {
        let next = audio.next(&mut bench);
        assert_eq!(next.lost, 0, "samples were lost although every block was fetched in time");
        audio.check_order(&last, &next);
        last = next;
    }
    let samples = u128::from(last.first_sample - first.first_sample);
    let expected = last.stamped_at.since(first.stamped_at).as_nanos() * u128::from(bench.info.rate_hz) / 1_000_000_000;
    let tolerance = expected * CRYSTAL_PPM_MAX / 1_000_000 + u128::from(audio.config.block_samples);
    assert!(samples.abs_diff(expected) <= tolerance, "{samples} samples came in the time of {expected}");
}

/// A reader that was late is told how many blocks wait and how many samples were lost, and both
/// agree with the numbers of the samples.
///
/// # Panics
/// When they do not.
pub fn late_blocks_are_told_and_none_is_invented(rig: &mut dyn Rig) {
    let Some((mut bench, mut audio)) = Bench::open_audio(rig) else { return };
    if bench.info.pacing != Pacing::Card {
        return;
    }
    let mut last = audio.next(&mut bench);
    for late_blocks in [2, 5, 200] {
        let samples = u64::from(audio.config.block_samples) * late_blocks;
        let pause = Duration::from_nanos(samples * 1_000_000_000 / u64::from(bench.info.rate_hz));
        bench.pass(pause + Duration::from_millis(1));
        let next = audio.next(&mut bench);
        audio.check_order(&last, &next);
        last = next;
        let waiting = u64::from(last.pending) + u64::from(last.lost / u32::from(audio.config.block_samples));
        assert!(waiting + 2 >= late_blocks, "{late_blocks} blocks late, but {last:?}");
        for left in (0..last.pending).rev() {
            let next = audio.exchange(&mut bench);
            assert!(next.lost == 0 && next.pending >= left, "after {last:?} comes {next:?}");
            audio.check_order(&last, &next);
            last = next;
        }
    }
}

/// Each command once, in an order that leaves a port at rest.
fn commands() -> Vec<LineCommand> {
    vec![
        LineCommand::Ring,
        LineCommand::StopRing,
        LineCommand::Seize,
        LineCommand::Release,
        LineCommand::Flash,
        LineCommand::Polarity(Polarity::Reversed),
        LineCommand::Polarity(Polarity::Normal),
        LineCommand::Battery(false),
        LineCommand::Battery(true),
        LineCommand::Dial(Digit::ALL.to_vec()),
        LineCommand::Gain { receive_tenth_db: -30, transmit_tenth_db: 30 },
        LineCommand::Gain { receive_tenth_db: 0, transmit_tenth_db: 0 },
        LineCommand::EchoCancel(true),
        LineCommand::Lamp(true),
        LineCommand::Lamp(false),
    ]
}

/// Whether `port` promises to carry out `command`.
fn promises(port: PortInfo, command: &LineCommand) -> bool {
    let fxs = port.kind == PortKind::Fxs;
    let fxo = port.kind == PortKind::Fxo;
    let able = |ability| port.abilities.has(ability);
    match command {
        LineCommand::Ring | LineCommand::StopRing => fxs,
        LineCommand::Seize | LineCommand::Release => fxo,
        LineCommand::Flash => fxo && able(Abilities::TIMES_FLASH),
        LineCommand::Polarity(_) => fxs && able(Abilities::TURNS_POLARITY),
        LineCommand::Battery(_) => fxs && able(Abilities::REMOVES_BATTERY),
        LineCommand::Dial(_) => fxo && able(Abilities::DIALS),
        LineCommand::Gain { .. } => able(Abilities::SETS_GAIN),
        LineCommand::EchoCancel(_) => able(Abilities::CANCELS_ECHO),
        LineCommand::Lamp(_) => fxs && able(Abilities::LAMP),
    }
}

/// An open card on its rig, and the events that it told.
struct Bench<'a> {
    rig: &'a mut dyn Rig,
    info: CardInfo,
    lines: Box<dyn Lines>,
    events: Vec<LineEvent>,
    last_at: Instant,
}

impl<'a> Bench<'a> {
    fn open(rig: &'a mut dyn Rig) -> Bench<'a> {
        Bench::open_halves(rig).0
    }

    fn open_audio(rig: &'a mut dyn Rig) -> Option<(Bench<'a>, Sound)> {
        let (bench, audio) = Bench::open_halves(rig);
        let sound = Sound::new(audio?, &bench.info);
        Some((bench, sound))
    }

    fn open_halves(rig: &'a mut dyn Rig) -> (Bench<'a>, Option<Box<dyn Audio>>) {
        let card = rig.card();
        let info = card.info().clone();
        let now = rig.now();
        let Halves { lines, audio } = match card.open(now, &CardConfig::default()) {
            Ok(halves) => halves,
            Err(error) => panic!("{}: cannot be opened: {error}", info.name),
        };
        (Bench { rig, info, lines, events: Vec::new(), last_at: now }, audio)
    }

    /// Closes the card.
    fn close(self) {
        drop(self.lines);
    }

    fn all_ports(&self) -> Vec<PortIndex> {
        (0..self.info.ports.len() as u16).map(PortIndex).collect()
    }

    /// Ports that have a telephone.
    fn stations(&self) -> Vec<PortIndex> {
        let is_station = |port: &PortIndex| self.info.ports[usize::from(port.0)].kind == PortKind::Fxs;
        self.all_ports().into_iter().filter(is_station).collect()
    }

    fn move_all(&mut self, off_hook: bool) {
        for port in self.stations() {
            let now = self.rig.now();
            self.rig.move_hook(now, port, off_hook);
        }
    }

    /// Lets time pass and collects events; each is checked as it comes.
    fn pass(&mut self, time: Duration) {
        let until = self.rig.now() + time;
        loop {
            let now = self.rig.now();
            while let Some(event) = self.lines.event(now) {
                self.check_event(now, &event);
                self.events.push(event);
            }
            if now >= until {
                return;
            }
            let next = match self.lines.readiness() {
                Readiness::At(at) => at.max(now + Duration::from_micros(1)),
                Readiness::Fd(_) | Readiness::Never => now + POLL,
            };
            self.rig.wait_until(next.min(until));
        }
    }

    fn check_event(&mut self, now: Instant, event: &LineEvent) {
        assert!(event.at <= now, "{event:?} is told at {now}, before it happens");
        assert!(event.at >= self.last_at, "{event:?} is told after one of {}", self.last_at);
        self.last_at = event.at;
        assert!(usize::from(event.port.0) < self.info.ports.len(), "{event:?} is of a port that is not there");
        if matches!(event.kind, LineEventKind::OffHook | LineEventKind::OnHook) {
            let is_off_hook = event.kind == LineEventKind::OffHook;
            assert_ne!(self.is_off_hook(event.port), is_off_hook, "{event:?} says what was known");
        }
    }

    /// What the events said last of a hook. A card begins with "on hook".
    fn is_off_hook(&self, port: PortIndex) -> bool {
        let hook = |event: &LineEvent| match event.kind {
            LineEventKind::OffHook if event.port == port => Some(true),
            LineEventKind::OnHook if event.port == port => Some(false),
            _ => None,
        };
        self.events.iter().rev().find_map(hook).unwrap_or(false)
    }

    fn check_hooks(&self, off_hook: bool) {
        for port in self.stations() {
            let told = self.is_off_hook(port);
            assert_eq!(told, off_hook, "port {}: off hook is {off_hook}, but the card says {told}", port.0);
        }
    }
}

/// The audio half of an open card.
struct Sound {
    audio: Box<dyn Audio>,
    config: CardConfig,
    input: Block,
    output: Block,
}

impl Sound {
    fn new(audio: Box<dyn Audio>, info: &CardInfo) -> Self {
        let config = CardConfig::default();
        let block = Block::new(info.ports.len() as u16, config.block_samples);
        Sound { audio, config, input: block.clone(), output: block }
    }

    /// Waits for the next block and fetches it.
    fn next(&mut self, bench: &mut Bench<'_>) -> Exchange {
        let now = bench.rig.now();
        match self.audio.readiness() {
            Readiness::At(at) => bench.rig.wait_until(at),
            Readiness::Fd(_) | Readiness::Never => bench.rig.wait_until(now + POLL),
        }
        self.exchange(bench)
    }

    fn exchange(&mut self, bench: &mut Bench<'_>) -> Exchange {
        let now = bench.rig.now();
        match self.audio.exchange(now, &mut self.input, &self.output) {
            Ok(exchange) => {
                assert!(exchange.stamped_at <= now, "{exchange:?} is of the future; it is {now}");
                exchange
            }
            Err(error) => panic!("no block could be moved at {now}: {error}"),
        }
    }

    fn check_order(&self, before: &Exchange, after: &Exchange) {
        let expected = before.first_sample + u64::from(self.config.block_samples) + u64::from(after.lost);
        assert_eq!(after.first_sample, expected, "after {before:?} comes {after:?}");
        assert!(after.stamped_at > before.stamped_at, "after {before:?} comes {after:?}");
    }
}
