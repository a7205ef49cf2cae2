//! The SIP core from outside, on a made-up clock and network: torture messages, printing, races, and
//! sequences of messages and time steps that nobody would send.
//!
//! A test over seeds says its seed when it fails; `TIPRING_SEED` replaces the seeds of every test here,
//! `TIPRING_RUNS` their number.

#![allow(clippy::unwrap_used, reason = "in the helpers of a test, a panic is a failure")]

mod fuzz;
mod ipv6;
mod killed;
#[path = "../../src/sip/session/tests/pair.rs"]
#[allow(dead_code, reason = "the tests inside the crate use more of it")]
mod pair;
mod printing;
mod races;

// `pair` is written for the inside of the crate and names these from its root.
use tipring::{rng, sip, time};

/// The seeds of a test: `runs` of them from 1, or what the environment says.
fn seeds(runs: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("TIPRING_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("TIPRING_RUNS").unwrap_or(runs)).collect(),
    }
}

/// Says how to repeat a test over seeds that panics.
struct Repeat {
    test: &'static str,
    seed: u64,
}

impl Drop for Repeat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {0}; to repeat: TIPRING_SEED={0} cargo test --test sip {1}", self.seed, self.test);
        }
    }
}
