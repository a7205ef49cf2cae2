//! The operators against rows of the reference, and every short cut against the arithmetic it
//! stands for: plain sums against chains with limits, kernels against plain loops.

use super::filter::{self, SUBFRAME};
use super::lpc::{self, ORDER, WINDOW};
use super::ops::*;
use super::pitch::{self, EXCITATION, EXCITATION_PAST, Lag};
use super::tables::HAM_WINDOW;
use crate::arch::lanes::Lockstep;
use crate::arch::{Kernels, Scalar};

/// A generator; any will do.
pub struct Noise(u64);

impl Noise {
    pub fn new() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Values of one of sixteen sizes, now and then at an end of the range.
    pub fn values<const N: usize>(&mut self, shift: u32) -> [i16; N] {
        core::array::from_fn(|_| match self.next() {
            r if r % 97 == 0 && shift < 4 => i16::MIN,
            r if r % 89 == 0 && shift < 4 => i16::MAX,
            r => (r >> 20) as i16 >> shift,
        })
    }
}

/// Kernels of this machine beside the plain ones. Runs `check` at each.
macro_rules! at_every_level {
    ($check:ident) => {
        $check::<Scalar>();
        #[cfg(target_arch = "x86_64")]
        if crate::arch::x86_64::has_avx2() {
            $check::<crate::arch::x86_64::Avx2>();
        }
    };
}

#[test]
fn operators_give_the_rows_of_the_reference() {
    let shared = std::env::var_os("TIPRING_SHARED").map_or_else(
        || std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        std::path::PathBuf::from,
    );
    let path = shared.join("g729/operator_tests.csv");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!(
            "SKIPPED: no {}; set TIPRING_SHARED to the shared folder",
            path.display()
        );
        return;
    };
    let mut checked = 0;
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let x: Vec<i64> = fields[1..5]
            .iter()
            .map(|field| field.parse().unwrap_or(0))
            .collect();
        let (a, b, wide) = (x[0] as i16, x[1] as i16, x[0] as i32);
        let (n, other) = (x[1] as i32, x[1] as i32);
        let low_words_are_positive = x[1] >= 0 && (fields[0] != "Mpy_32" || x[3] >= 0);
        let result: i64 = match fields[0] {
            "add" => add(a, b).into(),
            "sub" => sub(a, b).into(),
            "mult" => mult(a, b).into(),
            "mult_r" => mult_r(a, b).into(),
            "L_mult" => l_mult(a, b).into(),
            "L_mac" => l_mac(wide, x[1] as i16, x[2] as i16).into(),
            "L_msu" => l_msu(wide, x[1] as i16, x[2] as i16).into(),
            "L_add" => l_add(wide, other).into(),
            "L_sub" => l_sub(wide, other).into(),
            "round" => round(wide).into(),
            "extract_h" => extract_h(wide).into(),
            "extract_l" => extract_l(wide).into(),
            "L_deposit_h" => l_deposit_h(a).into(),
            "negate" => negate(a).into(),
            "L_negate" => l_negate(wide).into(),
            "abs_s" => abs_s(a).into(),
            "L_abs" => l_abs(wide).into(),
            "shl" => shl(a, n).into(),
            "shr" => shr(a, n).into(),
            "shr_r" => shr_r(a, n).into(),
            "L_shl" => l_shl(wide, n).into(),
            "L_shr" => l_shr(wide, n).into(),
            "L_shr_r" => l_shr_r(wide, n).into(),
            "norm_s" => norm_s(a).into(),
            "norm_l" => norm_l(wide).into(),
            "div_s" => div_s(a, b).into(),
            "Inv_sqrt" => inv_sqrt(wide).into(),
            "Pow2" => pow2(a, b).into(),
            "Random" => {
                let mut seed = a;
                random(&mut seed).into()
            }
            "Div_32" => div_32(wide, (x[1] as i16, x[2] as i16)).into(),
            "L_Comp" if low_words_are_positive => l_comp((a, b)).into(),
            "Mpy_32" if low_words_are_positive => mpy_32((a, b), (x[2] as i16, x[3] as i16)).into(),
            "Mpy_32_16" if low_words_are_positive => mpy_32_16((a, b), x[2] as i16).into(),
            "Log2" => {
                assert_eq!(fields[6].parse(), Ok(i64::from(log2(wide).1)), "{line}");
                log2(wide).0.into()
            }
            "L_Extract" => {
                assert_eq!(
                    fields[6].parse(),
                    Ok(i64::from(l_extract(wide).1)),
                    "{line}"
                );
                l_extract(wide).0.into()
            }
            _ => continue,
        };
        assert_eq!(fields[5].parse(), Ok(result), "{line}");
        checked += 1;
    }
    assert!(checked > 4500, "{checked}");
}

/// A predictor of a size that sometimes overflows and mostly does not.
fn predictor(noise: &mut Noise, shift: u32) -> [i16; ORDER + 1] {
    let mut a = noise.values(shift);
    a[0] = 4096;
    a
}

fn synthesis_equals_limits<K: Kernels>() {
    let mut noise = Noise::new();
    for round_of in 0..6000 {
        let a = predictor(&mut noise, round_of % 6);
        let x = noise.values::<SUBFRAME>(round_of / 6 % 12);
        let memory = noise.values::<ORDER>(round_of / 6 % 12);
        let mut expected = [0; SUBFRAME + ORDER];
        expected[..ORDER].copy_from_slice(&memory);
        let overflow = filter::synthesise_limited(&a, &x, &mut expected);
        assert_eq!(
            filter::synthesise_only::<K>(&a, &x, &memory),
            expected[ORDER..]
        );
        let (y, found) = filter::synthesise_checked::<K>(&a, &x, &memory);
        assert_eq!((&y[..], found), (&expected[ORDER..], overflow));
    }
}

#[test]
fn synthesis_without_limits_is_the_one_with_limits() {
    at_every_level!(synthesis_equals_limits);
}

#[test]
fn synthesis_notices_a_limit_that_later_sums_hide() {
    // The unit case of the description: the sum is limited at the second tap and comes back.
    let mut a = [0; ORDER + 1];
    a[..4].copy_from_slice(&[4096, -32768, -2048, 32767]);
    let memory = [0, 0, 0, 0, 0, 0, 0, 32767, 32767, 32767];
    let (y, overflow) = filter::synthesise_checked::<Scalar>(&a, &[0; SUBFRAME], &memory);
    assert_eq!((y[0], overflow), (16, true));
}

fn residual_equals_limits<K: Kernels>() {
    let mut noise = Noise::new();
    for round_of in 0..6000 {
        let a = predictor(&mut noise, round_of % 6);
        let x = noise.values::<{ SUBFRAME + ORDER }>(round_of / 6 % 12);
        let mut y = [0; SUBFRAME];
        filter::residual::<K>(&a, &x, &mut y);
        for (n, y) in y.iter().enumerate() {
            let sum = (1..=ORDER).fold(l_mult(x[n + ORDER], a[0]), |sum, j| {
                l_mac(sum, a[j], x[n + ORDER - j])
            });
            assert_eq!(*y, round(l_shl(sum, 3)));
        }
    }
}

#[test]
fn residual_without_limits_is_the_one_with_limits() {
    at_every_level!(residual_equals_limits);
}

fn backward_filter_equals_limits<K: Kernels>() {
    let mut noise = Noise::new();
    for round_of in 0..3000 {
        let x = noise.values::<SUBFRAME>(round_of % 12);
        let h = noise.values::<SUBFRAME>(round_of / 12 % 8);
        let y: Vec<i32> = (0..SUBFRAME)
            .map(|i| mac_chain(&x[i..], &h[..SUBFRAME - i]))
            .collect();
        let max = y.iter().fold(0, |max, y| max.max(l_abs(*y)));
        let expected: Vec<i16> = y
            .iter()
            .map(|y| extract_l(l_shr(*y, 18 - norm_l(max).min(16))))
            .collect();
        assert_eq!(pitch::backward_filter::<K>(&x, &h)[..], expected[..]);
    }
}

#[test]
fn backward_filter_without_limits_is_the_one_with_limits() {
    at_every_level!(backward_filter_equals_limits);
}

fn prediction_equals_limits<K: Kernels>() {
    let mut noise = Noise::new();
    for round_of in 0..6000 {
        let mut excitation = noise.values::<EXCITATION>(round_of % 8);
        let lag = Lag {
            whole: (noise.next() % 126) as i32 + 19,
            third: (noise.next() % 3) as i32 - 1,
        };
        if lag.whole == 144 && lag.third > 0 || lag.whole == 19 && lag.third < 1 {
            continue;
        }
        let start = EXCITATION_PAST + SUBFRAME * (round_of as usize & 1);
        let mut expected = excitation;
        let (phase, back) = if lag.third > 0 {
            (3 - lag.third, 1)
        } else {
            (-lag.third, 0)
        };
        for n in 0..SUBFRAME {
            let at = start + n - (lag.whole + back) as usize;
            let sum = (0..10).fold(0, |sum, i| {
                let sum = l_mac(
                    sum,
                    expected[at - i],
                    super::tables::INTER_3L_VALUES[phase as usize + 3 * i],
                );
                l_mac(
                    sum,
                    expected[at + 1 + i],
                    super::tables::INTER_3L_VALUES[3 - phase as usize + 3 * i],
                )
            });
            expected[start + n] = round(sum);
        }
        pitch::predict::<K>(&mut excitation, start, lag);
        assert_eq!(excitation[..], expected[..], "{lag:?}");
    }
}

#[test]
fn prediction_without_limits_is_the_one_with_limits() {
    at_every_level!(prediction_equals_limits);
}

/// The kernels of the decoder; values are of any size, factors and gains are not negative.
fn subframe_kernels_equal_scalar<K: Kernels>(noise: &mut Noise, round_of: u32) {
    let x = noise.values::<SUBFRAME>(round_of % 12);
    let y = noise.values::<47>(round_of / 12 % 12);
    assert_eq!(K::energy_of_quarters(&x), Scalar::energy_of_quarters(&x));
    assert_eq!(K::quarter_dots(&x, &y), Scalar::quarter_dots(&x, &y));
    let factors = [0; 2].map(|_: i16| (noise.next() & 0x7FFF) as i16);
    let other = *filter::window(&y, 7);
    assert_eq!(
        K::blend(&x, &other, factors),
        Scalar::blend(&x, &other, factors)
    );
    let (mut tilted, mut expected) = (x, x);
    K::take_tilt(&mut tilted, y[0], factors[0]);
    Scalar::take_tilt(&mut expected, y[0], factors[0]);
    assert_eq!(tilted, expected);
    let (mut mixed, mut expected) = (x, x);
    let code = other.map(|c| c >> 1);
    K::mix(&mut mixed, &code, factors);
    Scalar::mix(&mut expected, &code, factors);
    assert_eq!(mixed, expected);
    let gains = noise
        .values::<SUBFRAME>(round_of / 12 % 12)
        .map(|g| g & 0x7FFF);
    assert_eq!(K::levelled(&x, &gains), Scalar::levelled(&x, &gains));
}

fn kernels_equal_scalar<K: Kernels>() {
    let mut noise = Noise::new();
    for round_of in 0..4000u32 {
        let x = noise.values::<SUBFRAME>(2 + round_of % 14);
        let y = noise.values::<56>(2 + round_of / 14 % 14);
        let sums = K::dots::<16>(&x, &y);
        assert_eq!(sums, Scalar::dots::<16>(&x, &y));
        assert_eq!(
            sums[0],
            K::dot(&x, y.first_chunk().expect("56 are more than 40"))
        );
        let any = noise.values::<SUBFRAME>(round_of % 16);
        assert_eq!(K::energy(&any), energy_wide(0, &any) / 2);
        let speech = noise.values::<WINDOW>(round_of % 16);
        let windowed = K::autocorrelate(&speech, &HAM_WINDOW);
        assert_eq!(windowed, Scalar::autocorrelate(&speech, &HAM_WINDOW));
        let mut values = noise.values::<64>(round_of % 17 % 16);
        values[5] = 0;
        assert_eq!(K::sign_changes(&values), Scalar::sign_changes(&values));
        subframe_kernels_equal_scalar::<K>(&mut noise, round_of);
        let points = noise
            .values::<8>(round_of % 8)
            .map(|x| x.clamp(-32760, 32760));
        let mut f = noise.values::<6>(2 + round_of % 6);
        let coarse = noise.next() & 1 == 0;
        f[0] = if coarse { 1024 } else { 2048 };
        assert_eq!(
            K::chebyshev(&points, &f, coarse),
            Scalar::chebyshev(&points, &f, coarse)
        );
    }
}

/// Autocorrelations of something like speech, of hard tones, and of nothing sensible.
fn autocorrelation(noise: &mut Noise, kind: u32) -> lpc::Autocorrelation {
    let mut r = lpc::autocorrelate::<Scalar>(&match kind % 4 {
        0 => noise.values::<WINDOW>(kind / 4 % 12),
        1 => {
            let step = noise.next() % 4000;
            core::array::from_fn(|n| {
                ((n as u64 * step % 65536) as i16).saturating_mul(2) >> (kind / 4 % 8)
            })
        }
        _ => {
            let mut y = 0;
            noise.values::<WINDOW>(kind / 4 % 12).map(|x| {
                y = (i32::from(x) + y * 15 / 16).clamp(-32768, 32767);
                y as i16
            })
        }
    });
    if kind % 4 != 3 {
        lpc::lag_window(&mut r);
    }
    if kind.is_multiple_of(29) {
        r.high = noise.values::<{ lpc::LAGS }>(0);
        r.high[0] = r.high[0].saturating_abs().max(16384);
        r.low = noise.values::<{ lpc::LAGS }>(0).map(|l| l & 0x7FFF);
    }
    r
}

fn levinson_equals_limits<K: Kernels>() {
    let mut noise = Noise::new();
    let mut solved = 0;
    for round_of in 0..20_000u32 {
        let r = autocorrelation(&mut noise, round_of);
        let mut expected = lpc::Stable::new();
        let stable = lpc::levinson(&r, &mut expected).is_some();
        if let Some(found) = K::levinson(&r) {
            solved += 1;
            assert!(stable);
            assert_eq!(found, expected, "{round_of}");
        }
    }
    // The plain level has no such kernel.
    assert!(solved == 0 || solved > 10_000, "{solved}");
}

#[test]
fn levinson_without_limits_is_the_one_with_limits() {
    at_every_level!(levinson_equals_limits);
}

fn levinson_equals_lanes<L: Lockstep<N>, const N: usize>() {
    let mut noise = Noise::new();
    let mut exact = 0;
    for round_of in 0..3000u32 {
        let all: [_; N] =
            core::array::from_fn(|k| autocorrelation(&mut noise, N as u32 * round_of + k as u32));
        let mut rows = [[0; N]; ORDER + 1];
        for (lane, r) in all.iter().enumerate() {
            for (lag, row) in rows.iter_mut().enumerate() {
                row[lane] = l_comp(r.at(lag));
            }
        }
        let (mut a, mut reflection) = ([[0; N]; ORDER + 1], [[0; N]; 2]);
        let found = L::levinson(&rows, &mut a, &mut reflection);
        for (lane, r) in all.iter().enumerate() {
            if found >> lane & 1 == 1 {
                exact += 1;
                let mut expected = lpc::Stable::new();
                assert!(lpc::levinson(r, &mut expected).is_some());
                assert_eq!(crate::arch::lanes::predictor(&a, lane), expected.a);
                let reflection = [0, 1].map(|k: usize| reflection[k][lane] as i16);
                assert_eq!(reflection, expected.reflection);
            }
        }
    }
    assert!(exact > 12_000, "{exact}");
}

#[test]
fn levinson_in_lanes_is_the_one_of_a_channel() {
    levinson_equals_lanes::<Scalar, 8>();
    #[cfg(target_arch = "x86_64")]
    {
        use crate::arch::x86_64::{Avx2, avx512::Avx512, detect};
        if detect() >= crate::Level::Avx2 {
            levinson_equals_lanes::<Avx2, 8>();
        }
        if detect() >= crate::Level::Avx512 {
            levinson_equals_lanes::<Avx512, 16>();
        }
    }
}

fn predictors_equal_limits<K: Kernels>() {
    let mut noise = Noise::new();
    let mut plain = 0;
    for round_of in 0..6000u32 {
        let lsp = [0; 2].map(|_| {
            let mut lsp = noise.values::<ORDER>(round_of % 3);
            // In order, as the pairs of a filter are, or anyhow.
            if round_of % 5 != 0 {
                lsp.sort_unstable();
                lsp.reverse();
            }
            lsp
        });
        if let Some(a) = K::lsp_az(lsp.each_ref()) {
            plain += 1;
            assert_eq!(a, lsp.map(|lsp| lpc::lsp_az(&lsp)));
        }
    }
    assert!(plain > 1000, "{plain}");
}

#[test]
fn predictors_without_limits_are_those_with_limits() {
    at_every_level!(predictors_equal_limits);
}

fn filters_together_equal_each_alone<K: Kernels>() {
    let mut noise = Noise::new();
    for round_of in 0..2000 {
        let a = [0; 3].map(|_| predictor(&mut noise, round_of % 6));
        let x = [0; 3].map(|_| noise.values::<SUBFRAME>(round_of / 6 % 12));
        let memory = [0; 3].map(|_| noise.values::<ORDER>(round_of / 6 % 12));
        let y = filter::synthesise_together::<K, 3>(a.each_ref(), x.each_ref(), memory.each_ref());
        for m in 0..3 {
            assert_eq!(
                y[m],
                filter::synthesise_only::<Scalar>(&a[m], &x[m], &memory[m])
            );
        }
    }
}

#[test]
fn filters_that_run_together_do_not_touch_each_other() {
    at_every_level!(filters_together_equal_each_alone);
}

fn codebook_equals_order<K: Kernels>() {
    use super::codebook::search_a;
    let mut noise = Noise::new();
    for round_of in 0..6000u32 {
        // Few different values make many ties, and responses without energy give no positive one.
        let target = noise.values::<SUBFRAME>(round_of % 15);
        let mut h = noise.values::<SUBFRAME>(round_of / 15 % 16);
        if round_of % 3 == 0 {
            h[(round_of % 37) as usize..].fill(0);
        }
        let lag = 20 + (noise.next() % 50) as i32;
        let found = search_a::<K>(&target, &h, lag, 9000);
        assert_eq!(
            found,
            search_a::<Scalar>(&target, &h, lag, 9000),
            "{round_of}"
        );
    }
}

#[test]
fn codebook_search_by_kernel_is_the_one_in_order() {
    at_every_level!(codebook_equals_order);
}

#[test]
fn kernels_give_what_the_plain_loops_give() {
    at_every_level!(kernels_equal_scalar);
}

fn codebook_gives_the_reference<K: Kernels>() {
    use super::codebook::search_a;
    let target = |c: i32| -> [i16; SUBFRAME] {
        core::array::from_fn(|n| ((977 * n as i32 + 313 * c) % 4001 - 2000) as i16)
    };
    let mut pulse = [0; SUBFRAME];
    pulse[0] = 4096;
    let cases = [
        ([8192; SUBFRAME], 40, 3277, (6181, 4)),
        (
            core::array::from_fn(|n| if n % 2 == 0 { 9000 } else { -9000 }),
            23,
            13017,
            (7384, 2),
        ),
        (pulse, 20, 3277, (5564, 14)),
        (
            core::array::from_fn(|n| (32767 - 800 * n as i32) as i16),
            31,
            3277,
            (144, 9),
        ),
    ];
    for (c, (h, lag, sharpening, expected)) in (0..).zip(cases) {
        let found = search_a::<K>(&target(c), &h, lag, sharpening);
        assert_eq!((found.positions, found.signs), expected, "case {c}");
    }
    for h in [pulse, [0; SUBFRAME]] {
        let found = search_a::<K>(&[0; SUBFRAME], &h, 60, 3277);
        assert_eq!((found.positions, found.signs), (0, 15));
    }
}

#[test]
fn codebook_search_gives_the_reference_where_no_vector_reaches() {
    at_every_level!(codebook_gives_the_reference);
}

fn lockstep_equals_alone<const N: usize>() {
    use super::decoder::{self, Decoder};
    use super::encoder::{self, Encoder};
    use super::{FRAME, FrameInput, Variant};
    let mut noise = Noise::new();
    let mut encoders: [_; N] = core::array::from_fn(|k| Encoder::new(Variant::A, k % 3 == 1));
    let mut encoders_alone = encoders.clone();
    let mut decoders: [_; N] = core::array::from_fn(|_| Decoder::new(Variant::A));
    let mut decoders_alone = decoders.clone();
    for n in 0..40 {
        let samples: [[i16; FRAME]; N] = core::array::from_fn(|k| match (n / 7 + k) % 4 {
            0 => [0; FRAME],
            kind => noise.values((n / 3 + 2 * k) as u32 % 12 + kind as u32),
        });
        let frames = encoder::lockstep::encode::<Scalar, Scalar, N>(
            &mut encoders.each_mut(),
            &samples.each_ref(),
        );
        // Speech, random bits and losses, since only those go in lockstep.
        let bits: [[u8; 10]; N] =
            core::array::from_fn(|_| core::array::from_fn(|_| noise.next() as u8));
        let inputs: [FrameInput<'_>; N] = core::array::from_fn(|k| match frames[k].as_input() {
            _ if (n + k) % 11 == 0 => FrameInput::Erased,
            FrameInput::Speech(octets) if k % 4 != 0 => FrameInput::Speech(octets),
            _ => FrameInput::Speech(&bits[k]),
        });
        let mut output = [[0; FRAME]; N];
        decoder::lockstep::decode::<Scalar, Scalar, N>(
            &mut decoders.each_mut(),
            &inputs,
            output.each_mut(),
        );
        for k in 0..N {
            assert_eq!(
                frames[k],
                encoders_alone[k].encode::<Scalar>(&samples[k]),
                "frame {n}, lane {k}"
            );
            let mut expected = [0; FRAME];
            decoders_alone[k].decode::<Scalar>(inputs[k], &mut expected);
            assert_eq!(output[k], expected, "frame {n}, lane {k}");
        }
    }
}

#[test]
fn lockstep_in_plain_code_gives_what_channels_give_one_by_one() {
    lockstep_equals_alone::<8>();
    lockstep_equals_alone::<16>();
}
