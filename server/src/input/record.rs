//! A sink that keeps what it is given: for desktops that take no input, and for tests.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::{InputSink, KeyInput, PointerInput};

/// Events kept; older ones go first.
const KEPT: usize = 4096;

/// One event that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// A key event.
    Key(KeyInput),
    /// A pointer event.
    Pointer(PointerInput),
}

/// Keeps the last 4,096 events.
#[derive(Debug, Default)]
pub struct RecordSink {
    events: Mutex<VecDeque<Recorded>>,
}

impl RecordSink {
    /// A sink that has got nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes out everything that arrived, oldest first.
    pub fn drain(&self) -> Vec<Recorded> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    fn push(&self, event: Recorded) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() == KEPT {
            events.pop_front();
        }
        events.push_back(event);
    }
}

impl InputSink for RecordSink {
    fn key(&self, key: KeyInput) {
        self.push(Recorded::Key(key));
    }

    fn pointer(&self, pointer: PointerInput) {
        self.push(Recorded::Pointer(pointer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_in_order_once_and_bounded() {
        let sink = RecordSink::new();
        for x in 0..5000u16 {
            sink.pointer(PointerInput { x, y: 0, buttons: 0 });
        }
        let key = KeyInput { down: true, keysym: 0x61, scancode: None };
        sink.key(key);
        let got = sink.drain();
        assert_eq!(got.len(), KEPT);
        assert_eq!(got.last(), Some(&Recorded::Key(key)));
        assert_eq!(got.first(), Some(&Recorded::Pointer(PointerInput { x: 905, y: 0, buttons: 0 })));
        assert!(sink.drain().is_empty());
    }
}
