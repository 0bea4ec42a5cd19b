//! What a client holds down, so that it can be released when the client goes.

use crate::input::{InputSink, KeyInput, PointerInput};

/// Keys that one client may hold at once; more are not remembered.
const MAX_KEYS: usize = 64;

/// Keys and buttons that are down.
#[derive(Debug, Default)]
pub struct Held {
    keys: Vec<(u32, Option<u32>)>,
    pointer: Option<PointerInput>,
}

impl Held {
    /// A key went down or up.
    pub fn key(&mut self, key: KeyInput) {
        let name = (key.keysym, key.scancode);
        // a release may name another keysym than its press (Shift in between): the scan code decides where there is one
        let same = |k: &(u32, Option<u32>)| if key.scancode.is_some() { k.1 == key.scancode } else { *k == name };
        let place = self.keys.iter().position(same);
        match (key.down, place) {
            (true, None) if self.keys.len() < MAX_KEYS => self.keys.push(name),
            (false, Some(i)) => {
                self.keys.remove(i);
            }
            _ => {}
        }
    }

    /// The pointer moved or its buttons changed.
    pub fn pointer(&mut self, pointer: PointerInput) {
        self.pointer = Some(pointer);
    }

    /// Releases everything.
    pub fn release(&mut self, input: &dyn InputSink) {
        for (keysym, scancode) in self.keys.drain(..) {
            input.key(KeyInput { down: false, keysym, scancode });
        }
        if let Some(pointer) = self.pointer.take().filter(|p| p.buttons != 0) {
            input.pointer(PointerInput { buttons: 0, ..pointer });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Log(Mutex<Vec<String>>);

    impl InputSink for Log {
        fn key(&self, key: KeyInput) {
            self.0.lock().unwrap().push(format!("{} {:#x}", if key.down { "down" } else { "up" }, key.keysym));
        }
        fn pointer(&self, p: PointerInput) {
            self.0.lock().unwrap().push(format!("{},{} {:#b}", p.x, p.y, p.buttons));
        }
    }

    #[test]
    fn everything_still_down_is_released_once() {
        let (mut held, log) = (Held::default(), Log::default());
        held.key(KeyInput { down: true, keysym: 0xffe1, scancode: Some(0x2a) });
        held.key(KeyInput { down: true, keysym: u32::from(b'A'), scancode: Some(0x1e) });
        held.key(KeyInput { down: false, keysym: u32::from(b'a'), scancode: Some(0x1e) });
        held.key(KeyInput { down: true, keysym: 0x20ac, scancode: None });
        held.pointer(PointerInput { x: 7, y: 8, buttons: 5 });
        held.release(&log);
        held.release(&log);
        assert_eq!(*log.0.lock().unwrap(), ["up 0xffe1", "up 0x20ac", "7,8 0b0"]);
    }
}
