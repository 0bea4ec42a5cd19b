//! What the configuration promises about who gets in and what they may do, end to end: the built server, its configuration in a
//! file, clients over sockets, and the audit log that is left. `bad_input.rs` has the list of bad input and where each is tried.

mod access;
mod bad_input;
mod certificates;
mod permissions;
mod policy;
mod proxy;
mod throttle;
mod trail;
mod world;

use std::time::{Duration, Instant};

use farpane_test_support::PATIENCE;

const BINARY: &str = env!("CARGO_BIN_EXE_farpane");
const SCENE: &str = "96x64:still";

/// Waits for a state.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
