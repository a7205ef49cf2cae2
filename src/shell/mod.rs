//! The thin shell around the two cores: the only module that knows the operating system.
//!
//! It reads the clocks, draws the seed, owns sockets, threads and cards, and carries what the
//! cores say to where it belongs. It decides nothing about calls.

pub mod bench;
mod cards;
mod certificate;
mod control;
pub mod control_client;
pub mod control_protocol;
mod control_socket;
mod control_story;
mod dns;
mod logging;
mod media_thread;
mod rtp_io;
mod sctp;
mod sctp_io;
mod sctp_wire;
mod sip_sockets;
mod sound;
mod store;
mod tls;
mod welcome;

pub use logging::start_logging;

use crate::config::{Config, Listener};
use crate::gateway::Gateway;
use crate::rng::Seed;
use crate::sip::Transport;
use crate::switch::FarEnds;
use crate::time::Instant;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::Notify;

/// Threads for calls without a line: one keeps up with more calls than one control thread sets up.
const SOFTWARE_WORKERS: usize = 1;
/// Ports that are tried when any will do.
const PORT_TRIES: usize = 32;
/// How long the last bytes may take to leave on TCP connections.
const FLUSH_TIME: Duration = Duration::from_millis(200);

/// What `tipring run` was told.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The configuration, checked.
    pub config: Config,
    /// Where the configuration comes from, for the start-up text.
    pub source: ConfigSource,
    /// Reads the configuration again, for SIGHUP and `tipring reload`.
    pub reload: Reload,
    /// `--sip ADDR:PORT`: listen there (UDP and TCP) instead of where the configuration says.
    pub sip: Option<SocketAddr>,
    /// `--control PATH` or `TIPRING_CONTROL`: the control socket instead of the configured one.
    pub control: Option<PathBuf>,
}

/// How the configuration is read again; the error is ready to be shown.
#[derive(Clone)]
pub struct Reload(pub Arc<dyn Fn() -> Result<Config, String>>);

impl std::fmt::Debug for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reload")
    }
}

/// Where a configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// The embedded demo exchange.
    Demo,
    /// This file.
    File(PathBuf),
}

/// Why the gateway did not start, or did not end well.
#[derive(Debug, Error)]
pub enum ShellError {
    /// A listener could not be opened.
    #[error("cannot listen on {what}: {source}{hint}")]
    Listen {
        /// `udp:127.0.0.1:5060`
        what: String,
        /// What the system said.
        source: std::io::Error,
        /// What to do, or nothing.
        hint: &'static str,
    },
    /// A certificate or key cannot be used.
    #[error("TLS: {0}")]
    Tls(String),
    /// Another gateway answers on the control socket.
    #[error("{0} is in use by another tipring; use --control PATH for a second one")]
    ControlInUse(PathBuf),
    /// The control socket could not be made.
    #[error("control socket {path}: {source}")]
    Control {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A card could not be opened.
    #[error("card {name}: {source}")]
    Card {
        /// NAME of `[card.NAME]`.
        name: String,
        /// What the driver said.
        source: tipring_hal::CardError,
    },
    /// The system refused something that every run needs.
    #[error("{what}: {source}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
}

/// Runs the gateway until SIGINT or SIGTERM, then ends the running calls and returns.
///
/// # Errors
/// [`ShellError`] when the gateway could not start.
pub fn run(options: RunOptions) -> Result<(), ShellError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| ShellError::System { what: "event loop", source })?;
    let ended = runtime.block_on(run_inside(options));
    runtime.shutdown_timeout(FLUSH_TIME);
    ended
}

async fn run_inside(options: RunOptions) -> Result<(), ShellError> {
    let RunOptions { mut config, source, reload, sip, control } = options;
    let clock = Clock::start();
    let seed = kernel_seed()?;
    let tls = tls::Tls::new(&config.tls).map_err(|error| ShellError::Tls(error.to_string()))?;
    let (sockets, streams) = match sip {
        Some(address) => open_both(address, tls)?,
        None => sip_sockets::SipSockets::open(&config.sip.listen, tls)?,
    };
    let (resolver, resolved) = dns::Resolver::new(&config.dns);
    config.sip.listen = sockets.listening().to_vec();
    let path = control_socket::path(control.as_deref(), config.control_socket.as_deref());
    let (control_socket, requests) = control_socket::ControlSocket::open(path)?;

    let opened = cards::open(&config, &seed, clock.now())?;
    let media_wakes = Arc::new(Notify::new());
    let media = start_media(clock, &config, opened.audio, &media_wakes)?;
    let (store, kept) = open_store(&config, &source, clock);
    let welcome = welcome::text(&config, &source, control_socket.path());
    let (m3ua, associations) = sctp::Trunks::new(&config, &seed.fork("m3ua"));
    let far_ends = FarEnds::new(clock.now(), config.far_ends(), &seed);
    let mut gateway = Gateway::new(config, seed.fork("gateway"), clock.now());
    gateway.survive_broken_assumptions();
    let parts = control::Parts {
        clock,
        gateway,
        sockets,
        streams,
        resolver,
        resolved,
        reload,
        cards: opened.lines,
        hands: opened.hands,
        media,
        media_wakes,
        requests,
        far_ends,
        m3ua,
        associations,
        store,
        kept,
    };
    let mut control = control::Control::new(parts)?;
    {
        use std::io::Write;
        // A closed standard output is no reason not to carry calls.
        let _ = std::io::stdout().write_all(welcome.as_bytes());
        let _ = std::io::stdout().flush();
    }
    control.run().await;
    control.close().await;
    drop(control_socket);
    Ok(())
}

/// `--sip`: UDP and TCP at the same address. Where the system is to choose the port, it chooses one for UDP, and
/// another one when that is taken for TCP.
fn open_both(
    address: SocketAddr,
    tls: tls::Tls,
) -> Result<(sip_sockets::SipSockets, tokio::sync::mpsc::Receiver<sip_sockets::StreamEvent>), ShellError> {
    let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        let mut address = address;
        if address.port() == 0 {
            let chosen = std::net::UdpSocket::bind(address).and_then(|socket| socket.local_addr());
            address = chosen.map_err(|source| ShellError::System { what: "a free port", source })?;
        }
        let both = [Transport::Udp, Transport::Tcp].map(|transport| Listener { transport, address });
        tries -= 1;
        match sip_sockets::SipSockets::open(&both, tls.clone()) {
            Err(ShellError::Listen { source, .. }) if tries > 0 && source.kind() == ErrorKind::AddrInUse => {}
            opened => return opened,
        }
    }
}

/// The file of `[store]`, relative to the configuration that names it, and what it kept. Without it the
/// gateway runs all the same.
fn open_store(config: &Config, source: &ConfigSource, clock: Clock) -> (Option<store::Store>, store::Kept) {
    let Some(path) = &config.store else { return (None, store::Kept::default()) };
    let beside = match source {
        ConfigSource::File(file) => file.parent(),
        ConfigSource::Demo => None,
    };
    let path = beside.map_or_else(|| PathBuf::from(path), |directory| directory.join(path));
    match store::Store::open(&path, clock.now(), clock.wall()) {
        Ok((store, kept)) => (Some(store), kept),
        Err(error) => {
            tracing::error!("store: {error}; registrations, texts and bans end with this run");
            (None, store::Kept::default())
        }
    }
}

/// One thread for each card with sound, in card order, then those of the software clock.
fn start_media(
    clock: Clock,
    config: &Config,
    cards: Vec<cards::CardAudio>,
    wakes: &Arc<Notify>,
) -> Result<Vec<Option<media_thread::MediaThread>>, ShellError> {
    let failed = |source| ShellError::System { what: "media thread", source };
    let mut threads = Vec::new();
    for (card, entry) in cards.into_iter().zip(&config.cards) {
        let Some(audio) = card.audio else {
            threads.push(None);
            continue;
        };
        let wakes = Arc::clone(wakes);
        let thread = media_thread::MediaThread::start_card(clock, &entry.name, &card.info, audio, wakes);
        threads.push(Some(thread.map_err(failed)?));
    }
    for number in 0..SOFTWARE_WORKERS {
        let thread = media_thread::MediaThread::start_software(clock, number, Arc::clone(wakes));
        threads.push(Some(thread.map_err(failed)?));
    }
    Ok(threads)
}

/// 32 bytes of the kernel's generator: all chance of the process comes from them.
fn kernel_seed() -> Result<Seed, ShellError> {
    use std::io::Read;
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|source| ShellError::System { what: "random seed", source })?;
    Ok(Seed::from_bytes(bytes))
}

/// The clocks of the process. No other part of the program reads one.
#[derive(Clone, Copy, Debug)]
struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    /// Time begins now.
    #[allow(clippy::disallowed_methods)] // the one place where the monotonic clock is read
    fn start() -> Clock {
        Clock { origin: std::time::Instant::now() }
    }

    /// Nanoseconds since the start.
    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Time since 1970, for stamps that come from outside.
    #[allow(clippy::disallowed_methods)] // the one place where the wall clock is read
    fn wall(&self) -> Duration {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
    }

    /// The same moment for the runtime's timer. What is decades away never comes.
    fn to_tokio(self, at: Instant) -> tokio::time::Instant {
        let far = Duration::from_secs(86_400 * 365);
        tokio::time::Instant::from_std(self.origin + at.since(Instant::ZERO).min(self.origin.elapsed() + far))
    }
}

/// The user that runs the process.
fn user_id() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").map_or(0, |m| m.uid())
}
