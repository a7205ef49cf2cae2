//! The audio half neither allocates nor frees in `exchange`, whatever the people do.
#![allow(unsafe_code, reason = "a counting allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;
use tipring_hal::{Block, Card, CardConfig, Digit, Instant, PortIndex, Readiness};
use tipring_virtual::{Behaviour, Plays, VirtualCard, VirtualConfig, VirtualPort};

struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that ends frees its own storage when the counter is gone already.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: everything is handed to the system's allocator unchanged; counting touches no memory that
// it manages.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is the same here.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: `pointer` came from `System` by `alloc` above, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn exchange_neither_allocates_nor_frees() {
    let station = |plays| VirtualPort::station(Behaviour { off_hook: true, plays, ..Behaviour::default() });
    let echo = Plays::Echo { after: Duration::from_millis(200), weaker_tenth_db: 60 };
    let ports = vec![station(echo), station(Plays::Tone { hertz: 1004, level_tenth_dbm0: -100 }), VirtualPort::line()];
    let mut card = VirtualCard::new(VirtualConfig { ports, ..VirtualConfig::default() });
    let mut hands = card.hands();
    let mut now = Instant::ZERO;
    let halves = Box::new(card).open(now, &CardConfig::default()).expect("a virtual card opens");
    let (mut lines, mut audio) = (halves.lines, halves.audio.expect("a virtual card has sound"));
    let (mut input, mut output) = (Block::new(3, 80), Block::new(3, 80));
    let (mut blocks, mut recordings, mut counted) = (0, 0, 0);
    while blocks < 1000 {
        let hand = &mut hands[blocks % 3];
        // What is refused because too much waits already is of no matter here.
        let _ = match blocks % 7 {
            0 => hand.speak(now, vec![500; 300]),
            1 | 2 => hand.listen(now, 333),
            3 => hand.dial(now, &Digit::ALL),
            4 if blocks % 5 == 0 => hand.stop_listening(now),
            5 => hand.off_hook(now),
            6 if blocks % 11 == 0 => hand.on_hook(now),
            _ => Ok(()),
        };
        recordings += usize::from(hand.take_recording().is_some());
        while lines.event(now).is_some() {}
        let Readiness::At(at) = audio.readiness() else { panic!("a crystal knows its time") };
        // Now and then a block comes late, once so late that blocks are lost.
        now = at + Duration::from_millis(if blocks % 97 == 0 { 400 } else { 0 });
        output.port_mut(PortIndex(0)).fill(1000);
        let before = CALLS.get();
        let exchanged = audio.exchange(now, &mut input, &output);
        counted += CALLS.get() - before;
        assert!(exchanged.is_ok());
        blocks += 1;
    }
    assert_eq!(counted, 0);
    assert!(CALLS.get() > 0, "the allocator does not count");
    assert!(recordings > 100, "only {recordings} recordings were made");
}
