//! Plays the steps of a scenario in a world, and judges its expectations.

use super::peers::{Habits, LogEntry, Noticed, PhoneSettings, SipPhone};
use super::phone_audio::Voice;
use super::scenario::{Action, Actor, Expectation, Finding, Scenario, Step, What};
use super::sound::{self, Noise, Sine, Track};
use super::stations::Bell;
use super::world::{PhoneId, World, WorldSettings};
use super::{Report, StepReport, checkers};
use crate::config::Config;
use crate::rng::Seed;
use crate::sip::Transport;
use crate::time::{Duration, Instant};
use g7xx::g711::Law;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use tipring_hal::Digit;

/// How often an expectation is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often a correlation is computed: it costs more than a look.
const CORRELATE_EVERY: u32 = 5;
/// How often a delay that must hold is measured.
const HOLDS_EVERY: Duration = Duration::from_secs(10);
/// Samples in which a tone must sound without a break: 200 ms, less than the shortest of a cadence.
const TONE_SAMPLES: usize = 1_600;
/// A frequency may be off by this share of itself, which is what exchanges are allowed (E.180: 1.5 %).
const FREQUENCY_TOLERANCE: f64 = 0.015;
/// The frequencies of a tone make up at least this share of what is heard.
const TONE_SHARE_MIN: f64 = 0.8;
/// Below this a tone counts as not heard.
const TONE_DBM0_MIN: f64 = -45.0;
/// Above this it is not silent.
const SILENCE_DBM0_MAX: f64 = -60.0;

/// A scenario in its world.
pub struct Player {
    world: World,
    seed: u64,
    users: BTreeMap<Actor, PhoneId>,
    /// Lengths of all logs at the last action: what comes after it is looked at.
    marks: BTreeMap<Actor, usize>,
    steps: Vec<StepReport>,
}

impl Player {
    /// Builds the world of a scenario.
    ///
    /// # Errors
    /// Steps that name somebody who is not in the configuration.
    pub fn new(scenario: &Scenario, config: Config, seed: u64, records: bool) -> Result<Player, Vec<Finding>> {
        let mut accounts = BTreeMap::new();
        let mut findings = Vec::new();
        for (index, (line, actor)) in actors(scenario).into_iter().enumerate() {
            match user(&config, &actor, index) {
                Ok(Some(settings)) => drop(accounts.entry(actor).or_insert(settings)),
                Ok(None) => {}
                Err(message) => findings.push(Finding { line, column: 1, message }),
            }
        }
        for card in scenario.crystals.keys().filter(|name| !config.cards.iter().any(|card| card.name == **name)) {
            findings.push(Finding { line: 1, column: 1, message: format!("the configuration has no card {card:?}") });
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        let mut world = World::new(WorldSettings {
            config,
            seed,
            signalling: scenario.signalling,
            media: scenario.media,
            crystals: scenario.crystals.clone(),
            records,
            zone: BTreeMap::new(),
        });
        let mut users = BTreeMap::new();
        for (actor, settings) in accounts {
            users.insert(actor, world.add_phone(settings));
        }
        for cut in &scenario.cuts {
            let user = cut.who.as_ref().and_then(|who| users.get(who));
            let address = user.map(|id| world.phone(*id).settings().address.ip());
            if cut.who.is_none() || address.is_some() {
                world.cut(cut.at(address));
            }
        }
        for (_, actor) in actors(scenario) {
            if let Actor::Station(name) = &actor
                && let Some(station) = world.station_mut(name)
            {
                station.listen();
            }
        }
        Ok(Player { world, seed, users, marks: BTreeMap::new(), steps: Vec::new() })
    }

    /// Plays all steps; the report, and the world as it is then.
    pub fn play(mut self, scenario: &Scenario) -> (Report, World) {
        let limit = Instant::ZERO + scenario.limit;
        self.mark();
        for step in &scenario.steps {
            let passed = self.step(step, limit);
            if passed == Some(false) || self.world.now() >= limit {
                break;
            }
        }
        for problem in self.world.checkers().problems() {
            let at = self.world.now();
            self.steps.push(StepReport { at, line: 0, text: problem.clone(), passed: Some(false) });
        }
        let report = Report {
            title: scenario.title.clone(),
            seed: self.seed,
            steps_total: scenario.steps.len(),
            hash: self.world.hash(),
            ended_at: self.world.now(),
            steps: self.steps,
        };
        (report, self.world)
    }

    fn step(&mut self, step: &Step, limit: Instant) -> Option<bool> {
        let (text, passed) = match &step.what {
            What::Wait(time) => {
                self.world.run_until(limit.min(self.world.now() + *time));
                self.mark();
                (format!("{} ms passed", time.as_millis()), None)
            }
            What::Do(who, action) => {
                self.mark();
                self.act(who, action);
                (format!("{who} {}", words(action)), None)
            }
            What::Expect { what, within } => {
                let deadline = limit.min(self.world.now() + *within);
                let (mut passed, mut text) = self.expect(what, deadline);
                if let (true, Expectation::Audio { who, from, delay_min, delay_max, holds }) = (passed, what) {
                    (passed, text) = self.holds((who, from), (*delay_min, *delay_max), *holds, text);
                }
                (text, Some(passed))
            }
        };
        self.steps.push(StepReport { at: self.world.now(), line: step.line, text, passed });
        passed
    }

    fn mark(&mut self) {
        let users = self.users.iter().map(|(actor, id)| (actor.clone(), self.world.phone(*id).log().len()));
        let stations =
            self.world.stations().map(|station| (Actor::Station(station.name.clone()), station.bells().len()));
        self.marks = users.chain(stations).collect();
    }

    fn act(&mut self, who: &Actor, action: &Action) {
        let now = self.world.now();
        let voice = match action {
            Action::Speak(_) => {
                // Each time from another fork, so that two mouths never say the same.
                let seed = Seed::from_number(self.seed).fork(&format!("speech of {who} at {now}"));
                Voice::Noise(Noise::new(seed.rng()))
            }
            Action::Play { hertz, level_dbm0, .. } => Voice::Tone(Sine::new(*hertz, *level_dbm0)),
            _ => Voice::Silent,
        };
        let until = match action {
            Action::Speak(during) | Action::Play { during, .. } => during.map(|during| now + during),
            _ => None,
        };
        if let Actor::Station(name) = who {
            let Some(station) = self.world.station_mut(name) else { return };
            match action {
                Action::OffHook => station.lift(now),
                Action::OnHook => station.put_down(now),
                Action::Flash => station.flash(now),
                Action::Dial(digits) => station.dial(now, digits),
                Action::Speak(_) | Action::Play { .. } => station.speak(voice, until),
                _ => station.hush(),
            }
            return;
        }
        let Some(id) = self.users.get(who).copied() else { return };
        self.world.at_phone(id, |phone, now, sent| match action {
            Action::Register => phone.register(now, true, sent),
            Action::Unregister => phone.register(now, false, sent),
            Action::Call(number) => drop(phone.call(now, number, sent)),
            Action::Answer => phone.answer(now, sent),
            Action::Reject(status) => phone.reject(now, *status, sent),
            Action::Transfer(number) => phone.transfer(now, number, sent),
            Action::JoinCalls => phone.transfer_attended(now, sent),
            Action::HangUp => phone.hang_up(now, sent),
            Action::SendDigits(digits) => phone.press(digits),
            _ => phone.speak(voice, until),
        });
    }

    fn expect(&mut self, what: &Expectation, deadline: Instant) -> (bool, String) {
        for look in 0_u32.. {
            let costly = matches!(what, Expectation::Audio { .. });
            let last = self.world.now() >= deadline;
            if last || !costly || look % CORRELATE_EVERY == 0 {
                let (so, text) = self.look(what);
                if so || last {
                    return (so, text);
                }
            }
            self.world.run_until(deadline.min(self.world.now() + LOOK_EVERY));
        }
        (false, String::new())
    }

    /// Whether the delay of what was just heard stays within its bounds.
    fn holds(
        &mut self,
        (who, from): (&Actor, &Actor),
        (min, max): (Duration, Duration),
        time: Duration,
        first: String,
    ) -> (bool, String) {
        let until = self.world.now() + time;
        let (mut least, mut greatest) = (Duration::MAX, Duration::ZERO);
        while self.world.now() < until {
            self.world.run_until(until.min(self.world.now() + HOLDS_EVERY));
            let heard = self.ear(who).zip(self.mouth(from));
            let Some((took, _)) = heard.and_then(|(ear, mouth)| sound::delay(mouth, ear, min, max)) else {
                return (false, format!("{who} no longer hears {from} within {} ms", max.as_millis()));
            };
            (least, greatest) = (least.min(took), greatest.max(took));
        }
        if time.is_zero() {
            return (true, first);
        }
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        (true, format!("{first}, then for {} s after {:.1} to {:.1} ms", time.as_secs(), ms(least), ms(greatest)))
    }

    /// Whether it is so now, and what was seen.
    fn look(&self, what: &Expectation) -> (bool, String) {
        match what {
            Expectation::Registered(who) => self.noticed(who, "is registered", |n| matches!(n, Noticed::Registered)),
            Expectation::Ringing(who @ Actor::Station(name)) => {
                let since = self.marks.get(who).copied().unwrap_or(0);
                let bells = self.world.station(name).map_or(&[][..], |station| station.bells());
                let rings = bells.get(since.saturating_sub(1)..).unwrap_or(&[]);
                let rings = rings.iter().any(|(_, bell)| *bell == Bell::Rings);
                (rings, format!("{who} {}", if rings { "rings" } else { "does not ring" }))
            }
            Expectation::Ringing(who) => self.noticed(who, "rings", |n| matches!(n, Noticed::Ringing)),
            Expectation::Ringback(who) => {
                self.noticed(who, "is told that it rings", |n| matches!(n, Noticed::Ringback))
            }
            Expectation::Transferred { who, status } => {
                self.noticed(who, &format!("heard {status} of its transfer"), |n| *n == Noticed::Transferred(*status))
            }
            Expectation::Answered(who) => self.noticed(who, "has an answered call", |n| matches!(n, Noticed::Answered)),
            Expectation::Released { who, status, cause } => self.released(who, *status, *cause),
            Expectation::Tone { who, hertz, level_dbm0, tolerance_db } => {
                self.tone(who, hertz, *level_dbm0, *tolerance_db)
            }
            Expectation::Silence(who) => {
                let level = self.ear(who).and_then(|ear| ear.last(TONE_SAMPLES)).map(sound::level_dbm0);
                let silent = level.is_some_and(|level| level < SILENCE_DBM0_MAX);
                (silent, format!("{who} hears {}", level.map_or("nothing yet".to_owned(), |l| format!("{l:.1} dBm0"))))
            }
            Expectation::Audio { who, from, delay_min, delay_max, .. } => self.audio(who, from, *delay_min, *delay_max),
            Expectation::Digits { who, digits } => {
                let heard = self.entries(who).iter().filter_map(|entry| match entry.noticed {
                    Noticed::Digit(digit) => Some(digit),
                    _ => None,
                });
                let heard: Vec<Digit> = heard.collect();
                let text: String = heard.iter().map(|digit| digit.as_char()).collect();
                (heard == *digits, format!("{who} got digits {text:?}"))
            }
            Expectation::NothingLeft => {
                let mut left = checkers::left(&self.world.gateway().counts());
                let calls: usize = self.world.phones().iter().map(SipPhone::call_count).sum();
                left.extend((calls > 0).then(|| format!("{calls} calls at phones left")));
                (left.is_empty(), if left.is_empty() { "nothing is left".to_owned() } else { left.join(", ") })
            }
        }
    }

    /// What a SIP user noticed since the last action.
    fn entries(&self, who: &Actor) -> &[LogEntry] {
        let since = self.marks.get(who).copied().unwrap_or(0);
        let log = self.users.get(who).map_or(&[][..], |id| self.world.phone(*id).log());
        log.get(since..).unwrap_or(&[])
    }

    fn noticed(&self, who: &Actor, words: &str, wanted: impl Fn(&Noticed) -> bool) -> (bool, String) {
        match self.entries(who).iter().find(|entry| wanted(&entry.noticed)) {
            Some(entry) => (true, format!("{who} {words} since {}", entry.at)),
            None => {
                let seen: Vec<String> = self.entries(who).iter().map(|entry| format!("{:?}", entry.noticed)).collect();
                (false, format!("expected: {who} {words}; noticed: {}", list(&seen)))
            }
        }
    }

    fn released(&self, who: &Actor, status: Option<u16>, cause: Option<u8>) -> (bool, String) {
        let mut seen = Vec::new();
        for entry in self.entries(who) {
            if let Noticed::Released { status: got_status, cause: got_cause, how, .. } = &entry.noticed {
                let status_text = got_status.map(|s| format!(" with status {s}")).unwrap_or_default();
                let cause_text = got_cause.map(|c| format!(" and cause {c}")).unwrap_or_default();
                let text = format!("{how}{status_text}{cause_text} at {}", entry.at);
                if (status.is_none() || status == *got_status) && (cause.is_none() || cause == *got_cause) {
                    return (true, format!("the call of {who} ended: {text}"));
                }
                seen.push(text);
            } else {
                seen.push(format!("{:?} at {}", entry.noticed, entry.at));
            }
        }
        let wanted = status.map(|s| format!(" status {s}")).unwrap_or_default()
            + &cause.map(|c| format!(" cause {c}")).unwrap_or_default();
        (false, format!("expected: the call of {who} ends{wanted}; noticed: {}", list(&seen)))
    }

    fn tone(&self, who: &Actor, hertz: &[f64], level: Option<f64>, tolerance_db: f64) -> (bool, String) {
        let Some(heard) = self.ear(who).and_then(|ear| ear.last(TONE_SAMPLES)) else {
            return (false, format!("{who} heard nothing yet"));
        };
        let (found, share) = sound::measure(heard, hertz);
        let fits = hertz.iter().zip(&found).all(|(wanted, found)| {
            (found.hertz - wanted).abs() <= wanted * FREQUENCY_TOLERANCE
                && found.level_dbm0 > TONE_DBM0_MIN
                && level.is_none_or(|level| (found.level_dbm0 - level).abs() <= tolerance_db)
        });
        let text: Vec<String> =
            found.iter().map(|m| format!("{:.1} Hz at {:.1} dBm0", m.hertz, m.level_dbm0)).collect();
        let share_text = format!("{:.0} % of all", (share * 100.0).min(100.0));
        (fits && share >= TONE_SHARE_MIN, format!("{who} hears {} ({share_text})", text.join(" + ")))
    }

    fn audio(&self, who: &Actor, from: &Actor, min: Duration, max: Duration) -> (bool, String) {
        let (Some(ear), Some(mouth)) = (self.ear(who), self.mouth(from)) else {
            return (false, format!("{who} or {from} has no call"));
        };
        match sound::delay(mouth, ear, min, max) {
            Some((took, likeness)) => {
                let ms = took.as_secs_f64() * 1e3;
                (true, format!("{who} hears {from} after {ms:.1} ms (likeness {likeness:.2})"))
            }
            None => (false, format!("{who} does not hear {from} within {} ms", max.as_millis())),
        }
    }

    fn ear(&self, who: &Actor) -> Option<&Track> {
        match who {
            Actor::Station(name) => self.world.station(name).map(|station| &station.ear),
            user => self.world.phone(*self.users.get(user)?).audio().map(|audio| &audio.ear),
        }
    }

    fn mouth(&self, who: &Actor) -> Option<&Track> {
        match who {
            Actor::Station(name) => self.world.station(name).map(|station| &station.mouth),
            user => self.world.phone(*self.users.get(user)?).audio().map(|audio| &audio.mouth),
        }
    }
}

fn list(seen: &[String]) -> String {
    if seen.is_empty() { "nothing".to_owned() } else { seen.join(", ") }
}

/// Everybody that a scenario names, each once, with the first line that does.
fn actors(scenario: &Scenario) -> Vec<(usize, Actor)> {
    let mut actors: Vec<(usize, Actor)> = Vec::new();
    let mut add = |line, actor: &Actor| {
        if !actors.iter().any(|(_, known)| known == actor) {
            actors.push((line, actor.clone()));
        }
    };
    for step in &scenario.steps {
        match &step.what {
            What::Wait(_) | What::Expect { what: Expectation::NothingLeft, .. } => {}
            What::Do(who, _) => add(step.line, who),
            What::Expect { what, .. } => match what {
                Expectation::Audio { who, from, .. } => {
                    add(step.line, who);
                    add(step.line, from);
                }
                Expectation::Registered(who)
                | Expectation::Ringing(who)
                | Expectation::Ringback(who)
                | Expectation::Answered(who)
                | Expectation::Transferred { who, .. }
                | Expectation::Released { who, .. }
                | Expectation::Tone { who, .. }
                | Expectation::Silence(who)
                | Expectation::Digits { who, .. } => add(step.line, who),
                Expectation::NothingLeft => {}
            },
        }
    }
    actors
}

/// The SIP phone of an actor; none for a station that is there.
fn user(config: &Config, actor: &Actor, index: usize) -> Result<Option<PhoneSettings>, String> {
    // Each has an address of its own; the peer of a trunk has the trunk's.
    let ip = |net: u8| IpAddr::from([127, 0, net, (index % 250) as u8 + 1]);
    let (name, address, password) = match actor {
        Actor::Station(name) => {
            let known = config.stations.iter().any(|station| station.name == *name);
            return if known { Ok(None) } else { Err(format!("the configuration has no {actor}")) };
        }
        Actor::Phone(name) => {
            let account = config.phones.iter().find(|phone| phone.name == *name);
            let account = account.ok_or_else(|| format!("the configuration has no {actor}"))?;
            (name, SocketAddr::new(ip(1), 5_060), Some(account.password.0.clone()))
        }
        Actor::Peer(name) => {
            let trunk = config.trunks.iter().find(|trunk| trunk.name == *name);
            let address = trunk.and_then(|trunk| trunk.to.first()).and_then(|uri| uri.address());
            (name, address.unwrap_or(SocketAddr::new(ip(2), 5_060)), None)
        }
    };
    Ok(Some(phone_settings(config, name, address, password)))
}

/// A phone that calls the gateway of a configuration.
///
/// # Panics
/// When the configuration has no UDP listener.
pub fn phone_settings(config: &Config, user: &str, address: SocketAddr, password: Option<String>) -> PhoneSettings {
    phone_settings_by(Transport::Udp, config, user, address, password)
}

/// A phone that does so by a transport of its choice.
///
/// # Panics
/// When the configuration has no listener for it.
pub fn phone_settings_by(
    transport: Transport,
    config: &Config,
    user: &str,
    address: SocketAddr,
    password: Option<String>,
) -> PhoneSettings {
    let listener = config.sip.listen.iter().find(|listener| listener.transport == transport);
    PhoneSettings {
        user: user.to_owned(),
        address,
        gateway: listener.expect("a gateway to be simulated listens for its phones").address,
        transport,
        domain: config.sip.domain.clone(),
        password,
        laws: vec![Law::Mu, Law::A],
        ppm: 0,
        keeps_all: false,
        habits: Habits::default(),
    }
}

fn words(action: &Action) -> String {
    let digits = |digits: &[Digit]| digits.iter().map(|digit| digit.as_char()).collect::<String>();
    match action {
        Action::OffHook => "goes off hook".to_owned(),
        Action::OnHook => "goes on hook".to_owned(),
        Action::Flash => "taps the hook".to_owned(),
        Action::Dial(keys) => format!("dials {}", digits(keys)),
        Action::Speak(_) => "speaks".to_owned(),
        Action::Play { hertz, level_dbm0, .. } => format!("plays {hertz} Hz at {level_dbm0} dBm0"),
        Action::Hush => "is silent".to_owned(),
        Action::Register => "registers".to_owned(),
        Action::Unregister => "removes its registration".to_owned(),
        Action::Call(number) => format!("calls {number}"),
        Action::Answer => "answers".to_owned(),
        Action::Reject(status) => format!("refuses with {status}"),
        Action::Transfer(number) => format!("transfers to {number}"),
        Action::JoinCalls => "joins its calls".to_owned(),
        Action::HangUp => "hangs up".to_owned(),
        Action::SendDigits(keys) => format!("sends digits {}", digits(keys)),
    }
}
