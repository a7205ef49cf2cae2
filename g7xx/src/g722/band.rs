//! The adaptive differential coder of one band (G.722 3.5, 4.1).

use super::tables::LINEAR;

/// Limits to 16 bits.
#[inline(always)]
pub fn limit(x: i32) -> i16 {
    x.clamp(-32768, 32767) as i16
}

/// Product of two 16-bit fractions.
#[inline(always)]
fn multiply(a: i16, b: i16) -> i32 {
    ((i32::from(a) * i32::from(b)) >> 15).min(32767)
}

/// What distinguishes the two bands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 0 to 4 kHz.
    Low,
    /// 4 to 8 kHz.
    High,
}

/// State of one band; encoder and decoder hold the same.
#[derive(Clone, Debug)]
pub struct Band {
    kind: Kind,
    /// Logarithmic scale factor.
    log_scale: i16,
    /// Linear scale factor.
    scale: i16,
    poles: [i16; 2],
    zeros: [i16; 6],
    /// Past quantised differences, newest first.
    differences: [i16; 6],
    /// Past partial reconstructions, newest first.
    partial: [i16; 2],
    /// Past reconstructed values, newest first.
    reconstructed: [i16; 2],
    zero_prediction: i16,
    prediction: i16,
}

impl Band {
    /// In the reset state.
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            log_scale: 0,
            scale: match kind {
                Kind::Low => 32,
                Kind::High => 8,
            },
            poles: [0; 2],
            zeros: [0; 6],
            differences: [0; 6],
            partial: [0; 2],
            reconstructed: [0; 2],
            zero_prediction: 0,
            prediction: 0,
        }
    }

    /// What the next sample is expected to be.
    pub fn prediction(&self) -> i16 {
        self.prediction
    }

    /// Difference from the prediction as magnitude (one's complement) and sign.
    #[inline(always)]
    pub fn difference(&self, x: i16) -> (i32, bool) {
        let e = limit(i32::from(x) - i32::from(self.prediction));
        (i32::from(if e < 0 { !e } else { e }), e < 0)
    }

    /// Table value on the present scale.
    #[inline(always)]
    pub fn scaled(&self, value: i16) -> i32 {
        (i32::from(value) * i32::from(self.scale)) >> 12
    }

    /// Takes a quantised difference and the step of its code.
    #[inline(always)]
    pub fn adapt(&mut self, difference: i16, step: i16) {
        let (most, offset) = match self.kind {
            Kind::Low => (18432, 64),
            Kind::High => (22528, 0),
        };
        let log = ((127 * i32::from(self.log_scale)) >> 7) + i32::from(step);
        self.log_scale = log.clamp(0, most) as i16;
        let index = (self.log_scale >> 6) as usize + offset;
        self.scale = 4 * (LINEAR[index] + 1);
        let partial = limit(i32::from(difference) + i32::from(self.zero_prediction));
        let reconstructed = limit(i32::from(difference) + i32::from(self.prediction));
        self.adapt_zeros(difference);
        self.adapt_poles(partial);
        let doubled = |x: i16| limit(2 * i32::from(x));
        let mut zero = 0;
        for (d, b) in self.differences.iter().zip(&self.zeros).rev() {
            zero = limit(i32::from(zero) + multiply(doubled(*d), *b));
        }
        self.zero_prediction = zero;
        self.reconstructed = [reconstructed, self.reconstructed[0]];
        let pole = limit(
            multiply(self.poles[0], doubled(self.reconstructed[0]))
                + multiply(self.poles[1], doubled(self.reconstructed[1])),
        );
        self.prediction = limit(i32::from(pole) + i32::from(zero));
    }

    #[inline(always)]
    fn adapt_zeros(&mut self, difference: i16) {
        let gain = if difference == 0 { 0 } else { 128 };
        for (b, d) in self.zeros.iter_mut().zip(&self.differences) {
            let leaked = (255 * i32::from(*b)) >> 8;
            *b = limit(if (difference < 0) == (*d < 0) {
                leaked + gain
            } else {
                leaked - gain
            });
        }
        self.differences.copy_within(..5, 1);
        self.differences[0] = difference;
    }

    #[inline(always)]
    fn adapt_poles(&mut self, partial: i16) {
        let [a1, a2] = self.poles.map(i32::from);
        let same = self.partial.map(|p| (p < 0) == (partial < 0));
        let f = limit(4 * a1);
        let f = i32::from(if same[0] { limit(-i32::from(f)) } else { f });
        let c = if same[1] { 128 } else { -128 };
        let a2 = ((f >> 7) + c + ((127 * a2) >> 7)).clamp(-12288, 12288);
        let t = ((255 * a1) >> 8) + if same[0] { 192 } else { -192 };
        let most = 15360 - a2;
        self.poles = [t.clamp(-most, most) as i16, a2 as i16];
        self.partial = [partial, self.partial[0]];
    }
}
