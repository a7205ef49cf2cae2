//! What an IAM says beside the numbers: nature of address, screening, category, medium; and the ISUP message that
//! it came in, for those who can read it.

/// What digits are (Q.763 3.9, nature of address). Digits with a leading `+` are international whatever stands here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nature {
    /// As the digits stand: with `+` international, without it nothing is known.
    #[default]
    AsWritten,
    /// Of the area of the exchange, 1.
    Subscriber,
    /// Of the country of the exchange, 3.
    National,
    /// For the network alone, 5.
    NetworkSpecific,
    /// Another code, kept.
    Other(u8),
}

/// How much the calling number is worth (Q.763 3.10, screening indicator).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Screening {
    /// The caller gave it, and nobody verified it.
    NotVerified,
    /// The caller gave it, and a network found it right.
    Verified,
    /// The caller gave it, and a network found it wrong.
    Failed,
    /// A network gave it. RFC 3398 12.2: "the screening indicator [SHOULD be set] to 'network provided', unless some
    /// service provider policy [...] disallows".
    #[default]
    Network,
}

/// Who calls (Q.763 3.11, calling party's category), by its code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CallingCategory(pub u8);

impl CallingCategory {
    /// 10: ordinary calling subscriber.
    pub const ORDINARY: CallingCategory = CallingCategory(10);

    /// Codes with their values of the `cpc` parameter of a URI. **Unverified** beyond `ordinary`, `test`, `operator`,
    /// `payphone` and `unknown`: the others are named as Q.763 calls the categories.
    const TOKENS: [(u8, &'static str); 7] = [
        (0, "unknown"),
        (2, "operator"),
        (10, "ordinary"),
        (11, "priority"),
        (12, "data"),
        (13, "test"),
        (15, "payphone"),
    ];

    /// The value of `cpc` that stands for it; `None` for categories that have none. Operators of every language are
    /// `operator`.
    pub fn as_cpc(self) -> Option<&'static str> {
        let code = if (1..=5).contains(&self.0) { 2 } else { self.0 };
        Self::TOKENS.iter().find(|(known, _)| *known == code).map(|(_, token)| *token)
    }

    /// The category that a `cpc` names.
    pub fn of_cpc(token: &str) -> Option<CallingCategory> {
        let found = Self::TOKENS.iter().find(|(_, known)| known.eq_ignore_ascii_case(token));
        found.map(|(code, _)| CallingCategory(*code))
    }
}

impl Default for CallingCategory {
    fn default() -> Self {
        CallingCategory::ORDINARY
    }
}

/// What the way of the call must carry (Q.763 3.54, transmission medium requirement).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Medium {
    /// Speech: any codec will do.
    #[default]
    Speech,
    /// 3.1 kHz audio: modems and facsimile, so G.711 alone.
    Audio,
}

/// An ISUP message without its circuit, as a SIP body has it (RFC 3204 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsupBody {
    /// Whether it is written as ANSI T1.113 has it, and not as ITU-T Q.763.
    pub is_ansi: bool,
    /// From the message type on.
    pub octets: Vec<u8>,
}
