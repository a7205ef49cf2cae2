//! The parameters of Q.763, each with its code, and those that are not known, kept.

use super::cause::CauseIndicators;
use super::compatibility::{MessageCompatibility, ParameterCompatibility};
use super::indicators::{
    BackwardCall, Category, Continuity, EventInformation, ForwardCall, GroupSupervision, HopCounter,
    InformationIndicators, InformationRequest, MediumRequirement, NatureOfConnection, OptionalBackwardCall,
    OptionalForwardCall, Redirection, SuspendResume,
};
use super::message::Message;
use super::number::{GenericNumber, Number, SubsequentNumber};
use super::supervision::{CircuitStates, RangeAndStatus};
use super::{Octets, codes};

/// What stands in a parameter.
pub trait Content: Sized {
    /// Reads it; `None` when that many octets, or such ones, can't be it.
    fn from_octets(octets: &[u8]) -> Option<Self>;
    /// The octets, without code and length.
    fn octets(&self) -> &[u8];
}

/// Octets whose inner structure belongs to another protocol or is not looked into.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bytes(Octets);

impl Bytes {
    /// These octets; `None` for none.
    pub fn new(octets: &[u8]) -> Option<Bytes> {
        Bytes::from_octets(octets)
    }
}

impl Content for Bytes {
    fn from_octets(octets: &[u8]) -> Option<Self> {
        (!octets.is_empty()).then(|| Bytes(Octets::from_slice(octets)))
    }
    fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl Bytes {
    /// User service information for a medium (Q.931 4.5.5: coding ITU-T, circuit mode, 64 kbit/s; layer 1 G.711
    /// µ-law for speech and audio).
    pub fn bearer(medium: super::indicators::Medium) -> Bytes {
        use super::indicators::Medium;
        let octets: &[u8] = match medium {
            Medium::SPEECH => &[0x80, 0x90, 0xA2],
            Medium::UNRESTRICTED_64K | Medium::PREFERRED_64K => &[0x88, 0x90],
            _ => &[0x90, 0x90, 0xA2],
        };
        Bytes(Octets::from_slice(octets))
    }

    /// The medium that user service information asks for; `None` for capabilities that have none.
    pub fn as_medium(&self) -> Option<super::indicators::Medium> {
        use super::indicators::Medium;
        match self.0.first()? & 0x1F {
            0 => Some(Medium::SPEECH),
            8 => Some(Medium::UNRESTRICTED_64K),
            16 => Some(Medium::AUDIO_3K1),
            _ => None,
        }
    }

    /// Information elements of Q.931 in an access transport parameter: identifier and content. One that is
    /// cut short ends the list.
    pub fn elements(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = self.octets();
        std::iter::from_fn(move || {
            let (&identifier, after) = rest.split_first()?;
            if identifier & 0x80 != 0 {
                rest = after; // Q.931 4.5.1: single octet elements
                return Some((identifier, &[][..]));
            }
            let (&length, after) = after.split_first()?;
            let content = after.get(..usize::from(length))?;
            rest = after.get(usize::from(length)..)?;
            Some((identifier, content))
        })
    }
}

/// A parameter that is not known, or whose octets are none that it may have: kept and passed as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Other {
    code: ParameterCode,
    octets: Octets,
}

impl Other {
    /// Its code.
    pub fn code(&self) -> ParameterCode {
        self.code
    }
    /// Its octets.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

macro_rules! parameters {
    ($( $variant:ident($content:ty), $constant:ident, $getter:ident = $code:literal, $text:literal; )*) => {
        codes! {
            /// The name of a parameter. Names are those that both variants share, and those of ANSI above 192.
            ParameterCode {
                END = 0, "end of optional parameters";
                $( $constant = $code, $text; )*
            }
        }

        /// A parameter with what stands in it.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Parameter {
            $(
                #[doc = concat!("Code ", stringify!($code), ": ", $text, ".")]
                $variant($content),
            )*
            /// Any other, see [`Other`].
            Other(Other),
        }

        impl Parameter {
            /// The parameter with this code and these octets, at most 255; what can't be read is
            /// [`Parameter::Other`].
            pub fn read(code: ParameterCode, octets: &[u8]) -> Parameter {
                let octets = &octets[..octets.len().min(255)];
                let known = match code.value() {
                    $( $code => <$content>::from_octets(octets).map(Parameter::$variant), )*
                    _ => None,
                };
                known.unwrap_or_else(|| Parameter::Other(Other { code, octets: Octets::from_slice(octets) }))
            }

            /// Its code.
            pub fn code(&self) -> ParameterCode {
                match self {
                    $( Parameter::$variant(_) => ParameterCode::$constant, )*
                    Parameter::Other(other) => other.code,
                }
            }

            /// Its octets, without code and length.
            pub fn octets(&self) -> &[u8] {
                match self {
                    $( Parameter::$variant(content) => content.octets(), )*
                    Parameter::Other(other) => &other.octets,
                }
            }

            /// Codes that are read into a type.
            pub const KNOWN: &'static [ParameterCode] = &[$( ParameterCode::$constant, )*];
        }

        /// The first parameter of each kind.
        impl Message {
            $(
                #[doc = concat!("The first ", $text, ".")]
                pub fn $getter(&self) -> Option<&$content> {
                    self.parameters().iter().find_map(|parameter| match parameter {
                        Parameter::$variant(content) => Some(content),
                        _ => None,
                    })
                }
            )*
        }
    };
}

parameters! {
    CallReference(Bytes), CALL_REFERENCE, call_reference = 1, "call reference";
    Medium(MediumRequirement), MEDIUM, medium = 2, "transmission medium requirement";
    AccessTransport(Bytes), ACCESS_TRANSPORT, access_transport = 3, "access transport";
    CalledNumber(Number), CALLED_NUMBER, called_number = 4, "called party number";
    SubsequentNumber(SubsequentNumber), SUBSEQUENT_NUMBER, subsequent_number = 5, "subsequent number";
    NatureOfConnection(NatureOfConnection), NATURE_OF_CONNECTION, nature_of_connection = 6, "nature of connection indicators";
    ForwardCall(ForwardCall), FORWARD_CALL, forward_call = 7, "forward call indicators";
    OptionalForwardCall(OptionalForwardCall), OPTIONAL_FORWARD_CALL, optional_forward_call = 8, "optional forward call indicators";
    Category(Category), CATEGORY, category = 9, "calling party's category";
    CallingNumber(Number), CALLING_NUMBER, calling_number = 10, "calling party number";
    RedirectingNumber(Number), REDIRECTING_NUMBER, redirecting_number = 11, "redirecting number";
    RedirectionNumber(Number), REDIRECTION_NUMBER, redirection_number = 12, "redirection number";
    InformationRequest(InformationRequest), INFORMATION_REQUEST, information_request = 14, "information request indicators";
    InformationIndicators(InformationIndicators), INFORMATION, information_indicators = 15, "information indicators";
    Continuity(Continuity), CONTINUITY, continuity = 16, "continuity indicators";
    BackwardCall(BackwardCall), BACKWARD_CALL, backward_call = 17, "backward call indicators";
    Cause(CauseIndicators), CAUSE, cause = 18, "cause indicators";
    Redirection(Redirection), REDIRECTION, redirection = 19, "redirection information";
    GroupSupervision(GroupSupervision), GROUP_SUPERVISION, group_supervision = 21, "circuit group supervision message type";
    RangeAndStatus(RangeAndStatus), RANGE_AND_STATUS, range_and_status = 22, "range and status";
    FacilityIndicator(Bytes), FACILITY, facility_indicator = 24, "facility indicator";
    UserService(Bytes), USER_SERVICE, user_service = 29, "user service information";
    UserToUser(Bytes), USER_TO_USER, user_to_user = 32, "user-to-user information";
    ConnectedNumber(Number), CONNECTED_NUMBER, connected_number = 33, "connected number";
    SuspendResume(SuspendResume), SUSPEND_RESUME, suspend_resume = 34, "suspend/resume indicators";
    TransitNetwork(Bytes), TRANSIT_NETWORK, transit_network = 35, "transit network selection";
    Event(EventInformation), EVENT, event = 36, "event information";
    CircuitStates(CircuitStates), CIRCUIT_STATES, circuit_states = 38, "circuit state indicator";
    CongestionLevel(Bytes), CONGESTION_LEVEL, congestion_level = 39, "automatic congestion level";
    OriginalCalledNumber(Number), ORIGINAL_CALLED_NUMBER, original_called_number = 40, "original called number";
    OptionalBackwardCall(OptionalBackwardCall), OPTIONAL_BACKWARD_CALL, optional_backward_call = 41, "optional backward call indicators";
    UserToUserIndicators(Bytes), USER_TO_USER_INDICATORS, user_to_user_indicators = 42, "user-to-user indicators";
    GenericNotification(Bytes), GENERIC_NOTIFICATION, generic_notification = 44, "generic notification indicator";
    UserServicePrime(Bytes), USER_SERVICE_PRIME, user_service_prime = 48, "user service information prime";
    PropagationDelay(Bytes), PROPAGATION_DELAY, propagation_delay = 49, "propagation delay counter";
    MessageCompatibility(MessageCompatibility), MESSAGE_COMPATIBILITY, message_compatibility = 56, "message compatibility information";
    ParameterCompatibility(ParameterCompatibility), PARAMETER_COMPATIBILITY, parameter_compatibility = 57, "parameter compatibility information";
    HopCounter(HopCounter), HOP_COUNTER, hop_counter = 61, "hop counter";
    LocationNumber(Number), LOCATION_NUMBER, location_number = 63, "location number";
    GenericNumber(GenericNumber), GENERIC_NUMBER, generic_number = 192, "generic number";
    Jurisdiction(Bytes), JURISDICTION, jurisdiction = 196, "jurisdiction information (six digits, low half first)";
    GenericName(Bytes), GENERIC_NAME, generic_name = 199, "generic name";
    GroupCharacteristics(Bytes), GROUP_CHARACTERISTICS, group_characteristics = 229, "circuit group characteristic indicator";
    ValidationResponse(Bytes), VALIDATION_RESPONSE, validation_response = 230, "circuit validation response indicator";
    OriginatingLine(Bytes), ORIGINATING_LINE, originating_line = 234, "originating line information";
    ChargeNumber(Number), CHARGE_NUMBER, charge_number = 235, "charge number";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isup::indicators::Medium;

    #[test]
    fn what_is_not_known_or_can_not_be_read_is_kept() {
        let unknown = Parameter::read(ParameterCode::new(0xAA), &[1, 2, 3]);
        assert_eq!((unknown.code().value(), unknown.octets()), (0xAA, &[1, 2, 3][..]));
        let short = Parameter::read(ParameterCode::CAUSE, &[0x80]);
        assert!(matches!(short, Parameter::Other(_)));
        assert_eq!((short.code(), short.octets()), (ParameterCode::CAUSE, &[0x80][..]));
    }

    #[test]
    fn bearers_and_media_agree() {
        for medium in [Medium::SPEECH, Medium::UNRESTRICTED_64K, Medium::AUDIO_3K1] {
            assert_eq!(Bytes::bearer(medium).as_medium(), Some(medium));
        }
        assert_eq!(Bytes::new(&[0x98]).expect("one octet").as_medium(), None);
    }

    #[test]
    fn elements_of_an_access_transport_are_read_until_one_is_cut_short() {
        let bytes = Bytes::new(&[0x1E, 2, 0x81, 0x83, 0xA1, 0x7D, 9, 1]).expect("octets");
        let elements: Vec<_> = bytes.elements().collect();
        assert_eq!(elements, [(0x1E, &[0x81, 0x83][..]), (0xA1, &[][..])]);
    }
}
