//! The high-pass filters at the two ends: 140 Hz before the encoder, 100 Hz after the decoder
//! (G.729 3.1, 4.2.5).

use super::ops::*;

/// Second-order high-pass in double precision.
#[derive(Clone, Copy, Debug)]
pub struct HighPass {
    x: [i16; 2],
    y: [i32; 2],
}

impl HighPass {
    /// With silence as the past.
    pub const fn new() -> Self {
        Self {
            x: [0; 2],
            y: [0; 2],
        }
    }

    #[inline(always)]
    fn step(&mut self, x0: i16, a: [i16; 2], b: [i16; 3], shift: i32) -> i32 {
        let sum = mpy_wide(self.y[0], a[0]) + mpy_wide(self.y[1], a[1]);
        let sum = l_mac(sum, x0, b[0]);
        let sum = l_mac(sum, self.x[0], b[1]);
        let sum = l_shl(l_mac(sum, self.x[1], b[2]), shift);
        self.y = [sum, self.y[0]];
        self.x = [x0, self.x[0]];
        sum
    }

    /// Before the encoder: 140 Hz and half the amplitude.
    #[inline(always)]
    pub fn pre_process(&mut self, input: &[i16; 80], output: &mut [i16]) {
        for (x, y) in input.iter().zip(output) {
            *y = round(self.step(*x, [7807, -3733], [1899, -3798, 1899], 3));
        }
    }

    /// After the decoder: 100 Hz and twice the amplitude.
    #[inline(always)]
    pub fn post_process(&mut self, samples: &mut [i16; 80]) {
        for sample in samples {
            let sum = self.step(*sample, [15836, -7667], [7699, -15398, 7699], 2);
            *sample = round(l_shl(sum, 1));
        }
    }
}
