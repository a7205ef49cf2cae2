//! Parameters that are bits of one or two octets (Q.763 clause 3).
//!
//! Bits are counted from bit A of the first octet, 0, to bit P of the second, 15. Octets behind those
//! that are known, and spare bits, are kept.

use super::{Octets, codes};
use crate::isup::parameter::Content;

/// Bits `at..at + width` of octets read as one number, the first octet lowest; absent octets count as 0.
fn bits(octets: &[u8], at: u32, width: u32) -> u8 {
    let low = octets.first().copied().unwrap_or(0);
    let high = octets.get(1).copied().unwrap_or(0);
    let value = u16::from_le_bytes([low, high]) >> at;
    (value & ((1 << width) - 1)) as u8
}

/// Sets those bits to the low bits of `value`; absent octets are added.
fn set_bits(octets: &mut Octets, at: u32, width: u32, value: u8) {
    let mask = ((1_u16 << width) - 1) << at;
    let set = (u16::from(value) << at) & mask;
    for (index, (mask, set)) in mask.to_le_bytes().into_iter().zip(set.to_le_bytes()).enumerate() {
        if mask == 0 {
            continue;
        }
        if octets.len() <= index {
            octets.resize(index + 1, 0);
        }
        octets[index] = octets[index] & !mask | set;
    }
}

macro_rules! indicators {
    (
        $(#[$doc:meta])* $name:ident: $least:literal {
            flags { $( $(#[$flag_doc:meta])* $flag:ident, $with_flag:ident = $flag_at:literal; )* }
            fields { $( $(#[$field_doc:meta])* $field:ident, $with_field:ident: $kind:ident = $at:literal, $width:literal; )* }
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name(Octets);

        impl Default for $name {
            /// All bits 0.
            fn default() -> Self {
                $name(Octets::from_slice(&[0; $least]))
            }
        }

        impl $name {
            $(
                $(#[$flag_doc])*
                pub fn $flag(&self) -> bool {
                    bits(&self.0, $flag_at, 1) == 1
                }
                #[doc = concat!("With [`Self::", stringify!($flag), "`] set so.")]
                #[must_use]
                pub fn $with_flag(mut self, on: bool) -> Self {
                    set_bits(&mut self.0, $flag_at, 1, u8::from(on));
                    self
                }
            )*
            $(
                $(#[$field_doc])*
                pub fn $field(&self) -> $kind {
                    $kind::new(bits(&self.0, $at, $width))
                }
                #[doc = concat!("With [`Self::", stringify!($field), "`] set so; bits that don't fit are cut.")]
                #[must_use]
                pub fn $with_field(mut self, value: $kind) -> Self {
                    set_bits(&mut self.0, $at, $width, value.value());
                    self
                }
            )*
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut list = f.debug_struct(stringify!($name));
                $( if self.$flag() { list.field(stringify!($flag), &true); } )*
                $( list.field(stringify!($field), &self.$field()); )*
                list.finish()
            }
        }

        impl Content for $name {
            fn from_octets(octets: &[u8]) -> Option<Self> {
                (octets.len() >= $least).then(|| $name(Octets::from_slice(octets)))
            }
            fn octets(&self) -> &[u8] {
                &self.0
            }
        }
    };
}

codes! {
    /// Whether the circuit is to be checked before it is used (nature of connection, bits DC).
    ContinuityCheck {
        NOT_REQUIRED = 0, "not required";
        REQUIRED = 1, "required on this circuit";
        PREVIOUS = 2, "performed on a previous circuit";
    }
}

codes! {
    /// A number of two to four bits without names of its own.
    Count {}
}

codes! {
    /// Whether ISUP is needed all the way (forward call indicators, bits HG).
    Preference {
        PREFERRED = 0, "ISDN user part preferred all the way";
        NOT_REQUIRED = 1, "ISDN user part not required all the way";
        REQUIRED = 2, "ISDN user part required all the way";
    }
}

codes! {
    /// Methods of end-to-end signalling (bits CB forward, HG backward).
    EndToEnd {
        NONE = 0, "no method available";
        PASS_ALONG = 1, "pass-along method";
        SCCP = 2, "SCCP method";
        BOTH = 3, "pass-along and SCCP method";
    }
}

codes! {
    /// Whether the call is charged (backward call indicators, bits BA).
    Charge {
        NO_INDICATION = 0, "no indication";
        NO_CHARGE = 1, "no charge";
        CHARGE = 2, "charge";
    }
}

codes! {
    /// What is known of the called party (backward call indicators, bits DC).
    CalledPartyStatus {
        NO_INDICATION = 0, "no indication";
        SUBSCRIBER_FREE = 1, "subscriber free";
        CONNECT_WHEN_FREE = 2, "connect when free";
    }
}

codes! {
    /// What the called party is (backward call indicators, bits FE).
    CalledPartyCategory {
        NO_INDICATION = 0, "no indication";
        ORDINARY = 1, "ordinary subscriber";
        PAYPHONE = 2, "payphone";
    }
}

codes! {
    /// What CPG tells of (event information, bits G to A).
    CallEvent {
        ALERTING = 1, "alerting";
        PROGRESS = 2, "progress";
        IN_BAND = 3, "in-band information or an appropriate pattern is now available";
        FORWARDED_BUSY = 4, "call forwarded on busy";
        FORWARDED_NO_REPLY = 5, "call forwarded on no reply";
        FORWARDED = 6, "call forwarded unconditional";
    }
}

codes! {
    /// Whether INF brings the calling party's number (information indicators, bits BA).
    AddressResponse {
        NOT_INCLUDED = 0, "calling party address not included";
        NOT_AVAILABLE = 1, "calling party address not available";
        INCLUDED = 3, "calling party address included";
    }
}

codes! {
    /// What has happened to the call on its way (redirection information, bits CBA).
    RedirectingIndicator {
        NONE = 0, "no redirection";
        REROUTED = 1, "call rerouted";
        REROUTED_RESTRICTED = 2, "call rerouted, all redirection information presentation restricted";
        DIVERTED = 3, "call diverted";
        DIVERTED_RESTRICTED = 4, "call diverted, all redirection information presentation restricted";
        REROUTED_NUMBER_RESTRICTED = 5, "call rerouted, redirection number presentation restricted";
        DIVERTED_NUMBER_RESTRICTED = 6, "call diversion, redirection number presentation restricted";
    }
}

codes! {
    /// Why a call was redirected (redirection information, bits HGFE of either octet).
    RedirectionReason {
        UNKNOWN = 0, "unknown or not available";
        BUSY = 1, "user busy";
        NO_REPLY = 2, "no reply";
        UNCONDITIONAL = 3, "unconditional";
        DEFLECTION_ALERTING = 4, "deflection during alerting";
        DEFLECTION_IMMEDIATE = 5, "deflection immediate response";
        NOT_REACHABLE = 6, "mobile subscriber not reachable";
    }
}

codes! {
    /// Why circuits are blocked (circuit group supervision message type, bits BA).
    SupervisionType {
        MAINTENANCE = 0, "maintenance oriented";
        HARDWARE = 1, "hardware failure oriented";
    }
}

codes! {
    /// Who calls (calling party's category).
    CallingCategory {
        UNKNOWN = 0, "category unknown at this time";
        OPERATOR_FRENCH = 1, "operator, language French";
        OPERATOR_ENGLISH = 2, "operator, language English";
        OPERATOR_GERMAN = 3, "operator, language German";
        OPERATOR_RUSSIAN = 4, "operator, language Russian";
        OPERATOR_SPANISH = 5, "operator, language Spanish";
        ORDINARY = 10, "ordinary calling subscriber";
        PRIORITY = 11, "calling subscriber with priority";
        DATA = 12, "data call";
        TEST = 13, "test call";
        PAYPHONE = 15, "payphone";
    }
}

codes! {
    /// What the circuit must carry (transmission medium requirement; not in ANSI).
    Medium {
        SPEECH = 0, "speech";
        UNRESTRICTED_64K = 2, "64 kbit/s unrestricted";
        AUDIO_3K1 = 3, "3.1 kHz audio";
        PREFERRED_64K = 6, "64 kbit/s preferred";
        UNRESTRICTED_2X64K = 7, "2x64 kbit/s unrestricted";
    }
}

indicators! {
    /// Nature of connection indicators.
    NatureOfConnection: 1 {
        flags {
            /// Bit E: an outgoing half echo control device is included.
            echo_device, with_echo_device = 4;
        }
        fields {
            /// Bits BA: satellite links so far.
            satellites, with_satellites: Count = 0, 2;
            /// Bits DC.
            continuity, with_continuity: ContinuityCheck = 2, 2;
        }
    }
}

indicators! {
    /// Forward call indicators.
    ForwardCall: 2 {
        flags {
            /// Bit A: to be treated as an international call.
            international, with_international = 0;
            /// Bit D: the call has met something that is not ISUP.
            interworking, with_interworking = 3;
            /// Bit E: end-to-end information is available.
            end_to_end_information, with_end_to_end_information = 4;
            /// Bit F: ISUP so far all the way.
            isup_all_the_way, with_isup_all_the_way = 5;
            /// Bit I: the caller's access is ISDN.
            isdn_access, with_isdn_access = 8;
            /// Bit M: the number was translated for portability.
            number_translated, with_number_translated = 12;
        }
        fields {
            /// Bits CB.
            end_to_end, with_end_to_end: EndToEnd = 1, 2;
            /// Bits HG.
            preference, with_preference: Preference = 6, 2;
        }
    }
}

indicators! {
    /// Backward call indicators.
    BackwardCall: 2 {
        flags {
            /// Bit I: the call has met something that is not ISUP.
            interworking, with_interworking = 8;
            /// Bit J: end-to-end information is available.
            end_to_end_information, with_end_to_end_information = 9;
            /// Bit K: ISUP all the way.
            isup_all_the_way, with_isup_all_the_way = 10;
            /// Bit L: holding is requested.
            holding, with_holding = 11;
            /// Bit M: the called party's access is ISDN.
            isdn_access, with_isdn_access = 12;
            /// Bit N: an incoming half echo control device is included.
            echo_device, with_echo_device = 13;
        }
        fields {
            /// Bits BA.
            charge, with_charge: Charge = 0, 2;
            /// Bits DC.
            status, with_status: CalledPartyStatus = 2, 2;
            /// Bits FE.
            category, with_category: CalledPartyCategory = 4, 2;
            /// Bits HG.
            end_to_end, with_end_to_end: EndToEnd = 6, 2;
        }
    }
}

indicators! {
    /// Optional forward call indicators.
    OptionalForwardCall: 1 {
        flags {
            /// Bit C: a segmentation message (SGM) follows with the rest.
            segmented, with_segmented = 2;
            /// Bit H: the caller's side asks for the connected number.
            connected_line_requested, with_connected_line_requested = 7;
        }
        fields {
            /// Bits BA: closed user group call.
            closed_user_group, with_closed_user_group: Count = 0, 2;
        }
    }
}

indicators! {
    /// Optional backward call indicators.
    OptionalBackwardCall: 1 {
        flags {
            /// Bit A: in-band information is available, the path is to be opened.
            in_band, with_in_band = 0;
            /// Bit B: the call may be diverted.
            diversion_may_occur, with_diversion_may_occur = 1;
            /// Bit C: a segmentation message (SGM) follows with the rest.
            segmented, with_segmented = 2;
            /// Bit D: the user of multi-level precedence.
            mlpp_user, with_mlpp_user = 3;
        }
        fields {}
    }
}

indicators! {
    /// Event information.
    EventInformation: 1 {
        flags {
            /// Bit H: what led to the event is not to be shown.
            restricted, with_restricted = 7;
        }
        fields {
            /// Bits G to A.
            event, with_event: CallEvent = 0, 7;
        }
    }
}

indicators! {
    /// Suspend/resume indicators.
    SuspendResume: 1 {
        flags {
            /// Bit A: the network asks, not an ISDN subscriber.
            network_initiated, with_network_initiated = 0;
        }
        fields {}
    }
}

indicators! {
    /// Information request indicators.
    InformationRequest: 2 {
        flags {
            /// Bit A: the calling party's number is wanted.
            calling_number, with_calling_number = 0;
            /// Bit B: holding is wanted.
            holding, with_holding = 1;
            /// Bit D: the calling party's category is wanted.
            calling_category, with_calling_category = 3;
            /// Bit E: charge information is wanted.
            charge_information, with_charge_information = 4;
            /// Bit H: the call is to be traced.
            malicious_call, with_malicious_call = 7;
        }
        fields {}
    }
}

indicators! {
    /// Information indicators.
    InformationIndicators: 2 {
        flags {
            /// Bit C: holding is provided.
            hold_provided, with_hold_provided = 2;
            /// Bit F: the calling party's category is included.
            calling_category, with_calling_category = 5;
            /// Bit G: charge information is included.
            charge_information, with_charge_information = 6;
            /// Bit H: nobody asked for it. **Unverified** which value means solicited: kept as the bit.
            unsolicited, with_unsolicited = 7;
        }
        fields {
            /// Bits BA.
            calling_number, with_calling_number: AddressResponse = 0, 2;
        }
    }
}

indicators! {
    /// Continuity indicators.
    Continuity: 1 {
        flags {
            /// Bit A: the check was successful.
            successful, with_successful = 0;
        }
        fields {}
    }
}

indicators! {
    /// Redirection information. The second octet is absent in calls that were only diverted by
    /// exchanges of old.
    Redirection: 1 {
        flags {}
        fields {
            /// First octet, bits CBA.
            indicator, with_indicator: RedirectingIndicator = 0, 3;
            /// First octet, bits HGFE: why it was redirected first.
            original_reason, with_original_reason: RedirectionReason = 4, 4;
            /// Second octet, bits CBA: how often, 1 to 5.
            count, with_count: Count = 8, 3;
            /// Second octet, bits HGFE: why it was redirected last.
            reason, with_reason: RedirectionReason = 12, 4;
        }
    }
}

indicators! {
    /// Circuit group supervision message type.
    GroupSupervision: 1 {
        flags {}
        fields {
            /// Bits BA.
            kind, with_kind: SupervisionType = 0, 2;
        }
    }
}

indicators! {
    /// Calling party's category.
    Category: 1 {
        flags {}
        fields {
            /// The whole octet.
            category, with_category: CallingCategory = 0, 8;
        }
    }
}

indicators! {
    /// Transmission medium requirement.
    MediumRequirement: 1 {
        flags {}
        fields {
            /// The whole octet.
            medium, with_medium: Medium = 0, 8;
        }
    }
}

indicators! {
    /// Hop counter.
    HopCounter: 1 {
        flags {}
        fields {
            /// Bits E to A: exchanges that may still handle the call, 0 to 31.
            hops, with_hops: Count = 0, 5;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_stand_where_the_standard_counts_them() {
        let forward = ForwardCall::default().with_international(true).with_isdn_access(true).with_interworking(true);
        assert_eq!(forward.octets(), [0b0000_1001, 0b0000_0001]);
        assert_eq!(forward.with_preference(Preference::REQUIRED).octets(), [0b1000_1001, 1]);
        let backward = BackwardCall::default().with_status(CalledPartyStatus::SUBSCRIBER_FREE).with_interworking(true);
        assert_eq!(backward.octets(), [0b0000_0100, 1]);
        let redirection = Redirection::default().with_indicator(RedirectingIndicator::DIVERTED);
        assert_eq!(redirection.octets(), [3]);
        let counted = redirection.with_count(Count::new(2)).with_reason(RedirectionReason::NO_REPLY);
        assert_eq!(counted.octets(), [3, 0b0010_0010]);
        assert_eq!(counted.count().value(), 2);
        assert_eq!(counted.reason(), RedirectionReason::NO_REPLY);
    }

    #[test]
    fn spare_bits_and_octets_of_later_versions_are_kept() {
        let read = SuspendResume::from_octets(&[0xAA, 0x55]).expect("long enough");
        assert!(!read.network_initiated());
        assert_eq!(read.with_network_initiated(true).octets(), [0xAB, 0x55]);
        assert_eq!(BackwardCall::from_octets(&[1]), None, "two octets are needed");
    }

    #[test]
    fn values_that_do_not_fit_are_cut_and_touch_no_neighbour() {
        let nature = NatureOfConnection::default().with_satellites(Count::new(0xFF));
        assert_eq!(nature.octets(), [0b11]);
        assert_eq!(HopCounter::default().with_hops(Count::new(70)).hops().value(), 70 % 32);
    }
}
