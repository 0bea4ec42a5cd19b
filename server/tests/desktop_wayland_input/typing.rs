//! Keys, judged by a shell's `cat` in foot and by a window that listens.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::{Desk, watching};
use farpane_test_support::PATIENCE;
use farpane_test_support::ears::{Ears, Sound};
use farpane_test_support::painter::Painter;
use farpane_test_support::sway::Sway;
use farpane_test_support::xvfb::skip;

/// foot, in which `cat` writes what is typed to a file.
struct Terminal {
    child: Child,
    typed: PathBuf,
}

impl Terminal {
    fn open(sway: &Sway) -> Option<Self> {
        let (ready, typed) = (sway.dir.join("ready"), sway.dir.join("typed"));
        let script = format!("touch {}; exec cat > {}", ready.display(), typed.display());
        let started = sway
            .command("foot")
            .args(["--config=/dev/null", "sh", "-c", &script])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = started else {
            skip("foot is not installed");
            return None;
        };
        let terminal = Self { child, typed };
        let end = Instant::now() + PATIENCE;
        let shown = || {
            let tree = sway.command("swaymsg").args(["-t", "get_tree"]).output().expect("swaymsg comes with sway");
            ready.exists() && String::from_utf8_lossy(&tree.stdout).contains("\"app_id\": \"foot\"")
        };
        while !shown() {
            assert!(Instant::now() < end, "foot does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(terminal)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.typed).unwrap_or_default()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // it may have ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Goes on until the terminal has got this text.
fn until_typed(desk: &mut Desk, terminal: &Terminal, want: &str) {
    let end = Instant::now() + PATIENCE;
    while terminal.text() != want {
        desk.client.pump(Instant::now() + Duration::from_millis(20)).expect("goes on");
        assert!(Instant::now() < end, "typed {:?} instead of {want:?}\n{}", terminal.text(), desk.server.log());
    }
}

const TEXT: &str = "azAZ09!\"/@{}\\|~äÖß€µжЖяλ中😀✓ő\n";

#[test]
fn typed_text_arrives_by_keysym_whatever_the_layout_has() {
    for layout in ["input * xkb_layout us", "input * xkb_layout de"] {
        let Some(mut desk) = Desk::open(&["640x480"], &[layout]) else { return };
        let Some(terminal) = Terminal::open(&desk.sway) else { return };
        desk.type_text(TEXT);
        until_typed(&mut desk, &terminal, TEXT);
    }
}

#[test]
fn scan_codes_mean_what_the_seats_layout_says() {
    let Some(mut desk) = Desk::open(&["640x480"], &["input * xkb_layout de"]) else { return };
    let Some(terminal) = Terminal::open(&desk.sway) else { return };
    let both = |desk: &mut Desk, keysym: u32, scan: u32| {
        desk.client.qemu_key(keysym, scan, true).expect("a key");
        desk.client.qemu_key(keysym, scan, false).expect("a key");
    };
    // alone: where English keyboards have [, y, z
    for scan in [0x1a, 0x15, 0x2c] {
        both(&mut desk, 0, scan);
    }
    // with Shift, and with the right Alt
    for (modifier, scan) in [(0x2a, 0x03), (0xb8, 0x10)] {
        desk.client.qemu_key(0, modifier, true).expect("a key");
        both(&mut desk, 0, scan);
        desk.client.qemu_key(0, modifier, false).expect("a key");
    }
    // with keysyms, of this layout and of none
    both(&mut desk, 0xfc, 0x1a);
    both(&mut desk, 0x6d1, 0x15);
    both(&mut desk, 0xff0d, 0x1c);
    until_typed(&mut desk, &terminal, "üzy\"@üя\n");
}

#[test]
fn many_foreign_letters_arrive_one_after_the_other() {
    let Some(mut desk) = Desk::open(&["640x480"], &[]) else { return };
    let Some(terminal) = Terminal::open(&desk.sway) else { return };
    let mut text: String = (0x4e00..0x4e00 + 80).filter_map(char::from_u32).collect();
    text.push('\n');
    desk.type_text(&text);
    until_typed(&mut desk, &terminal, &text);
}

/// Goes on until all of this was heard, and forgets it.
fn hears(desk: &mut Desk, ears: &mut Ears, what: &str, want: &[Sound]) {
    desk.until(what, |_| {
        ears.listen(Instant::now() + Duration::from_millis(20));
        want.iter().all(|sound| ears.all().contains(sound))
    });
    ears.clear();
}

#[test]
fn keys_that_are_held_are_released_when_their_client_goes_and_locks_are_told() {
    let Some(mut desk) = Desk::open(&["640x480"], &[]) else { return };
    let painter = Painter::open(&desk.sway.socket(), "HEADLESS-1");
    let mut ears = desk.ears(&painter);
    desk.until("the window gets keys", |desk| {
        desk.tap(0x62);
        ears.listen(Instant::now() + Duration::from_millis(200));
        ears.all().contains(&Sound::Key(48, true))
    });
    desk.tap(0xffe5);
    hears(&mut desk, &mut ears, "Caps Lock", &[Sound::Modifiers(0, 2)]);
    desk.client.wait_until("the lamp", |c| c.picture().led_state() == Some(4)).expect("a lamp");
    desk.tap(0xffe5);
    desk.client.wait_until("no lamp", |c| c.picture().led_state() == Some(0)).expect("no lamp");
    desk.client.key(0xffe3, true).expect("a key");
    desk.client.key(0x61, true).expect("a key");
    let down = [Sound::Key(29, true), Sound::Key(30, true), Sound::Modifiers(4, 0)];
    hears(&mut desk, &mut ears, "keys go down", &down);
    desk.client = watching(&desk.server);
    let up = [Sound::Key(29, false), Sound::Key(30, false), Sound::Modifiers(0, 0)];
    hears(&mut desk, &mut ears, "keys go up", &up);
}
