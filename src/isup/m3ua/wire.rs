//! M3UA messages (RFC 4666 section 3), as octets.
//!
//! ```text
//!   version 1 | reserved | class | type | length, 4 octets, of all of it
//!   tag, 2 octets | length, 2 octets, with tag and length, without padding | value | padding to 4
//! ```

use crate::isup::codes;
use crate::limits;

codes! {
    /// Message classes (RFC 4666 3.1.2).
    Class {
        MANAGEMENT = 0, "management";
        TRANSFER = 1, "transfer";
        NETWORK = 2, "SS7 signalling network management";
        STATE = 3, "ASP state maintenance";
        TRAFFIC = 4, "ASP traffic maintenance";
        ROUTING = 9, "routing key management";
    }
}

/// A message by class and type (RFC 4666 3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Class.
    pub class: Class,
    /// Type within the class.
    pub number: u8,
}

macro_rules! kinds {
    ($( $constant:ident = $class:ident, $number:literal, $text:literal; )*) => {
        impl Kind {
            $(
                #[doc = concat!($text, ".")]
                pub const $constant: Kind = Kind { class: Class::$class, number: $number };
            )*
            /// All that RFC 4666 names, with their names.
            pub const NAMED: &[(Kind, &'static str)] = &[$( (Kind::$constant, $text), )*];
        }
    };
}

kinds! {
    ERR = MANAGEMENT, 0, "Error";
    NTFY = MANAGEMENT, 1, "Notify";
    DATA = TRANSFER, 1, "Payload data";
    DUNA = NETWORK, 1, "Destination unavailable";
    DAVA = NETWORK, 2, "Destination available";
    DAUD = NETWORK, 3, "Destination state audit";
    SCON = NETWORK, 4, "Signalling congestion";
    DUPU = NETWORK, 5, "Destination user part unavailable";
    DRST = NETWORK, 6, "Destination restricted";
    ASPUP = STATE, 1, "ASP up";
    ASPDN = STATE, 2, "ASP down";
    BEAT = STATE, 3, "Heartbeat";
    ASPUP_ACK = STATE, 4, "ASP up acknowledgement";
    ASPDN_ACK = STATE, 5, "ASP down acknowledgement";
    BEAT_ACK = STATE, 6, "Heartbeat acknowledgement";
    ASPAC = TRAFFIC, 1, "ASP active";
    ASPIA = TRAFFIC, 2, "ASP inactive";
    ASPAC_ACK = TRAFFIC, 3, "ASP active acknowledgement";
    ASPIA_ACK = TRAFFIC, 4, "ASP inactive acknowledgement";
    REG_REQ = ROUTING, 1, "Registration request";
    REG_RSP = ROUTING, 2, "Registration response";
    DEREG_REQ = ROUTING, 3, "Deregistration request";
    DEREG_RSP = ROUTING, 4, "Deregistration response";
}

/// Tags of parameters (RFC 4666 3.2).
pub mod tag {
    /// INFO string.
    pub const INFO: u16 = 0x0004;
    /// Routing contexts, four octets each.
    pub const ROUTING_CONTEXT: u16 = 0x0006;
    /// Diagnostic information.
    pub const DIAGNOSTIC: u16 = 0x0007;
    /// Heartbeat data.
    pub const HEARTBEAT: u16 = 0x0009;
    /// Traffic mode type: 1 override, 2 loadshare, 3 broadcast.
    pub const TRAFFIC_MODE: u16 = 0x000B;
    /// Error code.
    pub const ERROR: u16 = 0x000C;
    /// Status of NTFY: type and information, two octets each.
    pub const STATUS: u16 = 0x000D;
    /// ASP identifier.
    pub const ASP: u16 = 0x0011;
    /// Affected point codes: mask, and three octets.
    pub const AFFECTED: u16 = 0x0012;
    /// Network appearance.
    pub const NETWORK_APPEARANCE: u16 = 0x0200;
    /// Protocol data.
    pub const PROTOCOL_DATA: u16 = 0x0210;
    /// Correlation identifier.
    pub const CORRELATION: u16 = 0x0013;
    /// User and cause of DUPU, two octets each: why, and which user part.
    pub const USER_CAUSE: u16 = 0x0204;
    /// Congestion indications of SCON: the level is the last octet.
    pub const CONGESTION: u16 = 0x0205;
}

/// The user part that DATA is for: ISUP (RFC 4666 3.3.1).
pub const SERVICE_ISUP: u8 = 5;

/// Protocol data of DATA: a routing label and what the user part says (RFC 4666 3.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolData {
    /// Originating point code.
    pub origin: u32,
    /// Destination point code.
    pub destination: u32,
    /// Service indicator, [`SERVICE_ISUP`].
    pub service: u8,
    /// Network indicator: 0 international, 2 national.
    pub network: u8,
    /// Message priority.
    pub priority: u8,
    /// Signalling link selection: keeps messages of a circuit in order.
    pub selection: u8,
    /// The ISUP message, from its circuit on.
    pub user: Vec<u8>,
}

/// Octets of protocol data before the user's.
const LABEL_OCTETS: usize = 12;

impl ProtocolData {
    /// The value of its parameter.
    pub fn to_octets(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(LABEL_OCTETS + self.user.len());
        out.extend(self.origin.to_be_bytes());
        out.extend(self.destination.to_be_bytes());
        out.extend([self.service, self.network, self.priority, self.selection]);
        out.extend(&self.user);
        out
    }

    /// From the value of its parameter; `None` when that is too short for a label.
    pub fn from_octets(octets: &[u8]) -> Option<ProtocolData> {
        let word = |at: usize| octets.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
        let &[service, network, priority, selection] = octets.get(8..LABEL_OCTETS)? else { return None };
        let user = octets.get(LABEL_OCTETS..)?.to_vec();
        Some(ProtocolData { origin: word(0)?, destination: word(4)?, service, network, priority, selection, user })
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// Tags and values, in order; unknown ones are kept. At most [`limits::M3UA_PARAMETERS`].
    pub parameters: Vec<(u16, Vec<u8>)>,
}

impl Message {
    /// Without parameters.
    pub fn new(kind: Kind) -> Message {
        Message { kind, parameters: Vec::new() }
    }

    /// With one more parameter.
    #[must_use]
    pub fn with(mut self, tag: u16, value: &[u8]) -> Message {
        self.parameters.push((tag, value.to_vec()));
        self
    }

    /// With a parameter of one number.
    #[must_use]
    pub fn with_word(self, tag: u16, value: u32) -> Message {
        self.with(tag, &value.to_be_bytes())
    }

    /// DATA in a routing context.
    pub fn data(context: Option<u32>, data: &ProtocolData) -> Message {
        let message = Message::new(Kind::DATA);
        let message = match context {
            Some(context) => message.with_word(tag::ROUTING_CONTEXT, context),
            None => message,
        };
        message.with(tag::PROTOCOL_DATA, &data.to_octets())
    }

    /// The first value with this tag.
    pub fn value(&self, tag: u16) -> Option<&[u8]> {
        self.parameters.iter().find(|(known, _)| *known == tag).map(|(_, value)| &value[..])
    }

    /// The first value with this tag as a number.
    pub fn word(&self, tag: u16) -> Option<u32> {
        self.value(tag)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// Routing contexts, all of them.
    pub fn contexts(&self) -> impl Iterator<Item = u32> + '_ {
        let value = self.value(tag::ROUTING_CONTEXT).unwrap_or(&[]);
        value.chunks_exact(4).filter_map(|word| word.try_into().ok().map(u32::from_be_bytes))
    }

    /// Its octets.
    ///
    /// # Errors
    /// More than [`limits::M3UA_OCTETS`] or [`limits::M3UA_PARAMETERS`].
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        if self.parameters.len() > limits::M3UA_PARAMETERS {
            return Err(Error::TooManyParameters);
        }
        let mut out = vec![1, 0, self.kind.class.value(), self.kind.number, 0, 0, 0, 0];
        for (tag, value) in &self.parameters {
            let length = u16::try_from(value.len() + 4).map_err(|_| Error::TooLong(value.len()))?;
            out.extend(tag.to_be_bytes());
            out.extend(length.to_be_bytes());
            out.extend(value);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        if out.len() > limits::M3UA_OCTETS {
            return Err(Error::TooLong(out.len()));
        }
        let length = (out.len() as u32).to_be_bytes();
        out[4..8].copy_from_slice(&length);
        Ok(out)
    }

    /// Reads one message, the whole of an SCTP user message.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn decode(octets: &[u8]) -> Result<Message, Error> {
        let &[version, _, class, number, a, b, c, d, ref rest @ ..] = octets else {
            return Err(Error::Truncated { offset: octets.len() });
        };
        if version != 1 {
            return Err(Error::Version(version));
        }
        if octets.len() > limits::M3UA_OCTETS {
            return Err(Error::TooLong(octets.len()));
        }
        let announced = u32::from_be_bytes([a, b, c, d]);
        // RFC 4666 3.1.4: padding of the last parameter may be left out of the length, and may be missing.
        let whole = u32::try_from(octets.len()).unwrap_or(u32::MAX);
        if announced > whole || announced < 8 || whole - announced > 3 {
            return Err(Error::Length { announced, found: octets.len() });
        }
        let mut parameters = Vec::new();
        let mut at = 0;
        while at < rest.len() {
            if parameters.len() >= limits::M3UA_PARAMETERS {
                return Err(Error::TooManyParameters);
            }
            let truncated = Error::Truncated { offset: 8 + at };
            let Some(&[high, low, long, short]) = rest.get(at..at + 4) else { return Err(truncated) };
            let length = usize::from(u16::from_be_bytes([long, short]));
            let value = rest.get(at + 4..at + length).ok_or(truncated)?;
            parameters.push((u16::from_be_bytes([high, low]), value.to_vec()));
            at += length.next_multiple_of(4);
        }
        Ok(Message { kind: Kind { class: Class::new(class), number }, parameters })
    }
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another version: answered by ERR 1 (RFC 4666 3.8.1).
    #[error("octet 0: version {0}, 1 is spoken here: answer with Error 1, invalid version")]
    Version(u8),
    /// It ends too soon, or a parameter is shorter than its header.
    #[error("octet {offset}: a header or parameter is cut short: answer with Error 7, protocol error")]
    Truncated {
        /// Where it begins.
        offset: usize,
    },
    /// The length says something else than there is.
    #[error("octet 4: {announced} octets are announced, {found} came: answer with Error 7, protocol error")]
    Length {
        /// What it says.
        announced: u32,
        /// What there is.
        found: usize,
    },
    /// Longer than [`limits::M3UA_OCTETS`].
    #[error("{0} octets, {max} are possible", max = limits::M3UA_OCTETS)]
    TooLong(usize),
    /// More than [`limits::M3UA_PARAMETERS`].
    #[error("more than {max} parameters", max = limits::M3UA_PARAMETERS)]
    TooManyParameters,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;

    fn data() -> Message {
        let data = ProtocolData {
            origin: 2,
            destination: 1,
            service: SERVICE_ISUP,
            network: 2,
            priority: 0,
            selection: 9,
            user: vec![1, 0, 0x10, 0, 7],
        };
        Message::data(Some(100), &data)
    }

    #[test]
    fn octets_are_those_that_rfc_4666_draws() {
        let wanted = [
            1, 0, 1, 1, 0, 0, 0, 40, // version, class, type, length
            0, 6, 0, 8, 0, 0, 0, 100, // routing context
            2, 0x10, 0, 21, 0, 0, 0, 2, 0, 0, 0, 1, 5, 2, 0, 9, 1, 0, 0x10, 0, 7, 0, 0, 0,
        ];
        assert_eq!(data().encode().expect("short"), wanted);
        let read = Message::decode(&wanted).expect("whole");
        assert_eq!(read, data());
        assert_eq!(read.contexts().collect::<Vec<_>>(), [100]);
        let user = ProtocolData::from_octets(read.value(tag::PROTOCOL_DATA).expect("data")).expect("a label").user;
        assert_eq!(user, [1, 0, 0x10, 0, 7]);
    }

    #[test]
    fn every_message_comes_back_and_no_two_have_the_same_name() {
        for (kind, name) in Kind::NAMED {
            let message = Message::new(*kind).with_word(tag::ASP, 7).with(tag::INFO, b"abc").with(0x7777, &[]);
            assert_eq!(Message::decode(&message.encode().expect("short")), Ok(message), "{name}");
            assert_eq!(Kind::NAMED.iter().filter(|(other, _)| other == kind).count(), 1, "{name}");
        }
    }

    #[test]
    fn padding_of_the_last_parameter_may_be_missing() {
        let mut octets = data().encode().expect("short");
        octets.truncate(octets.len() - 3);
        octets[7] -= 3;
        assert_eq!(Message::decode(&octets), Ok(data()));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let octets = data().encode().expect("short");
        let changed = |at: usize, value: u8| {
            let mut octets = octets.clone();
            octets[at] = value;
            Message::decode(&octets)
        };
        assert_eq!(changed(0, 2), Err(Error::Version(2)));
        assert_eq!(changed(7, 41), Err(Error::Length { announced: 41, found: 40 }));
        assert_eq!(changed(7, 36), Err(Error::Length { announced: 36, found: 40 }));
        assert_eq!(changed(11, 3), Err(Error::Truncated { offset: 8 }), "shorter than its header");
        assert_eq!(changed(19, 40), Err(Error::Truncated { offset: 16 }));
        assert_eq!(Message::decode(&octets[..7]), Err(Error::Truncated { offset: 7 }));
        assert_eq!(ProtocolData::from_octets(&[0; LABEL_OCTETS - 1]), None);
    }

    #[test]
    fn limits_hold_at_their_edges() {
        let long = |octets: usize| Message::new(Kind::BEAT).with(tag::HEARTBEAT, &vec![0; octets]).encode();
        let fits = long(limits::M3UA_OCTETS - 12).expect("fits");
        assert!(Message::decode(&fits).is_ok());
        assert!(matches!(long(limits::M3UA_OCTETS - 11), Err(Error::TooLong(_))));
        let many = |count| (0..count).fold(Message::new(Kind::BEAT), |message, _| message.with(tag::INFO, &[]));
        let octets = many(limits::M3UA_PARAMETERS).encode().expect("as many as there may be");
        assert!(Message::decode(&octets).is_ok());
        assert_eq!(many(limits::M3UA_PARAMETERS + 1).encode(), Err(Error::TooManyParameters));
        let mut more = octets.clone();
        more.extend([0, 4, 0, 4]);
        let length = (more.len() as u32).to_be_bytes();
        more[4..8].copy_from_slice(&length);
        assert_eq!(Message::decode(&more), Err(Error::TooManyParameters));
    }

    #[test]
    fn random_octets_do_no_harm() {
        let mut rng = Seed::from_number(4666).rng();
        let good = data().encode().expect("short");
        for _ in 0..50_000 {
            let mut octets = good.clone();
            for _ in 0..=rng.below(4) {
                let at = rng.below(octets.len() as u64) as usize;
                octets[at] = rng.below(256) as u8;
            }
            octets.truncate(rng.between(0, octets.len() as u64) as usize);
            if let Ok(message) = Message::decode(&octets) {
                assert_eq!(Message::decode(&message.encode().expect("as long as it was")), Ok(message));
            }
        }
    }
}
