//! The functions that are fuzzed, over the saved corpus and over bytes from a seed: none may panic.
//! `cargo fuzz` (CONTRIBUTING.md) looks further; what it finds is saved in `fuzz/corpus`.

#[path = "../fuzz/src/targets.rs"]
mod targets;

use std::path::PathBuf;
use tipring::rng::Seed;

/// The saved inputs of a target.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut inputs: Vec<(String, Vec<u8>)> = std::fs::read_dir(&folder)
        .expect("every target has a corpus")
        .map(|entry| {
            let path = entry.expect("the folder can be read").path();
            (path.display().to_string(), std::fs::read(&path).expect("its files can be read"))
        })
        .collect();
    inputs.sort();
    inputs
}

#[test]
fn the_saved_corpus_does_no_harm() {
    for (name, target) in targets::TARGETS {
        let inputs = corpus(name);
        assert!(!inputs.is_empty(), "{name}");
        for (path, bytes) in inputs {
            eprintln!("{path}");
            target(&bytes);
        }
    }
}

#[test]
fn mutilated_inputs_of_the_corpus_and_random_bytes_do_no_harm() {
    for (name, target) in targets::TARGETS {
        let mut rng = Seed::from_number(4475).fork(name).rng();
        for (_, bytes) in corpus(name) {
            for _ in 0..20 {
                let mut bytes = bytes.clone();
                for _ in 0..=rng.between(0, 3) {
                    let at = rng.between(0, bytes.len() as u64) as usize;
                    match rng.between(0, 3) {
                        0 if at < bytes.len() => bytes[at] = rng.between(0, 255) as u8,
                        1 => bytes.truncate(at),
                        _ => bytes.insert(at, rng.between(0, 255) as u8),
                    }
                }
                target(&bytes);
            }
        }
        for round in 0..50 {
            let length = rng.between(0, round * 20 + 1);
            let bytes: Vec<u8> = (0..length).map(|_| rng.between(0, 255) as u8).collect();
            target(&bytes);
        }
    }
}

#[test]
fn every_target_has_a_program_of_its_own() {
    let manifest = include_str!("../fuzz/Cargo.toml");
    for (name, _) in targets::TARGETS {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), targets::TARGETS.len());
}
