//! Messages of Q.763 clause 4: types, layouts, octets.
//!
//! ```text
//!   circuit      2 octets, low one first           (absent in a SIP body, RFC 3204 3.1)
//!   type         1 octet
//!   fixed        mandatory parameters of known length, without code
//!   pointers     one a variable parameter, one to the optional part: distance from itself
//!   variable     length, content
//!   optional     code, length, content, ...   code 0 ends
//! ```

use super::parameter::{Parameter, ParameterCode};
use super::{Cic, Variant, codes};
use crate::limits;
use std::fmt;

codes! {
    /// Message types by their codes; those above 224 are ANSI's.
    MessageType {
        IAM = 0x01, "IAM";
        SAM = 0x02, "SAM";
        INR = 0x03, "INR";
        INF = 0x04, "INF";
        COT = 0x05, "COT";
        ACM = 0x06, "ACM";
        CON = 0x07, "CON";
        FOT = 0x08, "FOT";
        ANM = 0x09, "ANM";
        REL = 0x0C, "REL";
        SUS = 0x0D, "SUS";
        RES = 0x0E, "RES";
        RLC = 0x10, "RLC";
        CCR = 0x11, "CCR";
        RSC = 0x12, "RSC";
        BLO = 0x13, "BLO";
        UBL = 0x14, "UBL";
        BLA = 0x15, "BLA";
        UBA = 0x16, "UBA";
        GRS = 0x17, "GRS";
        CGB = 0x18, "CGB";
        CGU = 0x19, "CGU";
        CGBA = 0x1A, "CGBA";
        CGUA = 0x1B, "CGUA";
        FAR = 0x1F, "FAR";
        FAA = 0x20, "FAA";
        FRJ = 0x21, "FRJ";
        LPA = 0x24, "LPA";
        PAM = 0x28, "PAM";
        GRA = 0x29, "GRA";
        CQM = 0x2A, "CQM";
        CQR = 0x2B, "CQR";
        CPG = 0x2C, "CPG";
        USR = 0x2D, "USR";
        UCIC = 0x2E, "UCIC";
        CFN = 0x2F, "CFN";
        OLM = 0x30, "OLM";
        CRG = 0x31, "CRG";
        NRM = 0x32, "NRM";
        FAC = 0x33, "FAC";
        UPT = 0x34, "UPT";
        UPA = 0x35, "UPA";
        IDR = 0x36, "IDR";
        IRS = 0x37, "IRS";
        SGM = 0x38, "SGM";
        LOP = 0x40, "LOP";
        APM = 0x41, "APM";
        PRI = 0x42, "PRI";
        SDN = 0x43, "SDN";
        CRA = 0xE9, "CRA";
        CRM = 0xEA, "CRM";
        CVR = 0xEB, "CVR";
        CVT = 0xEC, "CVT";
        EXM = 0xED, "EXM";
    }
}

/// What a message is made of.
struct Layout {
    /// Codes and lengths of the fixed part.
    fixed: &'static [(ParameterCode, usize)],
    /// Codes of the variable part.
    variable: &'static [ParameterCode],
    /// Whether it may have an optional part.
    optional: bool,
}

impl MessageType {
    /// Whether its layout is known; others are kept as octets. PAM carries a whole message, CRG and SDN
    /// are national.
    pub fn is_known(self, variant: Variant) -> bool {
        self.layout(variant).is_some()
    }

    fn layout(self, variant: Variant) -> Option<Layout> {
        use MessageType as M;
        use ParameterCode as P;
        const fn layout(
            fixed: &'static [(ParameterCode, usize)],
            variable: &'static [ParameterCode],
            optional: bool,
        ) -> Option<Layout> {
            Some(Layout { fixed, variable, optional })
        }
        match (self, variant) {
            (M::IAM, Variant::Itu) => layout(
                &[(P::NATURE_OF_CONNECTION, 1), (P::FORWARD_CALL, 2), (P::CATEGORY, 1), (P::MEDIUM, 1)],
                &[P::CALLED_NUMBER],
                true,
            ),
            (M::IAM, Variant::Ansi) => layout(
                &[(P::NATURE_OF_CONNECTION, 1), (P::FORWARD_CALL, 2), (P::CATEGORY, 1)],
                &[P::USER_SERVICE, P::CALLED_NUMBER],
                true,
            ),
            (M::SAM, _) => layout(&[], &[P::SUBSEQUENT_NUMBER], true),
            (M::INR, _) => layout(&[(P::INFORMATION_REQUEST, 2)], &[], true),
            (M::INF, _) => layout(&[(P::INFORMATION, 2)], &[], true),
            (M::COT, _) => layout(&[(P::CONTINUITY, 1)], &[], false),
            (M::ACM | M::CON, _) => layout(&[(P::BACKWARD_CALL, 2)], &[], true),
            (M::CPG, _) => layout(&[(P::EVENT, 1)], &[], true),
            (M::REL | M::CFN, _) => layout(&[], &[P::CAUSE], true),
            (M::SUS | M::RES, _) => layout(&[(P::SUSPEND_RESUME, 1)], &[], true),
            // Only ITU has an optional part here.
            (M::RLC, Variant::Itu) => layout(&[], &[], true),
            (M::RLC, Variant::Ansi) => layout(&[], &[], false),
            (M::FAR | M::FAA, _) => layout(&[(P::FACILITY, 1)], &[], true),
            (M::FRJ, _) => layout(&[(P::FACILITY, 1)], &[P::CAUSE], true),
            (M::USR, _) => layout(&[], &[P::USER_TO_USER], true),
            (M::GRS | M::GRA | M::CQM, _) => layout(&[], &[P::RANGE_AND_STATUS], false),
            (M::CQR, _) => layout(&[], &[P::RANGE_AND_STATUS, P::CIRCUIT_STATES], false),
            (M::CGB | M::CGU | M::CGBA | M::CGUA, _) => {
                layout(&[(P::GROUP_SUPERVISION, 1)], &[P::RANGE_AND_STATUS], false)
            }
            (M::CCR | M::RSC | M::BLO | M::UBL | M::BLA | M::UBA | M::LPA | M::UCIC | M::OLM, _) => {
                layout(&[], &[], false)
            }
            (
                M::FOT
                | M::ANM
                | M::NRM
                | M::FAC
                | M::UPT
                | M::UPA
                | M::IDR
                | M::IRS
                | M::SGM
                | M::LOP
                | M::APM
                | M::PRI,
                _,
            ) => layout(&[], &[], true),
            (M::CVT | M::CRA, Variant::Ansi) => layout(&[], &[], false),
            (M::CRM, Variant::Ansi) => layout(&[(P::NATURE_OF_CONNECTION, 1)], &[], false),
            (M::CVR, Variant::Ansi) => layout(&[(P::VALIDATION_RESPONSE, 1), (P::GROUP_CHARACTERISTICS, 1)], &[], true),
            // Unverified: tshark has no layout for EXM; this is that of another implementation.
            (M::EXM, Variant::Ansi) => layout(&[], &[], true),
            _ => None,
        }
    }
}

/// A message without its circuit, as a SIP body has it, too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    kind: MessageType,
    /// Mandatory ones first when it was read; at most [`limits::ISUP_PARAMETERS`].
    parameters: Vec<Parameter>,
    /// What stands behind the type, for messages without a layout. Their parameters are read from it for
    /// compatibility information, and not written.
    raw: Vec<u8>,
}

impl Message {
    /// A message without parameters.
    pub fn new(kind: MessageType) -> Message {
        Message { kind, parameters: Vec::new(), raw: Vec::new() }
    }

    /// A message without a layout, with the octets behind its type; `None` for more than a message has.
    ///
    /// Its parameters are read as Q.763 promises of messages yet to come: only an optional part.
    pub fn raw(kind: MessageType, octets: &[u8]) -> Option<Message> {
        if octets.len() > limits::ISUP_FIELD_OCTETS {
            return None;
        }
        let mut parameters = Vec::new();
        // What it holds is a guess; when that fails the octets remain.
        if (Reader { kind, octets, at: 0, base: 1 }).optional(&mut parameters).is_err() {
            parameters.clear();
        }
        Some(Message { kind, parameters, raw: octets.to_vec() })
    }

    /// With one more parameter. Of two of a kind the first is the mandatory one.
    #[must_use]
    pub fn with(mut self, parameter: Parameter) -> Message {
        self.parameters.push(parameter);
        self
    }

    /// Without parameters of this code.
    #[must_use]
    pub fn without(mut self, code: ParameterCode) -> Message {
        self.parameters.retain(|parameter| parameter.code() != code);
        self
    }

    /// Its type.
    pub fn kind(&self) -> MessageType {
        self.kind
    }

    /// All parameters. There are accessors for the first of each kind.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// What stands behind the type of a message that has no layout.
    pub fn raw_octets(&self) -> &[u8] {
        &self.raw
    }

    /// The octets with the circuit before them, for MTP and M3UA.
    ///
    /// # Errors
    /// See [`EncodeError`].
    pub fn encode(&self, variant: Variant, cic: Cic) -> Result<Vec<u8>, EncodeError> {
        let mut out = cic.value().to_le_bytes().to_vec();
        self.write(variant, &mut out)?;
        if out.len() > variant.message_octets_max() {
            return Err(EncodeError::MessageTooLong {
                kind: self.kind,
                octets: out.len(),
                max: variant.message_octets_max(),
            });
        }
        Ok(out)
    }

    /// The octets without a circuit, for `application/isup` (RFC 3204 3.1).
    ///
    /// # Errors
    /// See [`EncodeError`].
    pub fn encode_body(&self, variant: Variant) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        self.write(variant, &mut out)?;
        let max = variant.message_octets_max();
        if out.len() + 2 > max {
            return Err(EncodeError::MessageTooLong { kind: self.kind, octets: out.len() + 2, max });
        }
        Ok(out)
    }

    fn write(&self, variant: Variant, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let kind = self.kind;
        out.push(kind.value());
        let Some(layout) = kind.layout(variant) else {
            out.extend(&self.raw);
            return Ok(());
        };
        if self.parameters.len() > limits::ISUP_PARAMETERS {
            return Err(EncodeError::TooManyParameters { kind, count: self.parameters.len() });
        }
        let mut written = Vec::new();
        let mut mandatory = |code: ParameterCode| {
            let found = self.parameters.iter().enumerate().find(|(_, parameter)| parameter.code() == code);
            match found {
                Some((_, Parameter::Other(_))) => Err(EncodeError::Unreadable { kind, code }),
                Some((index, parameter)) => {
                    written.push(index);
                    Ok(parameter.octets())
                }
                None => Err(EncodeError::Missing { kind, code }),
            }
        };
        for (code, length) in layout.fixed {
            let octets = mandatory(*code)?;
            if octets.len() != *length {
                return Err(EncodeError::Length { kind, code: *code, octets: octets.len(), wanted: *length });
            }
            out.extend(octets);
        }
        let pointers = layout.variable.len() + usize::from(layout.optional);
        let mut part: Vec<u8> = Vec::new();
        let pointer = |index: usize, part: &[u8]| {
            // Distance from this pointer to behind the last one, and on.
            u8::try_from(pointers - index + part.len()).map_err(|_| EncodeError::Pointer { kind })
        };
        for (index, code) in layout.variable.iter().enumerate() {
            let octets = mandatory(*code)?;
            out.push(pointer(index, &part)?);
            push_with_length(&mut part, kind, *code, octets)?;
        }
        let optional = self.parameters.iter().enumerate().filter(|(index, _)| !written.contains(index));
        let mut optional = optional.map(|(_, parameter)| parameter).peekable();
        match optional.peek() {
            Some(parameter) if !layout.optional => {
                return Err(EncodeError::NoOptionalPart { kind, code: parameter.code() });
            }
            Some(_) => {
                out.push(pointer(layout.variable.len(), &part)?);
                for parameter in optional {
                    if parameter.code() == ParameterCode::END {
                        return Err(EncodeError::Unreadable { kind, code: ParameterCode::END });
                    }
                    part.push(parameter.code().value());
                    push_with_length(&mut part, kind, parameter.code(), parameter.octets())?;
                }
                part.push(ParameterCode::END.value());
            }
            None if layout.optional => out.push(0),
            None => {}
        }
        out.extend(part);
        Ok(())
    }

    /// Reads the circuit and the message.
    ///
    /// # Errors
    /// See [`DecodeError`]; its offset counts from the first octet of the circuit.
    pub fn decode(variant: Variant, octets: &[u8]) -> Result<(Cic, Message), DecodeError> {
        let error = |problem, offset| DecodeError { kind: None, problem, offset };
        if octets.len() > variant.message_octets_max() {
            return Err(error(Problem::TooLong { max: variant.message_octets_max() }, octets.len()));
        }
        let (Some(&low), Some(&high)) = (octets.first(), octets.get(1)) else {
            return Err(error(Problem::Truncated { what: "the circuit", wanted: 2, left: octets.len() }, 0));
        };
        // Bits beyond the code are spare.
        let cic = Cic(u16::from_le_bytes([low, high]) & variant.cic_max());
        let message = Message::read(variant, octets.get(2..).unwrap_or(&[]), 2)?;
        Ok((cic, message))
    }

    /// Reads a message without a circuit.
    ///
    /// # Errors
    /// See [`DecodeError`]; its offset counts from the type.
    pub fn decode_body(variant: Variant, octets: &[u8]) -> Result<Message, DecodeError> {
        if octets.len() + 2 > variant.message_octets_max() {
            let problem = Problem::TooLong { max: variant.message_octets_max() - 2 };
            return Err(DecodeError { kind: None, problem, offset: octets.len() });
        }
        Message::read(variant, octets, 0)
    }

    fn read(variant: Variant, octets: &[u8], base: usize) -> Result<Message, DecodeError> {
        let Some((&kind, octets)) = octets.split_first() else {
            let problem = Problem::Truncated { what: "the message type", wanted: 1, left: 0 };
            return Err(DecodeError { kind: None, problem, offset: base });
        };
        let kind = MessageType::new(kind);
        let mut reader = Reader { kind, octets, at: 0, base: base + 1 };
        let Some(layout) = kind.layout(variant) else {
            return Message::raw(kind, octets)
                .ok_or_else(|| reader.error(Problem::TooLong { max: limits::ISUP_FIELD_OCTETS }, 0));
        };
        let mut parameters = Vec::new();
        for (code, length) in layout.fixed {
            let at = reader.at;
            let content = reader.take(*length, *code)?;
            parameters.push(reader.mandatory(*code, content, at)?);
        }
        for code in layout.variable {
            let at = reader.pointed(*code)?;
            let content = reader.with_length(at, *code)?;
            parameters.push(reader.mandatory(*code, content, at)?);
        }
        if layout.optional {
            reader.optional(&mut parameters)?;
        }
        Ok(Message { kind, parameters, raw: Vec::new() })
    }
}

fn push_with_length(
    part: &mut Vec<u8>,
    kind: MessageType,
    code: ParameterCode,
    octets: &[u8],
) -> Result<(), EncodeError> {
    let too_long = EncodeError::ParameterTooLong { kind, code, octets: octets.len() };
    part.push(u8::try_from(octets.len()).map_err(|_| too_long)?);
    part.extend(octets);
    Ok(())
}

/// Reads what stands behind the type.
struct Reader<'o> {
    kind: MessageType,
    octets: &'o [u8],
    at: usize,
    /// Octets before these, for offsets in errors.
    base: usize,
}

impl<'o> Reader<'o> {
    fn error(&self, problem: Problem, at: usize) -> DecodeError {
        DecodeError { kind: Some(self.kind), problem, offset: self.base + at }
    }

    fn truncated(&self, code: ParameterCode, wanted: usize, at: usize) -> DecodeError {
        let left = self.octets.len().saturating_sub(at);
        self.error(Problem::Truncated { what: code.name().unwrap_or("a parameter"), wanted, left }, at)
    }

    /// The next octets of the fixed part.
    fn take(&mut self, length: usize, code: ParameterCode) -> Result<&'o [u8], DecodeError> {
        let content = self.octets.get(self.at..self.at + length);
        let content = content.ok_or_else(|| self.truncated(code, length, self.at))?;
        self.at += length;
        Ok(content)
    }

    /// Where the next pointer points.
    fn pointed(&mut self, code: ParameterCode) -> Result<usize, DecodeError> {
        let at = self.at;
        let pointer = *self.octets.get(at).ok_or_else(|| self.truncated(code, 1, at))?;
        self.at += 1;
        let target = at + usize::from(pointer);
        if pointer == 0 || target >= self.octets.len() {
            return Err(self.error(Problem::Pointer { code, pointer }, at));
        }
        Ok(target)
    }

    /// A parameter with its length before it.
    fn with_length(&self, at: usize, code: ParameterCode) -> Result<&'o [u8], DecodeError> {
        let length = usize::from(*self.octets.get(at).ok_or_else(|| self.truncated(code, 1, at))?);
        let content = self.octets.get(at + 1..at + 1 + length);
        content.ok_or_else(|| self.truncated(code, length, at + 1))
    }

    fn mandatory(&self, code: ParameterCode, content: &[u8], at: usize) -> Result<Parameter, DecodeError> {
        match Parameter::read(code, content) {
            Parameter::Other(_) => Err(self.error(Problem::Unreadable { code, octets: content.len() }, at)),
            parameter => Ok(parameter),
        }
    }

    /// The optional part, by its pointer. A message that ends before the pointer has none: versions of old
    /// had no pointer in RLC and others.
    fn optional(&mut self, parameters: &mut Vec<Parameter>) -> Result<(), DecodeError> {
        let pointer = self.octets.get(self.at).copied().unwrap_or(0);
        if pointer == 0 {
            return Ok(());
        }
        let mut at = self.pointed(ParameterCode::END)?;
        loop {
            let code = *self.octets.get(at).ok_or_else(|| self.error(Problem::NoEnd, at))?;
            let code = ParameterCode::new(code);
            if code == ParameterCode::END {
                return Ok(());
            }
            if parameters.len() >= limits::ISUP_PARAMETERS {
                return Err(self.error(Problem::TooManyParameters, at));
            }
            let content = self.with_length(at + 1, code)?;
            parameters.push(Parameter::read(code, content));
            at += 2 + content.len();
        }
    }
}

/// Why octets are no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Its type, once that was read.
    pub kind: Option<MessageType>,
    /// What is wrong.
    pub problem: Problem,
    /// The octet where it shows, from 0.
    pub offset: usize,
}

/// What is wrong with a message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It ends too soon.
    Truncated {
        /// Within what.
        what: &'static str,
        /// Octets that this needs.
        wanted: usize,
        /// Octets that are left.
        left: usize,
    },
    /// It is longer than a message can be.
    TooLong {
        /// Octets that it may have.
        max: usize,
    },
    /// A pointer leads nowhere.
    Pointer {
        /// To which parameter; [`ParameterCode::END`] for the optional part.
        code: ParameterCode,
        /// The pointer.
        pointer: u8,
    },
    /// A mandatory parameter has octets that it can't have.
    Unreadable {
        /// Which.
        code: ParameterCode,
        /// How many it has.
        octets: usize,
    },
    /// The optional part doesn't end.
    NoEnd,
    /// More parameters than [`limits::ISUP_PARAMETERS`].
    TooManyParameters,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => write!(f, "{kind}, octet {}: ", self.offset)?,
            None => write!(f, "octet {}: ", self.offset)?,
        }
        match &self.problem {
            Problem::Truncated { what, wanted, left } => {
                write!(f, "{what} needs {wanted} octets, {left} are left")?;
            }
            Problem::TooLong { max } => write!(f, "a message has at most {max} octets")?,
            Problem::Pointer { code: ParameterCode::END, pointer } => {
                write!(f, "pointer {pointer} to the optional part leads out of the message")?;
            }
            Problem::Pointer { code, pointer } => write!(f, "pointer {pointer} to {code} leads out of the message")?,
            Problem::Unreadable { code, octets } => write!(f, "{code} can't have these {octets} octets")?,
            Problem::NoEnd => write!(f, "the optional part has no end (code 0)")?,
            Problem::TooManyParameters => write!(f, "more than {} parameters", limits::ISUP_PARAMETERS)?,
        }
        // Q.764 2.9.5: what is not in the format of a message is discarded.
        write!(
            f,
            "; the message is discarded; compare its octets with the variant (itu, ansi) that the trunk is set to"
        )
    }
}

impl std::error::Error for DecodeError {}

/// Why a message can't be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A mandatory parameter is not there.
    #[error("{kind} needs {code}: add it")]
    Missing {
        /// In which message.
        kind: MessageType,
        /// Which.
        code: ParameterCode,
    },
    /// A mandatory parameter, or the end, stands there as [`Parameter::Other`].
    #[error("{kind} can't have {code} with such octets: make it by its type")]
    Unreadable {
        /// In which message.
        kind: MessageType,
        /// Which.
        code: ParameterCode,
    },
    /// A parameter of the fixed part has another length.
    #[error("{code} of {kind} has {wanted} octets, not {octets}")]
    Length {
        /// In which message.
        kind: MessageType,
        /// Which.
        code: ParameterCode,
        /// What it has.
        octets: usize,
        /// What it must have.
        wanted: usize,
    },
    /// A message that has only mandatory parameters has another.
    #[error("{kind} has no optional part for {code}: leave it out")]
    NoOptionalPart {
        /// In which message.
        kind: MessageType,
        /// Which.
        code: ParameterCode,
    },
    /// The length of a parameter doesn't fit its octet.
    #[error("{code} of {kind} has {octets} octets, 255 are possible: cut it")]
    ParameterTooLong {
        /// In which message.
        kind: MessageType,
        /// Which.
        code: ParameterCode,
        /// What it has.
        octets: usize,
    },
    /// A pointer would need more than 255.
    #[error("mandatory parameters of {kind} are too long for its pointers: cut them")]
    Pointer {
        /// In which message.
        kind: MessageType,
    },
    /// More than [`limits::ISUP_PARAMETERS`].
    #[error("{kind} has {count} parameters, {max} are possible: leave some out", max = limits::ISUP_PARAMETERS)]
    TooManyParameters {
        /// In which message.
        kind: MessageType,
        /// How many.
        count: usize,
    },
    /// It doesn't fit a signal unit.
    #[error("{kind} has {octets} octets, {max} fit: leave optional parameters out")]
    MessageTooLong {
        /// Which message.
        kind: MessageType,
        /// What it has.
        octets: usize,
        /// What it may have.
        max: usize,
    },
}

#[cfg(test)]
mod tests;
