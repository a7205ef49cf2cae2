//! Numbers: called, calling, redirecting, connected, and the rest (Q.763 3.9, 3.10 and others).
//!
//! ```text
//!   octet 1   odd/even | nature of address                (subsequent number: nature is spare)
//!   octet 2   I | numbering plan | presentation | screening     (absent in a subsequent number)
//!   then      digit 2 | digit 1,  digit 4 | digit 3, ...   a filler 0 behind an odd number of digits
//! ```
//!
//! Bit I of octet 2 is "routing to internal network number not allowed" in called, location and
//! redirection numbers, "number incomplete" in calling and generic numbers, spare elsewhere. Presentation
//! and screening are spare in called numbers. [`Number`] has accessors for all of them.

use super::{Octets, codes};
use crate::isup::parameter::Content;
use crate::limits;
use std::fmt;

codes! {
    /// Nature of address indicator.
    NatureOfAddress {
        SUBSCRIBER = 1, "subscriber number";
        UNKNOWN = 2, "unknown";
        NATIONAL = 3, "national (significant) number";
        INTERNATIONAL = 4, "international number";
        NETWORK_SPECIFIC = 5, "network-specific number";
    }
}

codes! {
    /// Numbering plan indicator.
    NumberingPlan {
        UNKNOWN = 0, "unknown";
        E164 = 1, "ISDN (telephony) numbering plan E.164";
        X121 = 3, "data numbering plan X.121";
        F69 = 4, "telex numbering plan F.69";
        PRIVATE = 5, "private numbering plan";
    }
}

codes! {
    /// Address presentation restricted indicator.
    AddressPresentation {
        ALLOWED = 0, "presentation allowed";
        RESTRICTED = 1, "presentation restricted";
        NOT_AVAILABLE = 2, "address not available";
    }
}

codes! {
    /// Screening indicator. 0 and 2 occur in generic numbers only.
    Screening {
        NOT_VERIFIED = 0, "user provided, not verified";
        VERIFIED = 1, "user provided, verified and passed";
        FAILED = 2, "user provided, verified and failed";
        NETWORK = 3, "network provided";
    }
}

/// Address signals: `0` to `9`, `A` and the codes `B` (11), `C` (12), `D`, `E`; `F` at the end is ST: the number is
/// complete.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Digits(String);

/// Text that is no digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigitsError {
    /// A character that is no address signal.
    #[error("{character:?} at place {place} is no address signal: 0-9 and A-F are")]
    Character {
        /// It.
        character: char,
        /// Its place, from 0.
        place: usize,
    },
    /// More than [`limits::DIGITS_MAX`].
    #[error("{0} digits, {max} are carried: cut the number or send the rest as subsequent numbers", max = limits::DIGITS_MAX)]
    TooMany(usize),
}

impl Digits {
    /// The digits of a text such as `18005551234` or `5551F`.
    ///
    /// # Errors
    /// A character that is no address signal, or too many of them.
    pub fn new(text: &str) -> Result<Digits, DigitsError> {
        let wrong = text.chars().enumerate().find(|(_, character)| !character.is_ascii_hexdigit());
        if let Some((place, character)) = wrong {
            return Err(DigitsError::Character { character, place });
        }
        if text.len() > limits::DIGITS_MAX {
            return Err(DigitsError::TooMany(text.len()));
        }
        Ok(Digits(text.to_ascii_uppercase()))
    }

    /// All address signals, ST included. From the wire up to twice the octets of a parameter.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits without ST.
    pub fn number(&self) -> &str {
        self.0.strip_suffix('F').unwrap_or(&self.0)
    }

    /// Whether ST says that no more digits follow.
    pub fn has_end(&self) -> bool {
        self.0.ends_with('F')
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn read(octets: &[u8], is_odd: bool) -> Digits {
        let nibbles = octets.iter().flat_map(|octet| [octet & 0x0F, octet >> 4]);
        let count = octets.len() * 2;
        let count = if is_odd { count.saturating_sub(1) } else { count };
        let digit = |nibble| char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase();
        Digits(nibbles.take(count).map(digit).collect())
    }

    fn write(&self, out: &mut Octets) {
        let nibble = |digit: &u8| char::from(*digit).to_digit(16).unwrap_or(0) as u8;
        for pair in self.0.as_bytes().chunks(2) {
            let low = pair.first().map_or(0, nibble);
            let high = pair.get(1).map_or(0, nibble);
            out.push(high << 4 | low);
        }
    }

    fn is_odd(&self) -> bool {
        self.0.len() % 2 == 1
    }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number with its indicators.
#[derive(Clone, PartialEq, Eq)]
pub struct Number {
    /// At least two.
    octets: Octets,
}

impl Number {
    /// A number of the plan E.164, presentation allowed; screening 0, which only a called number may keep.
    pub fn new(nature: NatureOfAddress, digits: &Digits) -> Number {
        let mut octets = Octets::new();
        octets.push(u8::from(digits.is_odd()) << 7 | nature.value() & 0x7F);
        octets.push(NumberingPlan::E164.value() << 4);
        digits.write(&mut octets);
        Number { octets }
    }

    fn second(&self) -> u8 {
        self.octets.get(1).copied().unwrap_or(0)
    }

    fn set_second(&mut self, mask: u8, value: u8) {
        if let Some(octet) = self.octets.get_mut(1) {
            *octet = *octet & !mask | value & mask;
        }
    }

    /// The digits.
    pub fn digits(&self) -> Digits {
        Digits::read(self.octets.get(2..).unwrap_or(&[]), self.octets.first().is_some_and(|octet| octet & 0x80 != 0))
    }

    /// Nature of address.
    pub fn nature(&self) -> NatureOfAddress {
        NatureOfAddress::new(self.octets.first().map_or(0, |octet| octet & 0x7F))
    }

    /// Numbering plan.
    pub fn plan(&self) -> NumberingPlan {
        NumberingPlan::new(self.second() >> 4 & 7)
    }

    /// Presentation; without meaning in a called number.
    pub fn presentation(&self) -> AddressPresentation {
        AddressPresentation::new(self.second() >> 2 & 3)
    }

    /// Screening; without meaning in called, redirecting and original called numbers.
    pub fn screening(&self) -> Screening {
        Screening::new(self.second() & 3)
    }

    /// Bit I: internal network numbers not allowed, or number incomplete, see the module.
    pub fn first_indicator(&self) -> bool {
        self.second() & 0x80 != 0
    }

    /// With this numbering plan.
    #[must_use]
    pub fn with_plan(mut self, plan: NumberingPlan) -> Number {
        self.set_second(0x70, plan.value() << 4);
        self
    }

    /// With this presentation.
    #[must_use]
    pub fn with_presentation(mut self, presentation: AddressPresentation) -> Number {
        self.set_second(0x0C, presentation.value() << 2);
        self
    }

    /// With this screening.
    #[must_use]
    pub fn with_screening(mut self, screening: Screening) -> Number {
        self.set_second(0x03, screening.value());
        self
    }

    /// With [`Number::first_indicator`] set so.
    #[must_use]
    pub fn with_first_indicator(mut self, on: bool) -> Number {
        self.set_second(0x80, u8::from(on) << 7);
        self
    }

    /// The number that stands for "not available": no digits, no nature and no plan (Q.763 3.10, note
    /// on presentation "address not available").
    pub fn not_available() -> Number {
        let octets =
            Octets::from_slice(&[0, AddressPresentation::NOT_AVAILABLE.value() << 2 | Screening::NETWORK.value()]);
        Number { octets }
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({:?}, octet 2 {:#04x})", self.digits(), self.nature(), self.second())
    }
}

impl Content for Number {
    fn from_octets(octets: &[u8]) -> Option<Self> {
        // An odd number of digits needs an octet that has them.
        let is_odd_without_digits = octets.len() == 2 && octets[0] & 0x80 != 0;
        (octets.len() >= 2 && !is_odd_without_digits).then(|| Number { octets: Octets::from_slice(octets) })
    }
    fn octets(&self) -> &[u8] {
        &self.octets
    }
}

/// Subsequent number of SAM: digits that follow those of the IAM.
#[derive(Clone, PartialEq, Eq)]
pub struct SubsequentNumber {
    /// At least two: SAM brings at least one digit.
    octets: Octets,
}

impl SubsequentNumber {
    /// These digits; `None` when there are none.
    pub fn new(digits: &Digits) -> Option<SubsequentNumber> {
        let mut octets = Octets::new();
        octets.push(u8::from(digits.is_odd()) << 7);
        digits.write(&mut octets);
        SubsequentNumber::from_octets(&octets)
    }

    /// The digits.
    pub fn digits(&self) -> Digits {
        Digits::read(self.octets.get(1..).unwrap_or(&[]), self.octets.first().is_some_and(|octet| octet & 0x80 != 0))
    }
}

impl fmt::Debug for SubsequentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.digits())
    }
}

impl Content for SubsequentNumber {
    fn from_octets(octets: &[u8]) -> Option<Self> {
        (octets.len() >= 2).then(|| SubsequentNumber { octets: Octets::from_slice(octets) })
    }
    fn octets(&self) -> &[u8] {
        &self.octets
    }
}

codes! {
    /// What a generic number is (number qualifier indicator).
    Qualifier {
        DIALLED = 0, "dialled digits";
        ADDITIONAL_CALLED = 1, "additional called number";
        ADDITIONAL_CONNECTED = 5, "additional connected number";
        ADDITIONAL_CALLING = 6, "additional calling party number";
        ADDITIONAL_ORIGINAL_CALLED = 7, "additional original called number";
        ADDITIONAL_REDIRECTING = 8, "additional redirecting number";
        ADDITIONAL_REDIRECTION = 9, "additional redirection number";
    }
}

/// Generic number: a qualifier, and a number laid out as a calling number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GenericNumber {
    octets: Octets,
}

impl GenericNumber {
    /// That number with that qualifier.
    pub fn new(qualifier: Qualifier, number: &Number) -> GenericNumber {
        let mut octets = Octets::from_slice(&[qualifier.value()]);
        octets.extend_from_slice(number.octets());
        GenericNumber { octets }
    }

    /// What it is.
    pub fn qualifier(&self) -> Qualifier {
        Qualifier::new(self.octets.first().copied().unwrap_or(0))
    }

    /// The number.
    pub fn number(&self) -> Number {
        Number { octets: Octets::from_slice(self.octets.get(1..).unwrap_or(&[])) }
    }
}

impl Content for GenericNumber {
    fn from_octets(octets: &[u8]) -> Option<Self> {
        Number::from_octets(octets.get(1..)?)?;
        Some(GenericNumber { octets: Octets::from_slice(octets) })
    }
    fn octets(&self) -> &[u8] {
        &self.octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(text: &str) -> Digits {
        Digits::new(text).expect("digits")
    }

    #[test]
    fn digits_are_packed_low_half_first_with_a_filler_behind_an_odd_number() {
        let number = Number::new(NatureOfAddress::NATIONAL, &digits("12345"));
        assert_eq!(number.octets(), [0x83, 0x10, 0x21, 0x43, 0x05]);
        assert_eq!(number.digits().as_str(), "12345");
        assert_eq!(Number::new(NatureOfAddress::NATIONAL, &digits("1234")).octets(), [0x03, 0x10, 0x21, 0x43]);
    }

    #[test]
    fn st_marks_a_complete_number() {
        let number = Number::new(NatureOfAddress::INTERNATIONAL, &digits("4930F"));
        assert!(number.digits().has_end());
        assert_eq!(number.digits().number(), "4930");
        assert!(!digits("4930").has_end());
    }

    #[test]
    fn numbers_without_digits_and_lengths_that_contradict_are_told_apart() {
        assert_eq!(Number::from_octets(&[0x03]), None);
        assert_eq!(Number::from_octets(&[0x83, 0x10]), None, "odd, and no digit");
        assert!(Number::from_octets(&[0x03, 0x10]).expect("a number").digits().is_empty());
        assert_eq!(SubsequentNumber::from_octets(&[0x80]), None);
        assert_eq!(SubsequentNumber::new(&digits("")), None);
        assert_eq!(SubsequentNumber::new(&digits("7")).expect("a digit").digits().as_str(), "7");
    }

    #[test]
    fn what_is_no_digit_and_what_is_too_long_is_refused_at_the_limit() {
        assert_eq!(Digits::new("12+3"), Err(DigitsError::Character { character: '+', place: 2 }));
        assert!(Digits::new(&"1".repeat(limits::DIGITS_MAX)).is_ok());
        let error = Digits::new(&"1".repeat(limits::DIGITS_MAX + 1)).expect_err("too many");
        assert!(error.to_string().contains("41 digits, 40 are carried"), "{error}");
    }

    #[test]
    fn indicators_of_a_calling_number_stand_in_the_second_octet() {
        let number = Number::new(NatureOfAddress::INTERNATIONAL, &digits("4930123"))
            .with_presentation(AddressPresentation::RESTRICTED)
            .with_screening(Screening::NETWORK)
            .with_first_indicator(true);
        assert_eq!(number.octets()[1], 0b1001_0111);
        assert_eq!(number.plan(), NumberingPlan::E164);
        assert_eq!(number.presentation(), AddressPresentation::RESTRICTED);
        let generic = GenericNumber::new(Qualifier::ADDITIONAL_CALLING, &number);
        assert_eq!(generic.number(), number);
        assert_eq!(GenericNumber::from_octets(&[6, 1]), None);
    }
}
