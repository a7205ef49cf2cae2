//! Ring and tone patterns by country: data.
//!
//! The cadences are those of the usual collections (ITU E.180 supplement 2 and national
//! documents). A pattern sounds all its frequencies at one level, so some tones are approximations,
//! each marked with an "about". Levels outside North America and the United Kingdom are a choice.

/// Most parts of a tone's cadence, on and off counted each.
const TONE_STEPS: usize = 8;

/// A call-progress tone: up to four frequencies with one cadence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TonePattern {
    /// Frequencies in Hz that sound together; 0 marks an unused place.
    pub hertz: [u16; 4],
    /// Level of each frequency, in hundredths of a dBm0.
    pub level_centi_dbm0: i16,
    /// On, off, on, off... in milliseconds, repeated; all zero: for ever on.
    pub cadence_ms: [u16; TONE_STEPS],
}

/// How long the loop is open for a flash, in milliseconds, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlashWindow {
    /// Not shorter; what is shorter is a dial pulse or a shaken cable.
    pub min_ms: u16,
    /// Not longer; what is longer is a hang-up.
    pub max_ms: u16,
}

/// Tones, cadences and timings of a country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Country {
    /// ISO 3166 code.
    pub code: &'static str,
    /// Invites to dial.
    pub dial: TonePattern,
    /// The called line is busy.
    pub busy: TonePattern,
    /// The call cannot be made (congestion).
    pub reorder: TonePattern,
    /// The called line rings.
    pub ringback: TonePattern,
    /// The bell: on, off, on, off... in milliseconds, repeated.
    pub ring_ms: &'static [u16],
    /// Recall by a timed break.
    pub flash: FlashWindow,
}

impl Country {
    /// North America: also the default.
    pub const US: &'static Country = &ALL[0];

    /// The country with this ISO code, in either case; `UK` is understood as `GB`.
    pub fn of(code: &str) -> Option<&'static Country> {
        let code = if code.eq_ignore_ascii_case("UK") { "GB" } else { code };
        ALL.iter().find(|country| country.code.eq_ignore_ascii_case(code))
    }

    /// All countries that are known.
    pub fn all() -> &'static [Country] {
        &ALL
    }
}

const fn tone(hertz: &[u16], level_centi_dbm0: i16, cadence: &[u16]) -> TonePattern {
    let mut pattern = TonePattern { hertz: [0; 4], level_centi_dbm0, cadence_ms: [0; TONE_STEPS] };
    let mut i = 0;
    while i < hertz.len() {
        pattern.hertz[i] = hertz[i];
        i += 1;
    }
    let mut i = 0;
    while i < cadence.len() {
        pattern.cadence_ms[i] = cadence[i];
        i += 1;
    }
    pattern
}

const fn flash(min_ms: u16, max_ms: u16) -> FlashWindow {
    FlashWindow { min_ms, max_ms }
}

static ALL: [Country; 9] = [
    Country {
        code: "US",
        dial: tone(&[350, 440], -1300, &[]),
        busy: tone(&[480, 620], -2400, &[500, 500]),
        reorder: tone(&[480, 620], -2400, &[250, 250]),
        ringback: tone(&[440, 480], -1900, &[2000, 4000]),
        ring_ms: &[2000, 4000],
        flash: flash(300, 1000),
    },
    Country {
        code: "CA",
        dial: tone(&[350, 440], -1300, &[]),
        busy: tone(&[480, 620], -2400, &[500, 500]),
        reorder: tone(&[480, 620], -2400, &[250, 250]),
        ringback: tone(&[440, 480], -1900, &[2000, 4000]),
        ring_ms: &[2000, 4000],
        flash: flash(300, 1000),
    },
    Country {
        code: "GB",
        // About: 350 Hz at -22 and 440 Hz at -18 dB.
        dial: tone(&[350, 440], -2000, &[]),
        busy: tone(&[400], -1800, &[375, 375]),
        reorder: tone(&[400], -2500, &[400, 350, 225, 525]),
        ringback: tone(&[400, 450], -1800, &[400, 200, 400, 2000]),
        ring_ms: &[400, 200, 400, 2000],
        flash: flash(50, 130),
    },
    Country {
        code: "DE",
        dial: tone(&[425], -1300, &[]),
        busy: tone(&[425], -1300, &[480, 480]),
        reorder: tone(&[425], -1300, &[240, 240]),
        ringback: tone(&[425], -1300, &[1000, 4000]),
        ring_ms: &[1000, 4000],
        flash: flash(80, 310),
    },
    Country {
        code: "FR",
        dial: tone(&[440], -1300, &[]),
        busy: tone(&[440], -1300, &[500, 500]),
        reorder: tone(&[440], -1300, &[250, 250]),
        ringback: tone(&[440], -1300, &[1500, 3500]),
        ring_ms: &[1500, 3500],
        flash: flash(200, 320),
    },
    Country {
        code: "JP",
        dial: tone(&[400], -1300, &[]),
        busy: tone(&[400], -1300, &[500, 500]),
        reorder: tone(&[400], -1300, &[500, 500]),
        // About: 400 Hz modulated by 16 Hz, as its two sidebands.
        ringback: tone(&[384, 416], -1600, &[1000, 2000]),
        ring_ms: &[1000, 2000],
        flash: flash(600, 1000),
    },
    Country {
        code: "AU",
        // About: 425 Hz modulated by 25 Hz, as the sum that collections give.
        dial: tone(&[413, 438], -1600, &[]),
        busy: tone(&[425], -1300, &[375, 375]),
        // About: every second burst should be 10 dB weaker.
        reorder: tone(&[425], -1300, &[375, 375]),
        ringback: tone(&[413, 438], -1600, &[400, 200, 400, 2000]),
        ring_ms: &[400, 200, 400, 2000],
        flash: flash(80, 120),
    },
    Country {
        code: "IN",
        // About: 400 Hz modulated by 25 Hz, as its two sidebands; ringback likewise.
        dial: tone(&[375, 425], -1600, &[]),
        busy: tone(&[400], -1300, &[750, 750]),
        reorder: tone(&[400], -1300, &[250, 250]),
        ringback: tone(&[375, 425], -1600, &[400, 200, 400, 2000]),
        ring_ms: &[400, 200, 400, 2000],
        flash: flash(500, 700),
    },
    Country {
        code: "BR",
        dial: tone(&[425], -1300, &[]),
        busy: tone(&[425], -1300, &[250, 250]),
        reorder: tone(&[425], -1300, &[250, 250, 750, 250]),
        ringback: tone(&[425], -1300, &[1000, 4000]),
        ring_ms: &[1000, 4000],
        flash: flash(250, 500),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_found_by_their_code() {
        assert_eq!(Country::of("us"), Some(Country::US));
        assert_eq!(Country::of("UK"), Country::of("gb"));
        assert_eq!(Country::of("XX"), None);
        assert_eq!(Country::US.code, "US");
    }

    #[test]
    fn every_cadence_has_an_end_for_each_beginning() {
        for country in Country::all() {
            assert!(!country.ring_ms.is_empty() && country.ring_ms.len() % 2 == 0, "{}", country.code);
            assert!(country.ring_ms.iter().all(|&ms| ms > 0), "{}", country.code);
            assert!(country.flash.min_ms < country.flash.max_ms, "{}", country.code);
            for tone in [country.dial, country.busy, country.reorder, country.ringback] {
                assert_eq!(tone.cadence_ms.iter().filter(|&&ms| ms > 0).count() % 2, 0, "{}", country.code);
                assert!(tone.hertz[0] > 0 && tone.level_centi_dbm0 < 0, "{}", country.code);
            }
        }
    }

    #[test]
    fn the_dial_tone_of_north_america_is_the_one_promised() {
        assert_eq!(Country::US.dial.hertz, [350, 440, 0, 0]);
        assert_eq!(Country::US.dial.level_centi_dbm0, -1300);
        assert_eq!(Country::US.dial.cadence_ms, [0; 8]);
    }
}
