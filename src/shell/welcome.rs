//! What the gateway says when it has started: where it listens, whom one can call, what to try.

use super::ConfigSource;
use crate::config::{Config, Plays, Station};
use crate::sip::Transport;
use std::fmt::Write;
use std::path::Path;

/// Stations and phones that are listed one by one; more are only counted.
const LISTED_MAX: usize = 8;

/// The start-up text: under one screen of 24 lines.
pub(super) fn text(config: &Config, source: &ConfigSource, control: &Path) -> String {
    let mut text = String::new();
    write_all(&mut text, config, source, control).expect("writing to a string does not fail");
    text
}

fn write_all(text: &mut String, config: &Config, source: &ConfigSource, control: &Path) -> std::fmt::Result {
    let what = match source {
        ConfigSource::Demo => "demo exchange".to_string(),
        ConfigSource::File(path) => path.display().to_string(),
    };
    writeln!(text, "tipring {}: {what}", env!("CARGO_PKG_VERSION"))?;
    let listening: Vec<String> = config
        .sip
        .listen
        .iter()
        .map(|l| match l.transport {
            Transport::Udp => format!("udp:{}", l.address),
            Transport::Tcp | Transport::Tls => format!("{}:{}", l.transport.word(), l.address),
        })
        .collect();
    writeln!(text, "  SIP      {}", listening.join("  "))?;
    writeln!(text, "  RTP      {}, ports {}-{}", config.rtp.address, config.rtp.first_port, config.rtp.last_port)?;
    writeln!(text, "  control  {}", control.display())?;
    writeln!(text)?;
    for station in config.stations.iter().take(LISTED_MAX) {
        writeln!(text, "  {:<8} station/{}: {}", station.number, station.name, behaviour(station))?;
    }
    if config.stations.len() > LISTED_MAX {
        writeln!(text, "  ... and {} more stations", config.stations.len() - LISTED_MAX)?;
    }
    if !config.phones.is_empty() {
        let numbers: Vec<&str> = config.phones.iter().map(|p| p.number.as_str()).take(LISTED_MAX).collect();
        let more = if config.phones.len() > LISTED_MAX { " ..." } else { "" };
        let password = if *source == ConfigSource::Demo { ", password tipring-demo" } else { "" };
        writeln!(text, "  {}{more}: SIP phones, once they have registered{password}", numbers.join(" "))?;
    }
    if *source == ConfigSource::Demo {
        let sip = config.sip.listen.first().map_or_else(String::new, |l| l.address.to_string());
        writeln!(text, "  600      echo test; 601: milliwatt")?;
        writeln!(text)?;
        writeln!(text, "Try: register a softphone as 201 at {sip} and call 102, or lift a simulated phone:")?;
        writeln!(text, "  tipring handset station/105 off-hook && tipring handset station/105 dial 101")?;
        writeln!(text, "  tipring calls")?;
    }
    writeln!(text, "Ctrl-C ends the calls and the gateway.")
}

fn behaviour(station: &Station) -> String {
    let handset = &station.handset;
    if handset.off_hook {
        return "is off hook: busy".into();
    }
    let Some(after) = handset.answers_after else {
        return "rings; `tipring handset` moves it".into();
    };
    let mut text = format!("answers after {after:?}");
    match handset.plays {
        Plays::Silence => {}
        Plays::Echo { after, .. } => text += &format!(", says back what it hears {after:?} later"),
        Plays::Tone { hertz, level_tenth_dbm0 } => {
            text += &format!(", plays {hertz} Hz at {} dBm0", f64::from(level_tenth_dbm0) / 10.0);
        }
    }
    if let Some(after) = handset.hangs_up_after {
        text += &format!(", hangs up {after:?} later");
    }
    text
}
