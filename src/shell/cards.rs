//! Builds cards from the configuration and opens them: the only file that names drivers.
//!
//! The line half of a card goes to the control loop, the audio half to a media thread. Of virtual
//! cards the hands of the people at their telephones stay here, for `tipring handset`.

use super::ShellError;
use super::control_protocol::{HandsetAction, Response, SAMPLES_MAX};
use crate::config::{Card as CardEntry, Config, Driver};
use crate::rng::Seed;
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::os::fd::{OwnedFd, RawFd};
use std::task::{Context, Poll};
use tipring_hal::{Audio, Card, CardConfig, CardInfo, Digit, LineEvent, Lines, Readiness};
use tokio::io::unix::AsyncFd;

/// How soon to look again whether a recording is complete.
const RECORDING_POLL: Duration = Duration::from_millis(10);

/// The line half of an open card.
pub(super) struct CardLines {
    /// NAME of `[card.NAME]`.
    pub(super) name: String,
    /// The half itself.
    pub(super) lines: Box<dyn Lines>,
    watch: Option<(RawFd, AsyncFd<OwnedFd>)>,
}

/// The audio half of an open card.
pub(super) struct CardAudio {
    /// What the card is.
    pub(super) info: CardInfo,
    /// The half itself; `None`: the card has no sound.
    pub(super) audio: Option<Box<dyn Audio>>,
}

/// All cards of the configuration, open.
pub(super) struct OpenCards {
    /// In the order of `CardId`.
    pub(super) lines: Vec<CardLines>,
    /// In the same order.
    pub(super) audio: Vec<CardAudio>,
    /// The telephones that can be moved.
    pub(super) hands: Hands,
}

/// Opens every card.
///
/// # Errors
/// [`ShellError::Card`] names the first that cannot be opened.
pub(super) fn open(config: &Config, seed: &Seed, now: Instant) -> Result<OpenCards, ShellError> {
    let mut open = OpenCards { lines: Vec::new(), audio: Vec::new(), hands: Hands::default() };
    for (number, entry) in config.cards.iter().enumerate() {
        let card = build(config, number, entry, seed, &mut open.hands);
        let info = card.info().clone();
        let failed = |source| ShellError::Card { name: entry.name.clone(), source };
        let block_samples = super::media_thread::BLOCK_SAMPLES;
        let halves = card.open(now, &CardConfig { block_samples }).map_err(failed)?;
        open.lines.push(CardLines { name: entry.name.clone(), lines: halves.lines, watch: None });
        open.audio.push(CardAudio { info, audio: halves.audio });
    }
    Ok(open)
}

impl CardLines {
    /// When the lines want to be looked at, if they say a time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.lines.readiness() {
            Readiness::At(at) => Some(at),
            Readiness::Fd(_) | Readiness::Never => None,
        }
    }

    /// Ready when the card's descriptor can be read; never for a card without one.
    pub(super) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Readiness::Fd(card) = self.lines.readiness() else {
            self.watch = None;
            return Poll::Pending;
        };
        if self.watch.as_ref().is_none_or(|(watched, _)| *watched != card) {
            self.watch = super::media_thread::watch_descriptor(card).map(|watch| (card, watch));
        }
        let Some((_, watch)) = &self.watch else { return Poll::Pending };
        match watch.poll_read_ready(context) {
            Poll::Ready(Ok(mut guard)) => {
                // The events are taken until there are none, so the next readiness is a new one.
                guard.clear_ready();
                Poll::Ready(())
            }
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }

    /// The next event that has happened by `now`.
    pub(super) fn event(&mut self, now: Instant) -> Option<LineEvent> {
        self.lines.event(now)
    }
}

fn build(config: &Config, number: usize, entry: &CardEntry, seed: &Seed, hands: &mut Hands) -> Box<dyn Card> {
    match &entry.driver {
        #[cfg(feature = "virtual")]
        Driver::Virtual { crystal_ppm, ports } => {
            let seed = seed.fork("cards").fork(&entry.name).rng().next_u64();
            virtual_card(config, number, entry, (*crystal_ppm, *ports, seed), hands)
        }
        #[cfg(not(feature = "virtual"))]
        Driver::Virtual { .. } => {
            let _ = (config, number, seed, hands);
            Box::new(Absent(CardInfo {
                name: format!("virtual/{}", entry.name),
                ports: Vec::new(),
                rate_hz: 8_000,
                pacing: tipring_hal::Pacing::Software,
            }))
        }
    }
}

/// A card whose driver was left out of the build.
#[cfg(not(feature = "virtual"))]
struct Absent(CardInfo);

#[cfg(not(feature = "virtual"))]
impl Card for Absent {
    fn info(&self) -> &CardInfo {
        &self.0
    }

    fn open(self: Box<Self>, _: Instant, _: &CardConfig) -> Result<tipring_hal::Halves, tipring_hal::CardError> {
        Err(tipring_hal::CardError {
            kind: tipring_hal::CardErrorKind::Unsupported,
            message: "this tipring was built without the driver".into(),
        })
    }
}

#[cfg(feature = "virtual")]
fn virtual_card(
    config: &Config,
    number: usize,
    entry: &CardEntry,
    (crystal_ppm, ports, seed): (i32, u16, u64),
    hands: &mut Hands,
) -> Box<dyn Card> {
    use tipring_virtual::{VirtualCard, VirtualConfig, VirtualPort};
    let mut all = vec![VirtualPort::line(); usize::from(ports)];
    for station in config.stations.iter().filter(|s| s.card == number) {
        if let Some(port) = all.get_mut(usize::from(station.port.0)) {
            *port = VirtualPort::station(behaviour(&station.handset));
        }
    }
    let mut card = VirtualCard::new(VirtualConfig {
        name: entry.name.clone(),
        crystal_ppm,
        ports: all,
        seed,
        ..VirtualConfig::default()
    });
    let mut of_ports: Vec<Option<tipring_virtual::Hand>> = card.hands().into_iter().map(Some).collect();
    for station in config.stations.iter().filter(|s| s.card == number) {
        if let Some(hand) = of_ports.get_mut(usize::from(station.port.0)).and_then(Option::take) {
            hands.by_station.insert(station.name.clone(), Telephone { hand, waiting: Default::default() });
        }
    }
    Box::new(card)
}

#[cfg(feature = "virtual")]
fn behaviour(handset: &crate::config::Handset) -> tipring_virtual::Behaviour {
    use crate::config::Plays;
    tipring_virtual::Behaviour {
        answers_after: handset.answers_after,
        hangs_up_after: handset.hangs_up_after,
        off_hook: handset.off_hook,
        plays: match handset.plays {
            Plays::Silence => tipring_virtual::Plays::Silence,
            Plays::Echo { after, weaker_tenth_db } => tipring_virtual::Plays::Echo { after, weaker_tenth_db },
            Plays::Tone { hertz, level_tenth_dbm0 } => tipring_virtual::Plays::Tone { hertz, level_tenth_dbm0 },
        },
    }
}

/// Where the answer to a request goes.
pub(super) type Answer = tokio::sync::oneshot::Sender<Response>;

#[cfg(feature = "virtual")]
struct Telephone {
    hand: tipring_virtual::Hand,
    /// Who waits for a recording, and when it can be complete; oldest first.
    waiting: std::collections::VecDeque<(Instant, Answer)>,
}

#[cfg(not(feature = "virtual"))]
struct Telephone {}

/// The simulated telephones, by the NAME of `[station.NAME]`.
#[derive(Default)]
pub(super) struct Hands {
    by_station: BTreeMap<String, Telephone>,
}

impl Hands {
    /// Lets a telephone do something and answers, at once or when it is complete.
    pub(super) fn act(&mut self, now: Instant, station: &str, action: HandsetAction, answer: Answer) {
        let name = station.strip_prefix("station/").unwrap_or(station);
        let Some(telephone) = self.by_station.get_mut(name) else {
            let known: Vec<&str> = self.by_station.keys().map(String::as_str).collect();
            let reason = format!("station/{name} is no simulated telephone; there are: {}", known.join(" "));
            let _ = answer.send(Response::Failed(reason));
            return;
        };
        let outcome = match action {
            HandsetAction::Listen(samples) => match telephone.listen(now, samples, answer) {
                Ok(()) => return,
                Err((reason, answer)) => {
                    let _ = answer.send(Response::Failed(reason));
                    return;
                }
            },
            other => telephone.act(now, other),
        };
        // A client that has gone meanwhile loses nothing but the answer.
        let _ = answer.send(match outcome {
            Ok(()) => Response::Done,
            Err(reason) => Response::Failed(reason),
        });
    }

    /// When a recording may be complete.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.by_station.values().filter_map(Telephone::deadline).min()
    }

    /// Sends out the recordings that are complete.
    pub(super) fn answer_listeners(&mut self, now: Instant) {
        for telephone in self.by_station.values_mut() {
            telephone.answer_listeners(now);
        }
    }
}

fn digits_of(text: &str) -> Result<Vec<Digit>, String> {
    if text.is_empty() || text.len() > crate::limits::DIGITS_MAX {
        return Err(format!("1 to {} digits can be dialled at once", crate::limits::DIGITS_MAX));
    }
    let digit = |c| Digit::from_char(c).ok_or_else(|| format!("there is no key {c:?}; keys are 0-9 * # A-D"));
    text.chars().map(digit).collect()
}

#[cfg(feature = "virtual")]
impl Telephone {
    fn act(&mut self, now: Instant, action: HandsetAction) -> Result<(), String> {
        let off_hook = self.hand.state().off_hook;
        let lifted =
            |what: &str| if off_hook { Ok(()) } else { Err(format!("{what}: the handset is down; off-hook first")) };
        match action {
            HandsetAction::OffHook => self.hand.off_hook(now),
            HandsetAction::OnHook => self.hand.on_hook(now),
            HandsetAction::Flash => {
                lifted("flash")?;
                self.hand.flash(now)
            }
            HandsetAction::Dial(text) => {
                let digits = digits_of(&text)?;
                lifted("dial")?;
                self.hand.dial(now, &digits)
            }
            HandsetAction::Speak(samples) => {
                if samples.is_empty() || samples.len() > SAMPLES_MAX {
                    return Err(format!("1 to {SAMPLES_MAX} samples can be spoken at once"));
                }
                lifted("speak")?;
                self.hand.speak(now, samples)
            }
            HandsetAction::Listen(_) => return Err("listening is asked for elsewhere".into()),
        }
        .map_err(|error| error.to_string())
    }

    fn listen(&mut self, now: Instant, samples: usize, answer: Answer) -> Result<(), (String, Answer)> {
        if samples == 0 || samples > SAMPLES_MAX {
            return Err((format!("1 to {SAMPLES_MAX} samples can be heard at once"), answer));
        }
        if let Err(error) = self.hand.listen(now, samples) {
            return Err((error.to_string(), answer));
        }
        let complete = now + Duration::from_micros(samples as u64 * 125);
        self.waiting.push_back((complete, answer));
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|(complete, _)| *complete)
    }

    fn answer_listeners(&mut self, now: Instant) {
        while let Some((complete, _)) = self.waiting.front_mut() {
            if *complete > now {
                return;
            }
            let Some(recording) = self.hand.take_recording() else {
                // The crystal is slow, or an earlier recording still runs.
                *complete = now + RECORDING_POLL;
                return;
            };
            if let Some((_, answer)) = self.waiting.pop_front() {
                let _ = answer.send(Response::Heard(recording.samples));
            }
        }
    }
}

#[cfg(not(feature = "virtual"))]
impl Telephone {
    fn act(&mut self, _: Instant, _: HandsetAction) -> Result<(), String> {
        Err("no such telephone".into())
    }
    fn listen(&mut self, _: Instant, _: usize, answer: Answer) -> Result<(), (String, Answer)> {
        Err(("no such telephone".into(), answer))
    }
    fn deadline(&self) -> Option<Instant> {
        None
    }
    fn answer_listeners(&mut self, _: Instant) {}
}
