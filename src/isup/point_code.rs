//! Point codes: how exchanges are named in a signalling network (Q.704 2.2, Q.708; ANSI T1.111.4).
//!
//! ITU codes have 14 bits and are written 3-8-3 (zone, area, point), ANSI codes have 24 bits and are written
//! 8-8-8 (network, cluster, member). Both may be written as one number too.

use super::Variant;
use std::fmt;

/// The name of an exchange.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PointCode {
    variant: Variant,
    value: u32,
}

/// Why a text is no point code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointCodeError {
    /// Neither three numbers nor one.
    #[error("this is no point code")]
    Form,
    /// One of the numbers has more bits than there are.
    #[error("{number} is too high here: at most {max}")]
    TooHigh {
        /// What was written.
        number: u32,
        /// What could be.
        max: u32,
    },
}

/// Bits of the three parts.
fn widths(variant: Variant) -> [u32; 3] {
    match variant {
        Variant::Itu => [3, 8, 3],
        Variant::Ansi => [8, 8, 8],
    }
}

impl PointCode {
    /// The code with this value; `None` when it has more bits than the variant.
    pub fn new(variant: Variant, value: u32) -> Option<PointCode> {
        (value <= PointCode::max(variant)).then_some(PointCode { variant, value })
    }

    /// Reads `2-3-4` or `4124`.
    ///
    /// # Errors
    /// See [`PointCodeError`].
    pub fn parse(variant: Variant, text: &str) -> Result<PointCode, PointCodeError> {
        let number = |part: &str, max: u32| {
            let is_number = !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
            let number: u32 = is_number.then(|| part.parse().ok()).flatten().ok_or(PointCodeError::Form)?;
            if number > max { Err(PointCodeError::TooHigh { number, max }) } else { Ok(number) }
        };
        let parts: Vec<&str> = text.splitn(4, '-').collect();
        let value = match parts.as_slice() {
            [whole] => number(whole, PointCode::max(variant))?,
            [_, _, _] => {
                let mut value = 0;
                for (part, width) in parts.iter().zip(widths(variant)) {
                    value = (value << width) | number(part, (1 << width) - 1)?;
                }
                value
            }
            _ => return Err(PointCodeError::Form),
        };
        Ok(PointCode { variant, value })
    }

    /// The highest value.
    pub fn max(variant: Variant) -> u32 {
        (1 << widths(variant).iter().sum::<u32>()) - 1
    }

    /// The code as a number.
    pub fn value(self) -> u32 {
        self.value
    }
}

impl fmt::Display for PointCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, middle, low] = widths(self.variant);
        let part = |shift: u32, width: u32| (self.value >> shift) & ((1 << width) - 1);
        write!(f, "{}-{}-{}", self.value >> (middle + low), part(low, middle), part(0, low))
    }
}

impl fmt::Debug for PointCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PointCode({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_in_both_forms_and_written_in_three_parts() {
        for (variant, text, value, written) in [
            (Variant::Itu, "1-1-1", 2_057, "1-1-1"),
            (Variant::Itu, "2057", 2_057, "1-1-1"),
            (Variant::Itu, "0-0-0", 0, "0-0-0"),
            (Variant::Itu, "7-255-7", 0x3FFF, "7-255-7"),
            (Variant::Itu, "16383", 0x3FFF, "7-255-7"),
            (Variant::Ansi, "245-12-3", 0xF5_0C_03, "245-12-3"),
            (Variant::Ansi, "255-255-255", 0xFF_FF_FF, "255-255-255"),
            (Variant::Ansi, "16777215", 0xFF_FF_FF, "255-255-255"),
        ] {
            let code = PointCode::parse(variant, text).expect(text);
            assert_eq!((code.value(), code.to_string()), (value, written.to_owned()), "{text}");
            assert_eq!(PointCode::new(variant, value), Some(code));
        }
    }

    #[test]
    fn what_has_too_many_bits_or_another_form_is_none() {
        use PointCodeError::{Form, TooHigh};
        for (variant, text, wanted) in [
            (Variant::Itu, "8-0-0", TooHigh { number: 8, max: 7 }),
            (Variant::Itu, "0-256-0", TooHigh { number: 256, max: 255 }),
            (Variant::Itu, "0-0-8", TooHigh { number: 8, max: 7 }),
            (Variant::Itu, "16384", TooHigh { number: 16_384, max: 16_383 }),
            (Variant::Ansi, "256-0-0", TooHigh { number: 256, max: 255 }),
            (Variant::Ansi, "16777216", TooHigh { number: 16_777_216, max: 16_777_215 }),
            (Variant::Itu, "", Form),
            (Variant::Itu, "1-2", Form),
            (Variant::Itu, "1-2-3-4", Form),
            (Variant::Itu, "1--3", Form),
            (Variant::Itu, "+1-2-3", Form),
            (Variant::Itu, "1.2.3", Form),
            (Variant::Itu, "99999999999", Form),
        ] {
            assert_eq!(PointCode::parse(variant, text), Err(wanted), "{text}");
        }
        assert_eq!(PointCode::new(Variant::Itu, 0x4000), None);
    }
}
