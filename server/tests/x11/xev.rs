//! Keys and buttons as another program gets them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use super::{Desk, PATIENCE};
use farpane_test_support::xvfb::skip;

/// A window of the program `xev` that fills the screen.
pub struct Xev {
    child: Child,
    pub lines: Receiver<String>,
}

impl Xev {
    pub fn start(desk: &Desk) -> Option<Self> {
        let started = desk
            .server
            .command("xev")
            .args(["-geometry", "600x400+0+0", "-event", "keyboard", "-event", "button", "-event", "structure"])
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                skip(&format!("xev: {error}"));
                return None;
            }
        };
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let (send, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|l| send.send(l)));
        let xev = Self { child, lines };
        xev.line("the window is mapped", |l| l.starts_with("MapNotify").then_some(()));
        Some(xev)
    }

    fn line<T>(&self, what: &str, mut want: impl FnMut(&str) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            if let Some(found) = want(&line) {
                return found;
            }
        }
        panic!("xev does not say: {what}");
    }

    /// The next keysyms of keys that went down, modifiers left out.
    pub fn keysyms(&self, count: usize) -> Vec<u32> {
        let mut pressed = false;
        let mut next = || {
            self.line("a key", |l| {
                if l.starts_with("Key") {
                    pressed = l.starts_with("KeyPress");
                }
                let sym = l.split("(keysym 0x").nth(1)?.split(',').next()?;
                let sym = u32::from_str_radix(sym, 16).ok()?;
                (pressed && !(0xffe1..=0xffee).contains(&sym) && sym != 0xfe03).then_some(sym)
            })
        };
        (0..count).map(|_| next()).collect()
    }

    pub fn buttons(&self, count: usize) -> Vec<(bool, u8)> {
        let mut pressed = false;
        let mut next = || {
            self.line("a button", |l| {
                if l.starts_with("Button") {
                    pressed = l.starts_with("ButtonPress");
                }
                let number = l.split("button ").nth(1)?.split(',').next()?;
                Some((pressed, number.parse().ok()?))
            })
        };
        (0..count).map(|_| next()).collect()
    }
}

impl Drop for Xev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
