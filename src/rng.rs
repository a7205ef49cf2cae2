//! Chance as data: generators that start from a [`Seed`] and are forked by name.
//!
//! Forks are named, so a new user of chance does not shift what the others draw. [`Rng`] is fast
//! and for simulation; [`Secrets`] is a cryptographic generator for tags, branches, Call-IDs,
//! SSRCs and nonces. In production the seed comes from the kernel, in tests from a number.

use rand::SeedableRng;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};

/// Where all chance of a process or a simulated world comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(..)")
    }
}

impl Seed {
    /// From 32 bytes of the kernel's generator.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Seed(bytes)
    }

    /// From a number, for simulation and tests.
    pub fn from_number(number: u64) -> Self {
        Seed([0; 32]).fork_bytes(&number.to_le_bytes())
    }

    /// The seed of the stream called `name`.
    pub fn fork(&self, name: &str) -> Seed {
        self.fork_bytes(name.as_bytes())
    }

    fn fork_bytes(&self, name: &[u8]) -> Seed {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(name);
        Seed(hash.finalize().into())
    }

    /// A fast generator for simulation.
    pub fn rng(&self) -> Rng {
        let mut state = [0u64; 4];
        for (word, bytes) in state.iter_mut().zip(self.0.chunks_exact(8)) {
            let mut eight = [0; 8];
            eight.copy_from_slice(bytes);
            *word = u64::from_le_bytes(eight);
        }
        if state == [0; 4] {
            state[0] = 1; // the one state that xoshiro cannot leave
        }
        Rng { state }
    }

    /// A cryptographic generator for what peers must not guess.
    pub fn secrets(&self) -> Secrets {
        Secrets { generator: StdRng::from_seed(self.0) }
    }
}

/// xoshiro256** (Blackman and Vigna, 2018): fast, the same on every machine, not secret.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number from 0 up to but without `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True with a chance of `parts` in `of`.
    pub fn chance(&mut self, parts: u64, of: u64) -> bool {
        self.below(of) < parts
    }
}

/// A cryptographic generator.
pub struct Secrets {
    generator: StdRng,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

impl Secrets {
    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        rand::Rng::next_u32(&mut self.generator)
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        rand::Rng::next_u64(&mut self.generator)
    }

    /// A token of `N` characters a-z, 2-7: five bits each.
    pub fn token<const N: usize>(&mut self) -> String {
        let mut token = String::with_capacity(N);
        let mut bits = 0u64;
        for i in 0..N {
            if i % 12 == 0 {
                bits = self.next_u64();
            }
            token.push(char::from(b"abcdefghijklmnopqrstuvwxyz234567"[(bits & 31) as usize]));
            bits >>= 5;
        }
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_depend_on_seed_and_name_only() {
        let draw = |seed: u64, name: &str| Seed::from_number(seed).fork(name).rng().next_u64();
        assert_eq!(draw(7, "network"), draw(7, "network"));
        assert_ne!(draw(7, "network"), draw(7, "people"));
        assert_ne!(draw(7, "network"), draw(8, "network"));
    }

    #[test]
    fn numbers_stay_inside_their_bounds() {
        let mut rng = Seed::from_number(1).rng();
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[rng.between(3, 7) as usize - 3] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(rng.below(0), 0);
        assert!(!rng.chance(0, 10) && rng.chance(10, 10));
    }

    #[test]
    fn tokens_are_of_the_length_and_alphabet_promised() {
        let mut secrets = Seed::from_number(1).secrets();
        let token = secrets.token::<26>();
        assert_eq!(token.len(), 26);
        assert!(token.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)));
        assert_ne!(token, secrets.token::<26>());
    }
}
