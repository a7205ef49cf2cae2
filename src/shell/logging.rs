//! Log lines on standard error: text or JSON, one event one line, whatever peers send.

use crate::config::{Log, LogFormat};
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use tracing_subscriber::{EnvFilter, fmt};

/// Sends log lines to standard error, as `TIPRING_LOG` or else `[log]` says. To be called once.
pub fn start_logging(log: &Log) {
    let wish = std::env::var("TIPRING_LOG").ok().filter(|wish| !wish.is_empty());
    let filter = wish.and_then(|wish| EnvFilter::try_new(wish).ok());
    let filter = filter.or_else(|| EnvFilter::try_new(&log.level).ok()).unwrap_or_else(|| EnvFilter::new("info"));
    let lines = fmt().with_env_filter(filter).with_target(false);
    // A second call changes nothing, which is what tests of the command line need.
    let _ = match log.format {
        LogFormat::Text => {
            let colours = io::stderr().is_terminal();
            lines.with_ansi(colours).with_writer(move || OneLine { colours }).try_init()
        }
        LogFormat::Json => lines.json().with_writer(io::stderr).try_init(),
    };
}

/// Writes an event so that it stays one line and moves no terminal: a number or a name that a peer
/// sent may hold any byte, and must not look like a line of ours.
struct OneLine {
    /// Escape is let through, as colours are made of it; what fields bring was escaped before.
    colours: bool,
}

impl Write for OneLine {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(harmless(event, self.colours).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The event with every control character but the line end written as an escape.
fn harmless(event: &[u8], colours: bool) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(event);
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let is_harmful = |c: char| c.is_control() && !(colours && c == '\u{1b}');
    if !line.contains(is_harmful) {
        return text;
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in line.chars() {
        if is_harmful(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe.push('\n');
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_stays_one_line_whatever_a_peer_sent() {
        assert_eq!(harmless(b"called=101\n", false), "called=101\n");
        assert_eq!(harmless(b"called=1\r\nERROR forged\x07\n", false), "called=1\\r\\nERROR forged\\u{7}\n");
        assert_eq!(harmless("a\u{9b}2J\n".as_bytes(), false), "a\\u{9b}2J\n");
        assert_eq!(harmless(b"\x1b[2mdim\n", false), "\\u{1b}[2mdim\n");
        assert_eq!(harmless(b"\x1b[2mdim\n", true), "\x1b[2mdim\n");
        assert_eq!(harmless(b"caf\xc3\xa9 \xff\n", false), "caf\u{e9} \u{fffd}\n");
    }
}
