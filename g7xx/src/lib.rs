//! Speech codecs of the ITU-T G.7xx series, bit-exact, without allocation and without `std`.
//!
//! - [`g711`]: A-law and mu-law.
//! - [`g729`]: CS-ACELP at 8 kbit/s, base codec and Annex A, with silence compression of Annex B.
//! - [`g722`]: 7 kHz audio in 64, 56 and 48 kbit/s.
//! - [`conceal`]: packet loss concealment by linear prediction, for any codec.
//! - [`plc`]: packet loss concealment of G.711 Appendix I.
//! - [`comfort_noise`]: comfort noise for sample codecs (RFC 3389).
//! - [`Level`]: which vector instructions are used; found at the first use, can be lowered.
//! - [`spec`]: what SDP and RTP need to know about each codec.
//!
//! Linear samples are 16-bit signed in the full scale of the word. One frame of G.729 and of the
//! concealment is 80 samples (10 ms at 8 kHz).
#![cfg_attr(not(test), no_std)]
#![deny(missing_docs)]

#[allow(unsafe_code)]
mod arch;

pub mod comfort_noise;
pub mod conceal;
pub mod g711;
pub mod g722;
pub mod g729;
pub mod plc;
pub mod spec;

pub use arch::Level;

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    /// The product runs without these checks; the tests show that nothing needs them.
    #[test]
    #[cfg(debug_assertions)]
    fn overflow_is_checked_in_tests() {
        let sum = std::panic::catch_unwind(|| black_box(i32::MAX) + black_box(1));
        assert!(sum.is_err());
    }
}
