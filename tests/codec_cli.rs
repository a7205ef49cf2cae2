//! `tipring codec` as a script sees it, held to the conformance vectors.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn tipring(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tipring")).args(arguments).stdin(Stdio::null()).output().expect("tipring runs")
}

/// The folder of the vectors; says so when it is not there.
fn vectors() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("{} is absent: nothing was compared with the conformance vectors", folder.display());
    None
}

/// What `tipring codec` makes of a file.
#[track_caller]
fn converted(what: &str, codec: &str, format: &str, input: &Path) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out");
    let input = input.display().to_string();
    let arguments = ["codec", what, "--codec", codec, "--format", format, &input, &output.display().to_string()];
    let ran = tipring(&arguments);
    assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    std::fs::read(output).expect("written")
}

#[track_caller]
fn check(what: &str, codec: &str, format: &str, input: &Path, expected: &Path) {
    let got = converted(what, codec, format, input);
    let expected_bytes = std::fs::read(expected).expect("a vector");
    assert!(!got.is_empty());
    let differs = got.iter().zip(&expected_bytes).position(|(a, b)| a != b);
    assert_eq!((differs, got.len()), (None, expected_bytes.len()), "{codec} {what} {}", input.display());
}

#[test]
fn g729_files_equal_the_vectors_in_both_directions() {
    let Some(folder) = vectors().map(|folder| folder.join("g729")) else { return };
    for (codec, set) in [("g729", "base"), ("g729a", "annex_a")] {
        let file = |name: &str| folder.join(set).join(name);
        check("encode", codec, "itu", &file("SPEECH.IN"), &file("SPEECH.BIT"));
        for name in ["SPEECH", "ERASURE", "OVERFLOW"] {
            check("decode", codec, "itu", &file(&format!("{name}.BIT")), &file(&format!("{name}.PST")));
        }
    }
    for (codec, suffix) in [("g729b", ""), ("g729ab", "a")] {
        let file = |name: String| folder.join("annex_b").join(name);
        check("encode", codec, "itu", &file("tstseq1.bin".into()), &file(format!("tstseq1{suffix}.bit")));
        check("decode", codec, "itu", &file(format!("tstseq1{suffix}.bit")), &file(format!("tstseq1{suffix}.out")));
    }
}

#[test]
fn a_lower_level_gives_the_same_file() {
    let Some(folder) = vectors() else { return };
    let input = folder.join("g729/annex_a/SPEECH.IN");
    let out = tempfile::tempdir().expect("a folder");
    let output = out.path().join("scalar");
    let ran = Command::new(env!("CARGO_BIN_EXE_tipring"))
        .env("G7XX_LEVEL", "scalar")
        .args(["codec", "encode", "--codec", "g729a"])
        .args([&input, &output])
        .output()
        .expect("tipring runs");
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(std::fs::read(output).expect("written"), converted("encode", "g729a", "raw", &input));
    let refused = Command::new(env!("CARGO_BIN_EXE_tipring"))
        .env("G7XX_LEVEL", "mmx")
        .args(["config", "default"])
        .output()
        .expect("tipring runs");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("there are scalar, avx2"), "{refused:?}");
}

#[test]
fn g722_files_equal_the_vectors() {
    let Some(folder) = vectors().map(|folder| folder.join("g722/stl")) else { return };
    let words = std::fs::read(folder.join("codspw.cod")).expect("a vector");
    let octets: Vec<u8> = words.chunks(2).map(|word| word[0]).collect();
    assert_eq!(converted("encode", "g722", "raw", &folder.join("inpsp.bin")), octets);
    let coded = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(coded.path(), &octets).expect("written");
    for (codec, name) in [("g722", "outsp1.bin"), ("g722-56", "outsp2.bin"), ("g722-48", "outsp3.bin")] {
        check("decode", codec, "raw", coded.path(), &folder.join(name));
    }
}

#[test]
fn sound_goes_through_wav_and_pipes() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let pcm: Vec<u8> = (0..800i16).flat_map(|n| (n * 40).to_le_bytes()).collect();
    std::fs::write(file("in.pcm"), &pcm).expect("written");
    for codec in ["pcmu", "pcma"] {
        let coded = tipring(&["codec", "encode", "--codec", codec, &file("in.pcm"), "-"]);
        assert!(coded.status.success() && coded.stdout.len() == 800, "{coded:?}");
        std::fs::write(file("coded"), &coded.stdout).expect("written");
        let wav = tipring(&["codec", "decode", "--codec", codec, "--format", "wav", &file("coded"), &file("out.wav")]);
        assert!(wav.status.success(), "{wav:?}");
        let again = converted("encode", codec, "wav", Path::new(&file("out.wav")));
        assert_eq!(again, coded.stdout, "a decoded value is coded as what it was");
    }
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(file("odd"), [1, 2, 3]).expect("written");
    let cases: [(&[&str], i32, &str); 6] = [
        (&["encode", "--codec", "pcmu", "--format", "itu"], 1, "serial format of G.729"),
        (&["encode", "--codec", "g729ab"], 1, "use --format itu"),
        (&["encode", "--codec", "pcmu"], 1, "even number of octets"),
        (&["decode", "--codec", "g729a"], 1, "no whole number of 10-octet frames"),
        (&["encode", "--codec", "pcmu", "--format", "wav"], 1, "odd"),
        (&["encode", "--codec", "opus"], 2, "invalid value 'opus'"),
    ];
    for (arguments, code, words) in cases {
        let (input, output) = (file("odd"), file("out"));
        let arguments: Vec<&str> = ["codec"].iter().chain(arguments).copied().chain([&*input, &*output]).collect();
        let ran = tipring(&arguments);
        let complaint = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {complaint}");
        assert!(complaint.contains(words), "{arguments:?}: {complaint}");
        assert!(!Path::new(&output).exists(), "{arguments:?}");
    }
}
