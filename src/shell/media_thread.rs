//! A plain thread around one [`Worker`]: wakes by its clock, takes packets, ticks, sends.
//!
//! ```text
//!   control --commands, sockets--> [ring] --> thread: Worker, RtpPorts, Audio half of a card
//!   control <--events, sockets---- [ring] <--
//! ```
//!
//! The thread of a card is ticked by the card. The thread of RTP-only calls takes its packets every
//! millisecond or so and ticks its worker every 10 ms; it sleeps without a clock while it has no stream.
//! Nothing is allocated, freed or logged after the start: what ends goes back through the ring.
#![allow(unsafe_code)] // scheduling class, waiting for a card and trimming the heap have no safe interface

use super::Clock;
use super::rtp_io::{RtpPorts, Stamps};
use crate::limits;
use crate::media::{MediaCommand, MediaEvent, MediaOut, PacketBatch, Stream, Worker, WorkerLayout};
use crate::time::{Duration, Instant};
use rtrb::{Consumer, Producer, PushError, RingBuffer};
use std::io;
use std::net::UdpSocket;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use tipring_hal::{Audio, Block, CardInfo, Readiness};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

/// Samples of a block: 10 ms at 8 kHz.
pub(super) const BLOCK_SAMPLES: u16 = 80;
/// Time of a block.
const BLOCK: Duration = Duration::from_millis(10);
/// How often the packets of RTP-only calls are taken: eight times in a block. More often costs more
/// wake-ups, more rarely more delay; this keeps the delay of a relayed packet under 1.5 ms.
const DRAIN: Duration = Duration::from_micros(1_250);
/// So many looks in a row without a packet, a tenth of a second, and the thread looks only once a
/// block: calls that are on hold, or without sound yet, then cost next to nothing.
const QUIET_LOOKS: u32 = 80;
/// Rounds through the sockets in one wake-up. One packet a socket and round.
const ROUNDS_MAX: usize = 8;
/// Longest sleep of a card's thread, so that it sees the end of the process and new commands.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// Real-time priority: above ordinary threads, below the kernel's own.
const PRIORITY: libc::c_int = 10;

/// From control to a media thread.
enum ToMedia {
    Start(Box<Stream>, UdpSocket),
    Command(MediaCommand),
}

/// From a media thread to control.
struct FromMedia {
    event: MediaEvent,
    /// Of a stream that ended; closed where it is dropped.
    socket: Option<UdpSocket>,
}

/// What both sides see.
#[derive(Default)]
struct Common {
    /// The thread waits without a clock and must be woken.
    sleeps: AtomicBool,
    /// The thread is to end.
    ends: AtomicBool,
    /// The card failed; the thread has ended by itself.
    failed: AtomicBool,
    /// Real-time priority was refused.
    priority_refused: AtomicBool,
    /// Events that found no room.
    events_dropped: AtomicU64,
    /// Packets that the kernel did not take.
    send_failures: AtomicU64,
    /// Blocks that the card lost or that came too late to be caught up.
    blocks_lost: AtomicU64,
}

/// Control's side of a media thread.
pub(super) struct MediaThread {
    commands: Producer<ToMedia>,
    events: Consumer<FromMedia>,
    /// Commands that found the ring full, in order. Bounded: no stream starts while there are any.
    waiting: std::collections::VecDeque<MediaCommand>,
    common: Arc<Common>,
    thread: Option<JoinHandle<()>>,
}

/// What a media thread counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MediaCounters {
    /// Events that found no room.
    pub(super) events_dropped: u64,
    /// Packets that the kernel did not take.
    pub(super) send_failures: u64,
    /// Blocks that a card lost.
    pub(super) blocks_lost: u64,
}

impl MediaThread {
    /// Starts the thread of a card with sound.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub(super) fn start_card(
        clock: Clock,
        name: &str,
        info: &CardInfo,
        audio: Box<dyn Audio>,
        wake_control: Arc<Notify>,
    ) -> io::Result<MediaThread> {
        let ports = u16::try_from(info.ports.len()).unwrap_or(u16::MAX);
        // Each port talks to one stream, and to a second one for the moment of a transfer.
        let streams_max = (usize::from(ports) * 2 + 8).min(limits::STREAMS_PER_WORKER);
        let layout = WorkerLayout { ports, block_samples: BLOCK_SAMPLES, streams_max };
        Self::start(clock, format!("media-{name}"), layout, wake_control, move |engine| engine.run_card(audio))
    }

    /// Starts a thread for RTP-only calls, ticked by the system's clock.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub(super) fn start_software(clock: Clock, number: usize, wake_control: Arc<Notify>) -> io::Result<MediaThread> {
        let layout = WorkerLayout { ports: 0, block_samples: BLOCK_SAMPLES, streams_max: limits::STREAMS_PER_WORKER };
        Self::start(clock, format!("media-rtp{number}"), layout, wake_control, Engine::run_software)
    }

    fn start(
        clock: Clock,
        name: String,
        layout: WorkerLayout,
        wake_control: Arc<Notify>,
        run: impl FnOnce(&mut Engine) + Send + 'static,
    ) -> io::Result<MediaThread> {
        let (commands, to_media) = RingBuffer::new(limits::MEDIA_COMMANDS);
        let (from_media, events) = RingBuffer::new(limits::MEDIA_EVENTS);
        let common = Arc::new(Common::default());
        let ports = RtpPorts::new(layout.streams_max)?;
        let shared = Arc::clone(&common);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            shared.priority_refused.store(!raise_priority(), Ordering::Relaxed);
            let now = clock.now();
            let mut engine = Engine {
                clock,
                worker: Worker::new(layout, now),
                ports,
                batch: PacketBatch::new(),
                out: MediaOut::new(&layout),
                input: Block::new(layout.ports, layout.block_samples),
                output: Block::new(layout.ports, layout.block_samples),
                commands: to_media,
                events: from_media,
                common: shared,
                wake_control,
            };
            run(&mut engine);
            engine.wake_control.notify_one();
        })?;
        Ok(MediaThread { commands, events, waiting: Default::default(), common, thread: Some(thread) })
    }

    /// Hands a prepared stream and its socket over; gives the stream back when the thread is
    /// overloaded or gone, and the socket is closed.
    pub(super) fn start_stream(&mut self, stream: Box<Stream>, socket: UdpSocket) -> Result<(), Box<Stream>> {
        self.flush();
        // Room must be left to change and end every stream that runs.
        if !self.waiting.is_empty() || self.is_over() || self.commands.slots() <= limits::STREAMS_PER_WORKER / 2 {
            return Err(stream);
        }
        match self.commands.push(ToMedia::Start(stream, socket)) {
            Ok(()) => {
                self.wake();
                Ok(())
            }
            Err(PushError::Full(ToMedia::Start(stream, _))) => Err(stream),
            Err(PushError::Full(ToMedia::Command(_))) => Ok(()), // not what was pushed
        }
    }

    /// Hands a command over; it waits here while the ring is full.
    pub(super) fn command(&mut self, command: MediaCommand) {
        self.waiting.push_back(command);
        self.flush();
    }

    /// Moves waiting commands into the ring.
    pub(super) fn flush(&mut self) {
        let mut moved = false;
        while !self.waiting.is_empty() && !self.commands.is_full() {
            let Some(command) = self.waiting.pop_front() else { break };
            if self.commands.push(ToMedia::Command(command)).is_err() {
                break; // the slot was free a moment ago and only this side fills it
            }
            moved = true;
        }
        if moved {
            self.wake();
        }
    }

    /// Whether commands wait for room.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The next event; the socket of a stream that ended is closed here.
    pub(super) fn event(&mut self) -> Option<MediaEvent> {
        let FromMedia { event, socket } = self.events.pop().ok()?;
        drop(socket);
        Some(event)
    }

    /// Whether the thread has ended, because its card failed.
    pub(super) fn is_over(&self) -> bool {
        self.common.failed.load(Ordering::Acquire)
    }

    /// Whether the system refused real-time priority.
    pub(super) fn is_priority_refused(&self) -> bool {
        self.common.priority_refused.load(Ordering::Relaxed)
    }

    /// What was counted so far.
    pub(super) fn counters(&self) -> MediaCounters {
        MediaCounters {
            events_dropped: self.common.events_dropped.load(Ordering::Relaxed),
            send_failures: self.common.send_failures.load(Ordering::Relaxed),
            blocks_lost: self.common.blocks_lost.load(Ordering::Relaxed),
        }
    }

    fn wake(&self) {
        // Orders the push before the look at `sleeps`; the thread orders its store before its last
        // look at the ring. One of the two sees the other.
        std::sync::atomic::fence(Ordering::SeqCst);
        if let Some(thread) = self.thread.as_ref().filter(|_| self.common.sleeps.load(Ordering::SeqCst)) {
            thread.thread().unpark();
        }
    }
}

impl Drop for MediaThread {
    fn drop(&mut self) {
        self.common.ends.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join(); // a panic there was reported by the thread itself
        }
    }
}

/// The thread's own side.
struct Engine {
    clock: Clock,
    worker: Worker,
    ports: RtpPorts,
    batch: PacketBatch,
    out: MediaOut,
    input: Block,
    output: Block,
    commands: Consumer<ToMedia>,
    events: Producer<FromMedia>,
    common: Arc<Common>,
    wake_control: Arc<Notify>,
}

impl Engine {
    /// Ticked by the card.
    fn run_card(&mut self, mut audio: Box<dyn Audio>) {
        while !self.common.ends.load(Ordering::Relaxed) {
            if !self.wait_for_card(audio.as_ref()) {
                continue;
            }
            let now = self.clock.now();
            self.take_commands(now);
            self.take_packets(now, ROUNDS_MAX);
            for _ in 0..limits::TICKS_CATCH_UP {
                let Ok(exchange) = audio.exchange(now, &mut self.input, &self.output) else {
                    self.common.failed.store(true, Ordering::Release);
                    return;
                };
                if exchange.lost > 0 {
                    let blocks = u64::from(exchange.lost).div_ceil(u64::from(BLOCK_SAMPLES));
                    self.common.blocks_lost.fetch_add(blocks, Ordering::Relaxed);
                }
                self.worker.tick(now, &self.input, &mut self.output, &mut self.out);
                self.send();
                if exchange.pending == 0 {
                    break;
                }
            }
            self.send_events();
        }
    }

    /// Waits for the next block, at most a while; `false`: it is not there yet.
    fn wait_for_card(&self, audio: &dyn Audio) -> bool {
        match audio.readiness() {
            Readiness::At(at) => {
                let now = self.clock.now();
                if at <= now {
                    return true;
                }
                self.sleep(at.since(now).min(SLEEP_MAX));
                at <= self.clock.now()
            }
            Readiness::Fd(card) => wait_readable(card, SLEEP_MAX),
            Readiness::Never => {
                self.sleep(SLEEP_MAX);
                false
            }
        }
    }

    /// Ticked by the system's clock.
    fn run_software(&mut self) {
        let mut next_tick = self.clock.now();
        let mut next_drain = next_tick;
        let mut quiet_looks = 0u32;
        while !self.common.ends.load(Ordering::Relaxed) {
            let mut now = self.clock.now();
            if self.worker.stream_count() == 0 && self.commands.is_empty() {
                self.sleep_until_woken();
                now = self.clock.now();
                (next_tick, next_drain) = (now, now);
            } else if now < next_drain {
                self.sleep(next_drain.since(now));
                now = self.clock.now();
            }
            self.take_commands(now);
            quiet_looks = if self.take_packets(now, 1) { 0 } else { quiet_looks.saturating_add(1) };
            let pause = if quiet_looks < QUIET_LOOKS { DRAIN } else { BLOCK };
            // A wake-up that comes late is not made up for: the next one takes all that has come.
            next_drain += pause;
            if next_drain <= now {
                next_drain = now + pause;
            }
            for _ in 0..limits::TICKS_CATCH_UP {
                if now < next_tick {
                    break;
                }
                next_tick += BLOCK;
                self.worker.tick(now, &self.input, &mut self.output, &mut self.out);
                self.send();
            }
            if next_tick <= now {
                let lost = now.since(next_tick).as_nanos() / BLOCK.as_nanos() + 1;
                self.common.blocks_lost.fetch_add(u64::try_from(lost).unwrap_or(u64::MAX), Ordering::Relaxed);
                next_tick = now + BLOCK;
            }
            self.send_events();
        }
    }

    fn take_commands(&mut self, now: Instant) {
        for _ in 0..limits::MEDIA_COMMANDS {
            let command = match self.commands.pop() {
                Ok(ToMedia::Start(stream, socket)) => {
                    self.ports.add(stream.id(), socket);
                    MediaCommand::Start(stream)
                }
                Ok(ToMedia::Command(command)) => command,
                Err(_) => break,
            };
            self.worker.command(now, command, &mut self.out);
            self.send_events();
        }
        self.send();
    }

    /// Takes what has come, a packet a socket and round, and sends on what is only relayed. Says
    /// whether there was anything.
    fn take_packets(&mut self, now: Instant, rounds: usize) -> bool {
        let stamps = Stamps::new(now, self.clock.wall());
        let mut rounds_left = rounds;
        let mut any = false;
        for _ in 0..rounds + limits::STREAMS_PER_WORKER / limits::PACKETS_PER_BATCH {
            self.batch.clear();
            if self.ports.receive(&stamps, &mut self.batch) == 0 {
                break;
            }
            any = true;
            self.worker.receive(now, &mut self.batch, &mut self.out);
            for packet in self.batch.forwards() {
                self.ports.send(&packet);
            }
            self.send();
            if !self.batch.is_full() {
                rounds_left -= 1; // a full batch means that sockets of this round are left
                if rounds_left == 0 {
                    break;
                }
            }
        }
        any
    }

    /// Sends the packets that the worker made.
    fn send(&mut self) {
        for packet in self.out.packets() {
            self.ports.send(&packet);
        }
        self.out.clear_packets();
        self.common.send_failures.store(self.ports.send_failures, Ordering::Relaxed);
    }

    /// Passes events to control. A digit that would take a place which a stream's end may need is
    /// dropped and counted; ends always find room, as there are no more of them than places kept.
    fn send_events(&mut self) {
        let mut any = false;
        for event in self.out.events() {
            let socket = match &event {
                MediaEvent::Stopped(stream) => self.ports.remove(stream.id()),
                _ if self.events.slots() <= limits::STREAMS_PER_WORKER => {
                    self.common.events_dropped.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                _ => None,
            };
            any = true;
            if self.events.push(FromMedia { event, socket }).is_err() {
                self.common.events_dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        if any {
            self.wake_control.notify_one();
        }
    }

    /// Sleeps for a time; being woken ends it early.
    fn sleep(&self, time: Duration) {
        std::thread::park_timeout(time);
    }

    /// Sleeps until control has a command or the process ends.
    fn sleep_until_woken(&self) {
        self.common.sleeps.store(true, Ordering::SeqCst);
        std::sync::atomic::fence(Ordering::SeqCst);
        while self.commands.is_empty() && !self.common.ends.load(Ordering::SeqCst) {
            std::thread::park();
        }
        self.common.sleeps.store(false, Ordering::SeqCst);
    }
}

/// Asks for the first-in-first-out real-time class; `false` when the system refuses.
fn raise_priority() -> bool {
    let parameters = libc::sched_param { sched_priority: PRIORITY };
    // SAFETY: the thread asks for itself, and the pointer is to a local value that is only read.
    unsafe { libc::pthread_setschedparam(libc::pthread_self(), libc::SCHED_FIFO, &raw const parameters) == 0 }
}

/// Gives what the allocator has free back to the system, wherever it lies between what is in use.
///
/// The C library returns memory by itself only from the end of its heap. It takes milliseconds, so it
/// is for the time when much has become free and little goes on.
pub(super) fn return_free_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes a number and no pointer; the allocator locks itself, as for every other call.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Watches a card's descriptor from the control loop, through a copy that lives as long as the
/// watch does.
pub(super) fn watch_descriptor(descriptor: RawFd) -> Option<AsyncFd<OwnedFd>> {
    // SAFETY: no pointer is passed; the driver that named the descriptor keeps it open meanwhile,
    // and a wrong number is refused by the kernel.
    let copy = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0) };
    if copy < 0 {
        return None;
    }
    // SAFETY: the copy was just made and nobody else owns it.
    let copy = unsafe { OwnedFd::from_raw_fd(copy) };
    // SAFETY: an OwnedFd names the same open descriptor until it is dropped with the watch.
    unsafe { AsyncFd::register(copy) }.ok()
}

/// Waits until a descriptor can be read, at most `time`.
fn wait_readable(descriptor: RawFd, time: Duration) -> bool {
    let mut wanted = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    let milliseconds = libc::c_int::try_from(time.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the pointer is to one local structure, and the count says one.
    unsafe { libc::poll(&raw mut wanted, 1, milliseconds) > 0 }
}

#[cfg(test)]
mod tests {
    use super::super::rtp_io;
    use super::*;
    use crate::media::{End, JitterBounds, StreamConfig, StreamId, StreamSettings};
    use std::net::SocketAddr;

    struct Leg {
        id: StreamId,
        ours: SocketAddr,
        peer: UdpSocket,
    }

    /// Starts a stream whose peer is a socket of the test.
    fn leg(thread: &mut MediaThread, number: u64) -> Leg {
        let peer = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        peer.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let socket = rtp_io::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let ours = socket.local_addr().expect("bound");
        let id = StreamId::from_bits(number);
        let stream = Stream::new(StreamConfig {
            id,
            local: ours,
            settings: StreamSettings {
                remote: Some(peer.local_addr().expect("bound")),
                law: g7xx::g711::Law::Mu,
                payload_type: 0,
                event_payload_type: None,
                packet_samples: 160,
                sends: true,
                receives: true,
            },
            ssrc: 1,
            first_sequence: 1,
            first_timestamp: 1,
            jitter: JitterBounds::default(),
            service: None,
        });
        assert!(thread.start_stream(Box::new(stream), socket).is_ok(), "there is room");
        Leg { id, ours, peer }
    }

    fn packet(sequence: u16, byte: u8) -> Vec<u8> {
        let mut bytes = vec![0x80, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9];
        bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
        bytes[4..8].copy_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
        bytes.resize(172, byte);
        bytes
    }

    /// Waits, by parking, for `condition`; the thread under test lives in real time.
    fn until(what: &str, mut condition: impl FnMut() -> bool) {
        for _ in 0..5_000 {
            if condition() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        panic!("waited in vain for {what}");
    }

    #[test]
    fn joined_streams_relay_and_come_back_with_their_sockets_closed() {
        let mut thread = MediaThread::start_software(Clock::start(), 0, Arc::new(Notify::new())).expect("a thread");
        let (a, b) = (leg(&mut thread, 0), leg(&mut thread, 1));
        thread.command(MediaCommand::Join(End::Stream(a.id), End::Stream(b.id)));
        let mut buffer = [0; 512];
        for (from, to, byte) in [(&a, &b, 0x11), (&b, &a, 0x22)] {
            from.peer.send_to(&packet(7, byte), from.ours).expect("sent");
            let (length, source) = to.peer.recv_from(&mut buffer).expect("relayed");
            assert_eq!((length, source), (172, to.ours));
            assert!(buffer[12..172].iter().all(|&b| b == byte), "the payload is untouched");
        }
        for leg in [&a, &b] {
            thread.command(MediaCommand::Stop(leg.id));
        }
        let mut ended = Vec::new();
        until("both streams", || {
            while let Some(event) = thread.event() {
                if let MediaEvent::Stopped(stream) = event {
                    ended.push(stream.id());
                }
            }
            ended.len() == 2
        });
        for leg in [&a, &b] {
            assert!(UdpSocket::bind(leg.ours).is_ok(), "the port is free again");
        }
        assert_eq!(thread.counters(), MediaCounters::default());
    }

    #[test]
    fn a_thread_without_streams_sleeps_and_still_ends_at_once() {
        let thread = MediaThread::start_software(Clock::start(), 0, Arc::new(Notify::new())).expect("a thread");
        until("sleep", || thread.common.sleeps.load(Ordering::SeqCst));
        drop(thread); // would hang if the wake-up were lost
    }
}
