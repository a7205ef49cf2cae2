//! When the crystal has made a block: exact integer arithmetic, so nothing creeps in over days.

use crate::{RATE_HZ, VirtualConfig};
use tipring_hal::Instant;

/// A million: a part per million of it is one.
const MILLION: i64 = 1_000_000;
/// Nanoseconds in a second, times a million to cancel the ppm.
const SCALED_SECOND: u128 = 1_000_000_000 * 1_000_000;

/// The sample clock of a card.
#[derive(Clone, Debug)]
pub(crate) struct Crystal {
    started: Instant,
    /// Samples a second, times a million.
    scaled_rate_hz: u128,
    block_samples: u64,
}

impl Crystal {
    /// A crystal that starts a card opened at `now`; `None` when it would not run forwards.
    pub fn new(config: &VirtualConfig, block_samples: u16, now: Instant) -> Option<Crystal> {
        let parts = u128::try_from(MILLION + i64::from(config.crystal_ppm)).ok().filter(|&parts| parts > 0)?;
        Some(Crystal {
            started: now + config.crystal_phase,
            scaled_rate_hz: u128::from(RATE_HZ) * parts,
            block_samples: u64::from(block_samples),
        })
    }

    /// When block number `block`, counted from 0, is complete.
    pub fn complete_at(&self, block: u64) -> Instant {
        let samples = u128::from(block.saturating_add(1)) * u128::from(self.block_samples);
        let nanos = samples.saturating_mul(SCALED_SECOND).div_ceil(self.scaled_rate_hz);
        let since_zero = u128::from(self.started.as_nanos()).saturating_add(nanos);
        Instant::from_nanos(u64::try_from(since_zero).unwrap_or(u64::MAX))
    }

    /// How many blocks are complete at `now`.
    pub fn blocks_made(&self, now: Instant) -> u64 {
        let nanos = now.since(self.started).as_nanos();
        let samples = nanos.saturating_mul(self.scaled_rate_hz) / SCALED_SECOND;
        u64::try_from(samples / u128::from(self.block_samples)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn crystal(ppm: i32) -> Crystal {
        let config =
            VirtualConfig { crystal_ppm: ppm, crystal_phase: Duration::from_micros(1234), ..VirtualConfig::default() };
        Crystal::new(&config, 80, Instant::from_millis(5)).unwrap()
    }

    #[test]
    fn a_block_is_made_exactly_when_it_is_complete() {
        for ppm in [-100, -1, 0, 1, 33, 100] {
            let crystal = crystal(ppm);
            for block in [0, 1, 2, 99, 8_640_000, 86_400_000] {
                let at = crystal.complete_at(block);
                assert_eq!(crystal.blocks_made(at), block + 1, "{ppm} ppm, block {block}");
                assert_eq!(crystal.blocks_made(at - Duration::from_nanos(1)), block, "{ppm} ppm, block {block}");
            }
        }
    }

    #[test]
    fn a_fast_crystal_gains_its_ppm_over_ten_days_to_the_sample() {
        let ten_days = Instant::from_millis(5) + Duration::from_micros(1234) + Duration::from_secs(864_000);
        assert_eq!(crystal(0).blocks_made(ten_days), 86_400_000);
        // 100 ppm of 86,400,000 blocks.
        assert_eq!(crystal(100).blocks_made(ten_days), 86_400_000 + 8_640);
        assert_eq!(crystal(-100).blocks_made(ten_days), 86_400_000 - 8_640);
    }

    #[test]
    fn a_crystal_that_stands_still_or_runs_backwards_is_refused() {
        let config = VirtualConfig { crystal_ppm: -1_000_000, ..VirtualConfig::default() };
        assert!(Crystal::new(&config, 80, Instant::ZERO).is_none());
    }
}
