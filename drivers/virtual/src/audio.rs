//! The audio half: the crystal makes blocks, the hybrid joins two wires to four, people speak and
//! listen. Nothing here allocates, frees or waits once the card is open.

use crate::crystal::Crystal;
use crate::hand::{AudioWires, BUFFERS_MAX, Back, Hear, Recording, Say, Shared, Tape};
use crate::sound::{Sine, amplify, clip, gain};
use crate::{Plays, RATE_HZ, VirtualConfig};
use rtrb::{Consumer, Producer, PushError};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tipring_hal::{Audio, Block, CardError, CardErrorKind, Digit, Exchange, Instant, PortIndex, Readiness};

/// Echo of the hybrid, from what we say to the line to what comes back: about -20 dB of white noise,
/// spread over some samples. In parts of 32768, from the sample that is said at this moment.
const HYBRID_ECHO: [i32; 9] = [0, 0, 0, 1500, 2310, 1500, -808, -462, -173];
/// What a mouth says reaches the ear of the same handset 12 dB weaker.
const SIDETONE_TENTH_DB: i16 = -120;
/// A key sounds for 100 ms, and the next one not before another 100 ms.
const KEY_SAMPLES: u32 = RATE_HZ / 10;
/// Levels of a key, in tenths of a dBm0: the high frequency is 2 dB stronger (Q.23 permits it, and
/// telephones do it because cable weakens high frequencies more).
const KEY_LOW_TENTH_DBM0: i16 = -90;
const KEY_HIGH_TENTH_DBM0: i16 = -70;

/// The audio half of a virtual card.
pub(crate) struct VirtualAudio {
    crystal: Crystal,
    blocks_held: u64,
    block_samples: u16,
    next_block: u64,
    /// What the lines hear while the next input block is made.
    playing: Block,
    ports: Vec<AudioPort>,
}

impl VirtualAudio {
    /// Allocates everything.
    pub fn new(config: &VirtualConfig, crystal: Crystal, block_samples: u16, wires: Vec<AudioWires>) -> Self {
        let ports = config.ports.iter().zip(wires).map(|(port, wires)| AudioPort::new(port.behaviour.plays, wires));
        VirtualAudio {
            crystal,
            blocks_held: u64::from(config.blocks_held.max(1)),
            block_samples,
            next_block: 0,
            playing: Block::new(config.ports.len() as u16, block_samples),
            ports: ports.collect(),
        }
    }
}

impl Audio for VirtualAudio {
    fn readiness(&self) -> Readiness {
        Readiness::At(self.crystal.complete_at(self.next_block))
    }

    fn exchange(&mut self, now: Instant, input: &mut Block, output: &Block) -> Result<Exchange, CardError> {
        let waiting = self.crystal.blocks_made(now).saturating_sub(self.next_block);
        let fits = |block: &Block| block.ports() == self.playing.ports() && block.samples() == self.block_samples;
        if waiting == 0 || !fits(input) || !fits(output) {
            // Both are mistakes of the caller. No words: they would have to be allocated.
            return Err(CardError { kind: CardErrorKind::Fault, message: String::new() });
        }
        let lost = waiting.saturating_sub(self.blocks_held) * u64::from(self.block_samples);
        self.next_block += waiting.saturating_sub(self.blocks_held);
        let first_sample = self.next_block * u64::from(self.block_samples);
        for (index, port) in self.ports.iter_mut().enumerate() {
            let index = PortIndex(index as u16);
            port.ear.hear_nothing(lost);
            port.run(first_sample, self.playing.port(index), input.port_mut(index));
            self.playing.port_mut(index).copy_from_slice(output.port(index));
        }
        let stamped_at = self.crystal.complete_at(self.next_block);
        self.next_block += 1;
        Ok(Exchange {
            first_sample,
            stamped_at,
            lost: u32::try_from(lost).unwrap_or(u32::MAX),
            pending: (waiting.min(self.blocks_held) - 1) as u32,
        })
    }
}

/// Line, hybrid, mouth and ear of one port.
struct AudioPort {
    shared: Arc<Shared>,
    person: Person,
    mouth: Mouth,
    ear: Ear,
    /// The last samples that the line heard, the newest first.
    said: [i32; HYBRID_ECHO.len()],
    /// How many of them, and of those before, were zero without a break.
    silent_for: u32,
    sidetone: i32,
}

impl AudioPort {
    fn new(plays: Plays, wires: AudioWires) -> Self {
        AudioPort {
            shared: Arc::clone(&wires.shared),
            person: Person::new(plays),
            mouth: Mouth { orders: wires.mouth, now: None },
            ear: Ear {
                orders: wires.ear,
                back: wires.back,
                tapes: VecDeque::with_capacity(BUFFERS_MAX as usize),
                first_sample: None,
            },
            said: [0; HYBRID_ECHO.len()],
            silent_for: u32::MAX,
            sidetone: gain(SIDETONE_TENTH_DB),
        }
    }

    /// One block: the line hears `playing`, and we hear `input`.
    fn run(&mut self, first_sample: u64, playing: &[i16], input: &mut [i16]) {
        let closed = self.shared.loop_closed();
        let lifted = self.shared.lifted.load(Ordering::Acquire);
        let receive_gain = self.shared.receive_gain.load(Ordering::Acquire);
        let transmit_gain = self.shared.transmit_gain.load(Ordering::Acquire);
        self.ear.begin_block(&self.shared);
        if !lifted {
            self.mouth.give_up(&mut self.ear.back, &self.shared);
        }
        if !closed && !lifted && self.rests() {
            input.fill(0);
            self.silent_for = self.silent_for.saturating_add(input.len() as u32);
            return;
        }
        for (index, (sample, &played)) in input.iter_mut().zip(playing).enumerate() {
            let heard = if closed { amplify(i32::from(played), transmit_gain) } else { 0 };
            let person = self.person.sample(heard);
            let spoken = if lifted { person + self.mouth.sample(&mut self.ear.back, &self.shared) } else { 0 };
            let echo = self.echo(heard);
            *sample = if closed { clip(amplify(spoken + echo, receive_gain)) } else { 0 };
            let at_ear = if closed { clip(heard + amplify(spoken, self.sidetone)) } else { 0 };
            self.ear.hear(first_sample + index as u64, at_ear, &self.shared);
        }
    }

    /// Nobody records, and nothing that was heard before can sound again.
    fn rests(&self) -> bool {
        let remembered = match &self.person {
            Person::Echo { heard, .. } => heard.len(),
            Person::Silent | Person::Tone(_) => 0,
        };
        self.ear.tapes.is_empty() && self.silent_for as usize > remembered.max(HYBRID_ECHO.len())
    }

    fn echo(&mut self, heard: i32) -> i32 {
        // Most lines are silent most of the time: nothing was heard for as long as an echo lasts.
        self.silent_for = if heard == 0 { self.silent_for.saturating_add(1) } else { 0 };
        if self.silent_for as usize > HYBRID_ECHO.len() {
            return 0;
        }
        self.said.copy_within(..HYBRID_ECHO.len() - 1, 1);
        self.said[0] = heard;
        let sum: i64 = self.said.iter().zip(HYBRID_ECHO).map(|(said, tap)| i64::from(*said) * i64::from(tap)).sum();
        (sum >> 15) as i32
    }
}

/// What the person's mouth says by itself.
enum Person {
    Silent,
    Echo { heard: Box<[i32]>, at: usize, gain: i32 },
    Tone(Sine),
}

impl Person {
    fn new(plays: Plays) -> Self {
        match plays {
            Plays::Silence => Person::Silent,
            Plays::Echo { after, weaker_tenth_db } => {
                let samples = after.min(Plays::ECHO_MAX).as_millis() as usize * RATE_HZ as usize / 1000;
                let loss = i16::try_from(weaker_tenth_db).unwrap_or(i16::MAX);
                Person::Echo { heard: vec![0; samples.max(1)].into_boxed_slice(), at: 0, gain: gain(-loss) }
            }
            Plays::Tone { hertz, level_tenth_dbm0 } => Person::Tone(Sine::new(hertz, level_tenth_dbm0)),
        }
    }

    /// What is said at the moment at which `heard` is heard.
    fn sample(&mut self, heard: i32) -> i32 {
        match self {
            Person::Silent => 0,
            Person::Echo { heard: memory, at, gain } => {
                let said = amplify(std::mem::replace(&mut memory[*at], heard), *gain);
                *at = (*at + 1) % memory.len();
                said
            }
            Person::Tone(sine) => sine.sample(),
        }
    }
}

/// What the hand makes the mouth say.
struct Mouth {
    orders: Consumer<Say>,
    now: Option<Saying>,
}

enum Saying {
    Key { low: Sine, high: Sine, position: u32 },
    Speech { samples: Vec<i16>, position: usize },
}

impl Mouth {
    fn sample(&mut self, back: &mut Producer<Back>, shared: &Shared) -> i32 {
        if self.now.is_none() {
            self.now = self.orders.pop().ok().map(Saying::new);
        }
        let (sample, ends) = match &mut self.now {
            None => return 0,
            Some(Saying::Key { low, high, position }) => {
                *position += 1;
                let sounds = *position <= KEY_SAMPLES;
                (if sounds { low.sample() + high.sample() } else { 0 }, *position >= 2 * KEY_SAMPLES)
            }
            Some(Saying::Speech { samples, position }) => {
                let sample = samples.get(*position).copied().unwrap_or(0);
                *position += 1;
                (i32::from(sample), *position >= samples.len())
            }
        };
        if ends && let Some(said) = self.now.take() {
            said.end(back, shared);
        }
        sample
    }

    /// The handset was put down: nothing more is said.
    fn give_up(&mut self, back: &mut Producer<Back>, shared: &Shared) {
        if let Some(said) = self.now.take() {
            said.end(back, shared);
        }
        for _ in 0..self.orders.slots() {
            if let Ok(say) = self.orders.pop() {
                Saying::new(say).end(back, shared);
            }
        }
    }
}

impl Saying {
    fn new(say: Say) -> Self {
        match say {
            Say::Key(digit) => {
                let (low, high) = frequencies(digit);
                Saying::Key {
                    low: Sine::new(low, KEY_LOW_TENTH_DBM0),
                    high: Sine::new(high, KEY_HIGH_TENTH_DBM0),
                    position: 0,
                }
            }
            Say::Speech(samples) => Saying::Speech { samples, position: 0 },
        }
    }

    fn end(self, back: &mut Producer<Back>, shared: &Shared) {
        match self {
            Saying::Key { .. } => shared.keys_done(),
            Saying::Speech { samples, .. } => {
                give_back(back, Back::Speech(samples));
                shared.speeches_done();
            }
        }
    }
}

/// What the ear records.
struct Ear {
    orders: Consumer<Hear>,
    back: Producer<Back>,
    /// The recording that runs, and those that wait. A hand has no more under way than fit.
    tapes: VecDeque<Tape>,
    first_sample: Option<u64>,
}

impl Ear {
    fn begin_block(&mut self, shared: &Shared) {
        for _ in 0..self.orders.slots() {
            match self.orders.pop() {
                Ok(Hear::Record(tape)) => self.tapes.push_back(tape),
                Ok(Hear::Stop) => {
                    while !self.tapes.is_empty() {
                        self.finish(shared);
                    }
                }
                Err(_) => break,
            }
        }
    }

    fn hear(&mut self, number: u64, sample: i16, shared: &Shared) {
        let Some(tape) = self.tapes.front_mut() else {
            return;
        };
        if self.first_sample.is_none() {
            self.first_sample = Some(number);
        }
        if tape.samples.len() < tape.wanted {
            tape.samples.push(sample);
        }
        if tape.samples.len() >= tape.wanted {
            self.finish(shared);
        }
    }

    /// The card lost `samples` samples: the recording keeps its time.
    fn hear_nothing(&mut self, samples: u64) {
        if self.first_sample.is_some()
            && let Some(tape) = self.tapes.front_mut()
        {
            // One place stays free, so that the next sample ends the recording as always.
            let room = tape.wanted.saturating_sub(tape.samples.len() + 1) as u64;
            tape.samples.resize(tape.samples.len() + samples.min(room) as usize, 0);
        }
    }

    fn finish(&mut self, shared: &Shared) {
        if let Some(tape) = self.tapes.pop_front() {
            let first_sample = self.first_sample.take().unwrap_or(0);
            give_back(&mut self.back, Back::Recording(Recording { first_sample, samples: tape.samples }));
            shared.recordings_done();
        }
    }
}

/// Sends a buffer home to be dropped there.
fn give_back(back: &mut Producer<Back>, buffer: Back) {
    // The ring has a place for every buffer that its hand may have under way. Were it not so, a
    // leak is still better than freeing memory on a real-time thread.
    if let Err(PushError::Full(buffer)) = back.push(buffer) {
        std::mem::forget(buffer);
    }
}

/// The two frequencies of a key in Hz, low and high (Q.23).
fn frequencies(digit: Digit) -> (u16, u16) {
    const LOW: [u16; 4] = [697, 770, 852, 941];
    const HIGH: [u16; 4] = [1209, 1336, 1477, 1633];
    let (row, column) = match digit.event() {
        0 => (3, 1),
        event @ 1..=9 => (usize::from(event - 1) / 3, usize::from(event - 1) % 3),
        10 => (3, 0),
        11 => (3, 2),
        event => (usize::from(event).saturating_sub(12).min(3), 3),
    };
    (LOW[row], HIGH[column])
}
