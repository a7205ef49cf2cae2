//! The running gateway against programs that nobody here wrote: SIPp, baresip, tshark.
//!
//! `cargo xtask test` runs these tests; plain `cargo test` does not, as they need those programs.
//! Each starts its own gateway on free ports, in real time, and leaves what it saw (log, capture,
//! recordings) in `target/tmp/interop/NAME`. One at a time: they share the machine's loopback.
#![allow(clippy::disallowed_methods)] // foreign programs live in real time, and waiting for them is the point

mod baresip;
mod calls;
mod capture;
mod clients;
mod differential;
mod events;
mod gateway;
mod handset;
mod isup;
mod kamailio;
mod load;
mod noise;
mod proxying;
mod signal;
mod sipp;
mod switch;
mod transfer;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lets one test at a time use the loopback, whatever `--test-threads` says.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An empty directory for what a test leaves behind.
fn directory(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("interop").join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("the target directory can be written");
    path
}

/// Looks again and again until `found` finds something, at most `limit`.
fn wait_for<T>(what: &str, limit: Duration, mut found: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(began.elapsed() < limit, "waited {limit:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a signal by its name to a process that a test started.
fn send_signal(name: &str, process: u32) {
    let status = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status();
    assert!(status.is_ok_and(|s| s.success()), "signal {name} to process {process}");
}
