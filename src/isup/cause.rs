//! Cause indicators (Q.763 3.12, Q.850): why a call ends, or what was wrong with a message.
//!
//! ```text
//!   octet 1   1 | coding standard | spare | location       bit H 0: octet 1a follows, which is kept
//!   octet 2   1 | cause value
//!   then      diagnostics, by the cause
//! ```

use super::{Octets, codes};
use crate::isup::parameter::Content;
use crate::trunk::{Cause, Location, Release};

codes! {
    /// Whose causes they are (bits GF).
    CodingStandard {
        ITU = 0, "ITU-T standardized coding";
        ISO = 1, "ISO/IEC standard";
        NATIONAL = 2, "national standard";
        LOCATION = 3, "standard specific to the location";
    }
}

/// The coding standard under which ANSI T1.113 defines its own causes.
pub const ANSI_CODING: CodingStandard = CodingStandard::NATIONAL;

/// Cause indicators.
#[derive(Clone, PartialEq, Eq)]
pub struct CauseIndicators {
    /// At least a location and a value.
    octets: Octets,
}

/// Location codes of Q.850 and those of trunk events.
const LOCATIONS: [(u8, Location); 8] = [
    (0, Location::User),
    (1, Location::LocalPrivate),
    (2, Location::LocalNetwork),
    (3, Location::Transit),
    (4, Location::RemoteNetwork),
    (5, Location::RemotePrivate),
    (7, Location::International),
    (10, Location::BeyondInterworking),
];

impl CauseIndicators {
    /// That cause, decided at that place, without diagnostics.
    pub fn new(release: Release) -> CauseIndicators {
        let code = LOCATIONS.iter().find(|(_, location)| *location == release.location).map_or(10, |(code, _)| *code);
        CauseIndicators { octets: Octets::from_slice(&[0x80 | code, 0x80 | release.cause.value()]) }
    }

    /// With this coding standard.
    #[must_use]
    pub fn with_coding(mut self, coding: CodingStandard) -> CauseIndicators {
        if let Some(octet) = self.octets.first_mut() {
            *octet = *octet & !0x60 | coding.value() << 5 & 0x60;
        }
        self
    }

    /// With these diagnostics behind what is there.
    #[must_use]
    pub fn with_diagnostics(mut self, diagnostics: &[u8]) -> CauseIndicators {
        self.octets.extend_from_slice(diagnostics);
        self
    }

    fn value_at(octets: &[u8]) -> Option<usize> {
        let at = if octets.first()? & 0x80 == 0 { 2 } else { 1 };
        (octets.len() > at).then_some(at)
    }

    fn value(&self) -> u8 {
        let at = Self::value_at(&self.octets).unwrap_or(1);
        self.octets.get(at).map_or(0, |octet| octet & 0x7F)
    }

    /// The cause. 0, which no recommendation has, counts as 31 (Q.850: normal, unspecified).
    pub fn cause(&self) -> Cause {
        Cause::new(self.value()).unwrap_or(Cause::UNSPECIFIED)
    }

    /// The location as it stands there, 0 to 15.
    pub fn location_code(&self) -> u8 {
        self.octets.first().map_or(0, |octet| octet & 0x0F)
    }

    /// Where it was decided; `None` for codes that are spare.
    pub fn location(&self) -> Option<Location> {
        LOCATIONS.iter().find(|(code, _)| *code == self.location_code()).map(|(_, location)| *location)
    }

    /// As a release; a spare location counts as a network beyond interworking, since nothing is known of it.
    pub fn release(&self) -> Release {
        Release { cause: self.cause(), location: self.location().unwrap_or(Location::BeyondInterworking) }
    }

    /// The coding standard.
    pub fn coding(&self) -> CodingStandard {
        CodingStandard::new(self.octets.first().map_or(0, |octet| octet >> 5 & 3))
    }

    /// What follows the value.
    pub fn diagnostics(&self) -> &[u8] {
        let at = Self::value_at(&self.octets).unwrap_or(1);
        self.octets.get(at + 1..).unwrap_or(&[])
    }
}

impl std::fmt::Debug for CauseIndicators {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {} ({}), {:02x?}", self.cause(), self.location_code(), self.coding(), self.diagnostics())
    }
}

impl Content for CauseIndicators {
    fn from_octets(octets: &[u8]) -> Option<Self> {
        Self::value_at(octets)?;
        Some(CauseIndicators { octets: Octets::from_slice(octets) })
    }
    fn octets(&self) -> &[u8] {
        &self.octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_at_every_location_comes_back() {
        for value in 1..=127 {
            for (code, location) in LOCATIONS {
                let release = Release { cause: Cause::new(value).expect("1 to 127"), location };
                let indicators = CauseIndicators::new(release);
                assert_eq!(indicators.octets(), [0x80 | code, 0x80 | value]);
                assert_eq!(indicators.release(), release);
                assert_eq!(indicators.coding(), CodingStandard::ITU);
            }
        }
    }

    #[test]
    fn coding_diagnostics_and_the_octet_between_are_read() {
        let indicators =
            CauseIndicators::new(Release::user(Cause::BUSY)).with_coding(ANSI_CODING).with_diagnostics(&[1, 2]);
        assert_eq!(indicators.octets(), [0xC0, 0x91, 1, 2]);
        assert_eq!((indicators.coding(), indicators.diagnostics()), (ANSI_CODING, &[1, 2][..]));
        let extended = CauseIndicators::from_octets(&[0x02, 0x80, 0x91, 9]).expect("an octet 1a");
        assert_eq!((extended.cause(), extended.diagnostics()), (Cause::BUSY, &[9][..]));
        assert_eq!(CauseIndicators::from_octets(&[0x02, 0x80]), None, "octet 1a, and no value");
        assert_eq!(CauseIndicators::from_octets(&[0x82]), None);
    }

    #[test]
    fn spare_values_do_not_stop_a_release() {
        let odd = CauseIndicators::from_octets(&[0x86, 0x80]).expect("two octets");
        assert_eq!(odd.release(), Release { cause: Cause::UNSPECIFIED, location: Location::BeyondInterworking });
        assert_eq!(odd.octets(), [0x86, 0x80], "and are passed on as they came");
    }
}
