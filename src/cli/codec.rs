//! `tipring codec encode|decode`: files through a codec of `g7xx`.
//!
//! PCM is 16-bit little endian mono at the codec's rate. `raw`: octets as in RTP, PCM without header;
//! `itu`: the serial bit file of the G.729 conformance vectors, PCM without header; `wav`: PCM is a
//! WAV file, octets as in `raw`.

use clap::{Args, Subcommand, ValueEnum};
use g7xx::g711::{self, Law};
use g7xx::g722;
use g7xx::g729::{self, Variant, bits};
use g7xx::spec::{Codec, CodecSpec};
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(super) enum CodecCommand {
    /// PCM to coded
    Encode(CodecArgs),
    /// Coded to PCM
    Decode(CodecArgs),
}

#[derive(Debug, Args)]
pub(super) struct CodecArgs {
    /// The codec
    #[arg(long, value_name = "NAME")]
    codec: Name,
    /// How the files look
    #[arg(long, value_enum, default_value = "raw")]
    format: Format,
    /// File to read; - is standard input
    input: PathBuf,
    /// File to write; - is standard output
    output: PathBuf,
}

/// What can be coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// G.711 mu-law
    Pcmu,
    /// G.711 A-law
    Pcma,
    /// G.729, the base codec
    G729,
    /// G.729 Annex A
    G729a,
    /// G.729 with silence compression (Annex B)
    G729b,
    /// G.729 Annex A with silence compression (Annex B)
    G729ab,
    /// G.722 at 64 kbit/s
    G722,
    /// G.722 at 56 kbit/s
    #[value(name = "g722-56")]
    G722At56,
    /// G.722 at 48 kbit/s
    #[value(name = "g722-48")]
    G722At48,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Octets as in RTP
    Raw,
    /// Serial bit file of the G.729 vectors: 16-bit words, 0x6B21 frame sync, 0x007F/0x0081 bits
    Itu,
    /// PCM as a WAV file
    Wav,
}

/// A codec with what it needs.
enum Kind {
    G711(Law),
    G722(g722::Rate),
    G729 { variant: Variant, vad: bool },
}

impl Name {
    fn kind(self) -> Kind {
        match self {
            Name::Pcmu => Kind::G711(Law::Mu),
            Name::Pcma => Kind::G711(Law::A),
            Name::G722 => Kind::G722(g722::Rate::Kbit64),
            Name::G722At56 => Kind::G722(g722::Rate::Kbit56),
            Name::G722At48 => Kind::G722(g722::Rate::Kbit48),
            Name::G729 => Kind::G729 { variant: Variant::Base, vad: false },
            Name::G729a => Kind::G729 { variant: Variant::A, vad: false },
            Name::G729b => Kind::G729 { variant: Variant::Base, vad: true },
            Name::G729ab => Kind::G729 { variant: Variant::A, vad: true },
        }
    }

    fn spec(self) -> &'static CodecSpec {
        match self {
            Name::Pcmu => Codec::Pcmu,
            Name::Pcma => Codec::Pcma,
            Name::G722 | Name::G722At56 | Name::G722At48 => Codec::G722,
            Name::G729 | Name::G729a | Name::G729b | Name::G729ab => Codec::G729,
        }
        .spec()
    }
}

/// Does what is asked.
pub(super) fn run(command: &CodecCommand) -> Result<(), String> {
    match command {
        CodecCommand::Encode(args) => encode(args),
        CodecCommand::Decode(args) => decode(args),
    }
}

fn encode(args: &CodecArgs) -> Result<(), String> {
    check_format(args)?;
    let bytes = read(&args.input)?;
    let (samples, rest) = match args.format {
        Format::Wav => (read_wav(&args.input, &bytes, args.codec.spec().sample_rate)?, 0),
        Format::Raw | Format::Itu => (samples_of(&bytes), bytes.len() % 2),
    };
    if rest != 0 {
        return Err(format!("{}: 16-bit samples need an even number of octets", shown(&args.input)));
    }
    let (coded, left) = match args.codec.kind() {
        Kind::G711(law) => {
            let mut coded = vec![0; samples.len()];
            g711::encode(law, &samples, &mut coded);
            (coded, 0)
        }
        Kind::G722(rate) => {
            let mut coded = vec![0; samples.len() / 2];
            let done = g722::Encoder::new().encode(&samples, &mut coded);
            coded.truncate(done);
            // The encoder always makes 64 kbit/s; lower rates leave the low bits to data (G.722 1.3).
            let keep = match rate {
                g722::Rate::Kbit64 => 0xFF,
                g722::Rate::Kbit56 => 0xFE,
                g722::Rate::Kbit48 => 0xFC,
            };
            coded.iter_mut().for_each(|octet| *octet &= keep);
            (coded, samples.len() % 2)
        }
        Kind::G729 { variant, vad } => {
            let mut encoder = g729::Encoder::new(variant, vad);
            let frames = samples.as_chunks::<{ g729::FRAME }>();
            let mut coded = Vec::new();
            for frame in frames.0 {
                append_frame(&mut coded, &encoder.encode(frame), args.format);
            }
            (coded, frames.1.len())
        }
    };
    write(&args.output, &coded)?;
    if left > 0 {
        // Standard output may be the coded file.
        eprintln!("tipring: the last {left} samples fill no frame and were left out");
    }
    Ok(())
}

fn decode(args: &CodecArgs) -> Result<(), String> {
    check_format(args)?;
    let bytes = read(&args.input)?;
    let mut samples = Vec::new();
    match args.codec.kind() {
        Kind::G711(law) => {
            samples.resize(bytes.len(), 0);
            g711::decode(law, &bytes, &mut samples);
        }
        Kind::G722(rate) => {
            samples.resize(bytes.len() * 2, 0);
            let done = g722::Decoder::new(rate).decode(&bytes, &mut samples);
            samples.truncate(done);
        }
        Kind::G729 { variant, .. } => {
            let mut decoder = g729::Decoder::new(variant);
            let mut block = [0i16; g729::FRAME];
            if args.format == Format::Itu {
                let words: Vec<u16> = samples_of(&bytes).into_iter().map(|word| word as u16).collect();
                let mut rest = words.as_slice();
                while !rest.is_empty() {
                    let at = words.len() - rest.len();
                    let (frame, taken) = bits::from_serial(rest)
                        .ok_or_else(|| format!("{}: the frame at word {at} is cut off", shown(&args.input)))?;
                    decoder.decode(frame.as_input(), &mut block);
                    samples.extend_from_slice(&block);
                    rest = &rest[taken..];
                }
            } else {
                let frames = bits::payload_frames(&bytes).ok_or_else(|| {
                    format!(
                        "{}: {} octets are no whole number of 10-octet frames, with or without a 2-octet silence descriptor at the end",
                        shown(&args.input),
                        bytes.len()
                    )
                })?;
                for frame in frames {
                    decoder.decode(frame.as_input(), &mut block);
                    samples.extend_from_slice(&block);
                }
            }
        }
    }
    let pcm = match args.format {
        Format::Wav => wav_of(&samples, args.codec.spec().sample_rate)?,
        Format::Raw | Format::Itu => samples.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
    };
    write(&args.output, &pcm)
}

/// What cannot be told apart in a file is refused before anything is read.
fn check_format(args: &CodecArgs) -> Result<(), String> {
    match (args.codec.kind(), args.format) {
        (Kind::G711(_) | Kind::G722(_), Format::Itu) => {
            Err("--format itu is the serial format of G.729; use raw or wav for this codec".to_owned())
        }
        (Kind::G729 { vad: true, .. }, Format::Raw | Format::Wav) => {
            Err("with Annex B frames have different lengths, which octets alone cannot tell apart; use --format itu"
                .to_owned())
        }
        _ => Ok(()),
    }
}

fn append_frame(coded: &mut Vec<u8>, frame: &g729::Frame, format: Format) {
    if format == Format::Itu {
        let mut words = [0; bits::MAX_SERIAL];
        let length = bits::to_serial(frame, &mut words);
        coded.extend(words.iter().take(length).flat_map(|word| word.to_le_bytes()));
    } else {
        coded.extend_from_slice(frame.octets());
    }
}

fn samples_of(bytes: &[u8]) -> Vec<i16> {
    bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

fn read_wav(path: &Path, bytes: &[u8], rate: u32) -> Result<Vec<i16>, String> {
    let name = shown(path);
    let mut reader = hound::WavReader::new(Cursor::new(bytes)).map_err(|error| format!("{name}: {error}"))?;
    let spec = reader.spec();
    let fits = spec.channels == 1
        && spec.bits_per_sample == 16
        && spec.sample_format == hound::SampleFormat::Int
        && spec.sample_rate == rate;
    if !fits {
        return Err(format!(
            "{name}: {} Hz, {} bits, {} channels; this codec wants {rate} Hz, 16 bits, one channel (sox IN -r {rate} -b 16 -c 1 OUT makes it)",
            spec.sample_rate, spec.bits_per_sample, spec.channels
        ));
    }
    reader.samples::<i16>().collect::<Result<_, _>>().map_err(|error| format!("{name}: {error}"))
}

fn wav_of(samples: &[i16], rate: u32) -> Result<Vec<u8>, String> {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut file = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).map_err(|error| error.to_string())?;
    for sample in samples {
        writer.write_sample(*sample).map_err(|error| error.to_string())?;
    }
    writer.finalize().map_err(|error| error.to_string())?;
    Ok(file.into_inner())
}

fn shown(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).map_err(|error| format!("standard input: {error}"))?;
        return Ok(bytes);
    }
    std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if path == Path::new("-") {
        let mut out = std::io::stdout().lock();
        return out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| format!("standard output: {error}"));
    }
    std::fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
