//! The X11 backend against private X servers, judged by programs that are not ours: xev, xclip, xrandr, setxkbmap.

#![cfg(feature = "x11")]

#[path = "private_x/mod.rs"]
mod xvfb;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use farpane_engine::geometry::{Point, Rect, Size};
use farpane_server::backend::discover::{Environment, RouteState, choose_auto, probe};
use farpane_server::backend::{Backend, BackendEvent, Layout, LayoutOutput, OutputId, ResizeAnswer, SourceSpec, open};
use farpane_server::helper::InProcess;
use farpane_server::input::{KeyInput, PointerInput};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::ConnectionExt as _;
use x11rb::protocol::xtest::ConnectionExt as _;
use xvfb::Xvfb;

const PATIENCE: Duration = Duration::from_secs(20);

/// An opened desktop and what it said.
struct Desk {
    backend: Arc<dyn Backend>,
    events: UnboundedReceiver<BackendEvent>,
    server: Xvfb,
}

fn environment(server: &Xvfb) -> Environment {
    let mut env = Environment::new(rustix::process::getuid().as_raw(), Arc::new(InProcess));
    env.display = Some(server.display.clone());
    env
}

impl Desk {
    fn open(screen: &str) -> Option<Self> {
        Self::open_with(screen, false)
    }

    fn open_with(screen: &str, primary: bool) -> Option<Self> {
        let server = Xvfb::start(screen)?;
        let (send, events) = unbounded_channel();
        let spec = SourceSpec::X11(Some(server.display.clone()));
        let mut env = environment(&server);
        env.clipboard.primary = primary;
        let backend = open(&spec, &env, send).expect("opens");
        Some(Self { backend, events, server })
    }

    /// A watched desktop, its first events taken out.
    fn watched(screen: &str) -> Option<Self> {
        Self::open(screen)?.watch()
    }

    fn watch(mut self) -> Option<Self> {
        let desk = &mut self;
        desk.wait("lock keys", |e| matches!(e, BackendEvent::Leds(_)).then_some(()));
        desk.backend.watch(true);
        desk.wait("the pointer's place", |e| matches!(e, BackendEvent::PointerMoved(_)).then_some(()));
        Some(self)
    }

    /// Waits for an event; others before it are dropped.
    fn wait<T>(&mut self, what: &str, mut want: impl FnMut(BackendEvent) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match self.events.try_recv() {
                Ok(event) => {
                    if let Some(found) = want(event) {
                        return found;
                    }
                }
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        panic!("no event: {what}");
    }

    fn key(&self, down: bool, keysym: u32) {
        self.backend.input().expect("takes input").key(KeyInput { down, keysym, scancode: None });
    }

    fn tap(&self, keysym: u32) {
        self.key(true, keysym);
        self.key(false, keysym);
    }

    fn point(&self, x: u16, y: u16, buttons: u16) {
        self.backend.input().expect("takes input").pointer(PointerInput { x, y, buttons });
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        match self.server.command(program).args(arguments).status() {
            Ok(status) => {
                assert!(status.success(), "{program} {arguments:?}: {status}");
                true
            }
            Err(error) => {
                xvfb::skip(&format!("{program}: {error}"));
                false
            }
        }
    }
}

/// A window of the program `xev` that fills the screen.
struct Xev {
    child: Child,
    lines: Receiver<String>,
}

impl Xev {
    fn start(desk: &Desk) -> Option<Self> {
        let started = desk
            .server
            .command("xev")
            .args(["-geometry", "600x400+0+0", "-event", "keyboard", "-event", "button", "-event", "structure"])
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                xvfb::skip(&format!("xev: {error}"));
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
    fn keysyms(&self, count: usize) -> Vec<u32> {
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

    fn buttons(&self, count: usize) -> Vec<(bool, u8)> {
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

fn sym(ch: char) -> u32 {
    xkeysym::Keysym::from_char(ch).raw()
}

/// Keysyms are equal when they type the same character: programs may get a character's other name.
fn assert_typed(got: &[u32], want: &[u32]) {
    let ch = |s: &u32| xkeysym::Keysym::new(*s).key_char().ok_or(*s);
    assert_eq!(got.iter().map(ch).collect::<Vec<_>>(), want.iter().map(ch).collect::<Vec<_>>());
}

#[test]
fn typed_text_arrives_whatever_the_layout_has() {
    let Some(desk) = Desk::open("640x480") else { return };
    if !desk.run("setxkbmap", &["de"]) {
        return;
    }
    let Some(xev) = Xev::start(&desk) else { return };
    desk.point(300, 200, 0);
    // plain, Shift, AltGr, umlauts, a dead key, then what no German keyboard has
    let mut want: Vec<u32> = "azAZ09!\"/@{}\\|~äÖß€µжЖяλ中😀✓ő".chars().map(sym).collect();
    want.push(0xfe51);
    for s in &want {
        desk.tap(*s);
    }
    assert_typed(&xev.keysyms(want.len()), &want);
}

#[test]
fn fast_typing_of_many_foreign_letters_is_right() {
    let Some(desk) = Desk::open("640x480") else { return };
    let Some(xev) = Xev::start(&desk) else { return };
    desk.point(300, 200, 0);
    // Xlib reads its keyboard map at a program's first key and asks for news of it only after that: begin with two that it knows
    for ch in ['a', 'b'] {
        desk.tap(sym(ch));
        assert_typed(&xev.keysyms(1), &[sym(ch)]);
    }
    let want: Vec<u32> = (0x4e00..0x4e00 + 80).filter_map(char::from_u32).map(sym).collect();
    for s in &want {
        desk.tap(*s);
    }
    assert_typed(&xev.keysyms(want.len()), &want);
}

#[test]
fn keysyms_arrive_under_caps_lock_and_the_lamp_is_told() {
    let Some(mut desk) = Desk::watched("640x480") else { return };
    let Some(xev) = Xev::start(&desk) else { return };
    desk.point(300, 200, 0);
    desk.tap(0xffe5);
    desk.wait("Caps Lock is on", |e| matches!(e, BackendEvent::Leds(4)).then_some(()));
    let want: Vec<u32> = "aAzZ1!жЖ".chars().map(sym).collect();
    for s in &want {
        desk.tap(*s);
    }
    assert_typed(&xev.keysyms(want.len()), &want);
    desk.tap(0xffe5);
    desk.wait("Caps Lock is off", |e| matches!(e, BackendEvent::Leds(0)).then_some(()));
}

#[test]
fn temporary_bindings_and_held_keys_are_gone_at_the_end() {
    let Some(desk) = Desk::open("640x480") else { return };
    let Some(xev) = Xev::start(&desk) else { return };
    desk.point(300, 200, 0);
    let conn = x11rb::connect(Some(&desk.server.display)).expect("connects").0;
    let setup = conn.setup();
    let (first, count) = (setup.min_keycode, setup.max_keycode - setup.min_keycode + 1);
    let map = || conn.get_keyboard_mapping(first, count).expect("asks").reply().expect("answers").keysyms;
    let before = map();
    desk.key(true, sym('😀'));
    desk.key(true, 0xffe1);
    xev.keysyms(1);
    assert_ne!(map(), before);
    let Desk { backend, server: _server, .. } = desk;
    drop(backend);
    let bare = |keysyms: Vec<u32>| keysyms.into_iter().filter(|s| *s != 0).collect::<Vec<_>>();
    assert_eq!(bare(map()), bare(before));
    let down = conn.query_keymap().expect("asks").reply().expect("answers").keys;
    assert_eq!(down, [0; 32]);
}

#[test]
fn clicks_the_wheel_and_extra_buttons_arrive() {
    let Some(desk) = Desk::open("640x480") else { return };
    let Some(xev) = Xev::start(&desk) else { return };
    for bit in 0..9 {
        desk.point(100, 100, 1 << bit);
        desk.point(100, 100, 0);
    }
    let want: Vec<(bool, u8)> = (1..=9).flat_map(|n| [(true, n), (false, n)]).collect();
    assert_eq!(xev.buttons(want.len()), want);
}

#[test]
fn a_pointer_moved_by_someone_else_is_told() {
    let Some(mut desk) = Desk::watched("640x480") else { return };
    let (conn, screen) = x11rb::connect(Some(&desk.server.display)).expect("connects");
    let root = conn.setup().roots[screen].root;
    for (x, y) in [(17, 19), (600, 400)] {
        conn.xtest_fake_input(6, 0, 0, root, x, y, 0).expect("sends").check().expect("moves");
        let at = Point::new(x as u16, y as u16);
        desk.wait("the device moved", |e| matches!(e, BackendEvent::PointerMoved(p) if p == at).then_some(()));
    }
    conn.warp_pointer(x11rb::NONE, root, 0, 0, 0, 0, 33, 44).expect("sends").check().expect("moves");
    let at = Point::new(33, 44);
    desk.wait("a program moved it", |e| matches!(e, BackendEvent::PointerMoved(p) if p == at).then_some(()));
    conn.bell(0).expect("sends").check().expect("rings");
    desk.wait("the bell", |e| matches!(e, BackendEvent::Bell).then_some(()));
}

/// Pastes until the selection has the wanted text, or the time is over.
fn paste(desk: &Desk, selection: &str, want: &str) -> Option<String> {
    let end = Instant::now() + PATIENCE;
    let mut got;
    loop {
        let out = desk.server.command("xclip").args(["-o", "-selection", selection, "-t", "UTF8_STRING"]).output();
        match out {
            Ok(out) => got = String::from_utf8_lossy(&out.stdout).into_owned(),
            Err(error) => {
                xvfb::skip(&format!("xclip: {error}"));
                return None;
            }
        }
        if got == want || Instant::now() > end {
            return Some(got);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn copy(desk: &Desk, selection: &str, text: &str) -> bool {
    let started = desk.server.command("xclip").args(["-i", "-selection", selection]).stdin(Stdio::piped()).spawn();
    let Ok(mut child) = started else {
        xvfb::skip("xclip does not start");
        return false;
    };
    child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("takes it");
    assert!(child.wait().expect("ends").success());
    true
}

#[test]
fn texts_of_clients_can_be_pasted_small_and_in_pieces() {
    let Some(mut desk) = Desk::watched("640x480") else { return };
    let clipboard = desk.backend.clipboard().expect("has one");
    for text in ["plain", "äöü € 😀\nsecond line", &"0123456789abcdeé\n".repeat(40_000)] {
        clipboard.offer(text.into());
        let Some(got) = paste(&desk, "clipboard", text) else { return };
        assert!(got == text, "{} bytes instead of {}", got.len(), text.len());
    }
    let targets = desk.server.command("xclip").args(["-o", "-selection", "clipboard", "-t", "TARGETS"]).output();
    let targets = String::from_utf8(targets.expect("runs").stdout).expect("names");
    for name in ["TARGETS", "TIMESTAMP", "MULTIPLE", "UTF8_STRING", "STRING", "TEXT", "text/plain;charset=utf-8"] {
        assert!(targets.lines().any(|l| l == name), "{name} in {targets}");
    }
    // our own offers were not told as copies of the desktop: the first copy told is the desktop's
    assert!(copy(&desk, "clipboard", "from the desktop"));
    let text = desk.wait("a copy", |e| if let BackendEvent::Clipboard(t) = e { Some(t) } else { None });
    assert_eq!(&*text, "from the desktop");
}

#[test]
fn copies_of_the_desktop_are_told_up_to_the_cap() {
    let Some(mut desk) = Desk::watched("640x480") else { return };
    let large = "wörter mit Zeilen\r\n".repeat(40_000);
    let small = "a\r\nb\rc";
    for text in [small, &large] {
        if !copy(&desk, "clipboard", text) {
            return;
        }
        let got = desk.wait("a copy", |e| if let BackendEvent::Clipboard(t) = e { Some(t) } else { None });
        let want = text.replace("\r\n", "\n").replace('\r', "\n");
        assert!(*got == *want, "{} bytes instead of {}", got.len(), want.len());
    }
    copy(&desk, "clipboard", &"x".repeat((1 << 20) + 1));
    copy(&desk, "clipboard", "after it");
    let got = desk.wait("a copy", |e| if let BackendEvent::Clipboard(t) = e { Some(t) } else { None });
    assert_eq!(&*got, "after it", "what is past the cap is not told, and what follows is");
}

#[test]
fn what_the_mouse_selects_is_shared_when_asked_for() {
    let Some(mut desk) = Desk::open_with("640x480", true).and_then(Desk::watch) else { return };
    desk.backend.clipboard().expect("has one").offer("from a client".into());
    for selection in ["primary", "clipboard"] {
        let Some(got) = paste(&desk, selection, "from a client") else { return };
        assert_eq!(got, "from a client", "{selection}");
    }
    copy(&desk, "primary", "selected");
    let got = desk.wait("a selection", |e| if let BackendEvent::Clipboard(t) = e { Some(t) } else { None });
    assert_eq!(&*got, "selected");

    let Some(mut plain) = Desk::watched("640x480") else { return };
    copy(&plain, "primary", "selected");
    copy(&plain, "clipboard", "copied");
    let got = plain.wait("a copy", |e| if let BackendEvent::Clipboard(t) = e { Some(t) } else { None });
    assert_eq!(&*got, "copied", "PRIMARY is not shared unless asked for");
}

fn wish(size: (u16, u16), rects: &[[u16; 4]]) -> Layout {
    let output = |(i, r): (usize, &[u16; 4])| LayoutOutput {
        id: OutputId(i as u32),
        name: String::new(),
        rect: Rect::new(r[0], r[1], r[2], r[3]),
    };
    Layout { size: Size::new(size.0, size.1), outputs: rects.iter().enumerate().map(output).collect() }
}

fn layout(event: BackendEvent) -> Option<Layout> {
    if let BackendEvent::LayoutChanged(layout) = event { Some(layout) } else { None }
}

#[test]
fn three_monitors_are_three_outputs_in_one_change() {
    let Some(mut desk) = Desk::watched("960x320") else { return };
    for (name, place, output) in [("L", "320/80x320/80+0+0", "screen"), ("M", "320/80x320/80+320+0", "none")] {
        if !desk.run("xrandr", &["--setmonitor", name, place, output]) {
            return;
        }
    }
    desk.run("xrandr", &["--setmonitor", "R", "320/80x320/80+640+0", "none"]);
    let mut added = 0;
    let got = desk.wait("three monitors", |e| {
        added += u32::from(matches!(e, BackendEvent::OutputAdded(..)));
        layout(e).filter(|l| l.outputs.len() == 3)
    });
    let mut named: Vec<_> = got.outputs.iter().map(|o| (o.name.as_str(), o.rect)).collect();
    named.sort_by_key(|(n, _)| *n);
    let want = [("L", 0), ("M", 320), ("R", 640)].map(|(n, x)| (n, Rect::new(x, 0, 320, 320)));
    assert_eq!(named, want);
    assert_eq!(added, 3);
    desk.run("xrandr", &["--delmonitor", "M"]);
    let got = desk.wait("two monitors", layout);
    assert_eq!(got.outputs.len(), 2);
}

#[test]
fn a_client_may_wish_another_size_and_several_screens() {
    let Some(mut desk) = Desk::watched("1280x720") else { return };
    assert_eq!(desk.backend.resize(&wish((801, 600), &[[0, 0, 801, 600]])), ResizeAnswer::Done);
    let got = desk.wait("the new size", |e| layout(e).filter(|l| l.size == Size::new(801, 600)));
    assert_eq!(got.outputs.len(), 1);
    let two = [[0, 0, 500, 600], [500, 0, 500, 600]];
    assert_eq!(desk.backend.resize(&wish((1000, 600), &two)), ResizeAnswer::Done);
    let got = desk.wait("two screens", |e| layout(e).filter(|l| l.outputs.len() == 2));
    assert_eq!(got.outputs.iter().map(|o| o.rect.w).collect::<Vec<_>>(), [500, 500]);
    assert_eq!(desk.backend.resize(&wish((1280, 720), &[[0, 0, 1280, 720]])), ResizeAnswer::Done);
    desk.wait("the first size", |e| layout(e).filter(|l| l.size.w == 1280 && l.outputs.len() == 1));
    assert_eq!(desk.backend.resize(&wish((8000, 600), &[[0, 0, 8000, 600]])), ResizeAnswer::OutOfResources);
    let over = [[0, 0, 500, 600], [400, 0, 500, 600]];
    assert_eq!(desk.backend.resize(&wish((1000, 600), &over)), ResizeAnswer::InvalidLayout);
    assert_eq!(desk.backend.resize(&wish((100, 100), &[[50, 0, 100, 100]])), ResizeAnswer::InvalidLayout);
}

#[test]
fn a_server_that_goes_and_comes_again_is_lost_and_back_with_fresh_outputs() {
    let Some(mut desk) = Desk::watched("640x480") else { return };
    desk.server.kill();
    desk.wait("lost", |e| matches!(e, BackendEvent::Lost(r) if !r.is_empty()).then_some(()));
    desk.tap(sym('a'));
    let display = desk.server.display.clone();
    desk.server = Xvfb::run(Some(&display), "800x600").expect("starts again");
    let mut seen = Vec::new();
    desk.wait("back", |e| {
        match e {
            BackendEvent::OutputRemoved(id) => seen.push(format!("removed {}", id.0)),
            BackendEvent::OutputAdded(id, _) => seen.push(format!("added {}", id.0)),
            BackendEvent::LayoutChanged(l) => seen.push(format!("layout {}", l.size)),
            BackendEvent::Lost(_) => seen.push("lost again".into()),
            BackendEvent::Back => return Some(()),
            _ => {}
        }
        None
    });
    assert_eq!(seen, ["removed 0", "added 0", "layout 800x600"]);
    let Some(xev) = Xev::start(&desk) else { return };
    desk.point(300, 200, 0);
    // input is refused for a moment after a failed attempt: keep typing until it arrives
    let end = Instant::now() + PATIENCE;
    loop {
        desk.tap(sym('a'));
        if xev.lines.recv_timeout(Duration::from_millis(20)).is_ok_and(|l| l.starts_with("Key")) {
            break;
        }
        desk.point(300, 200, 0);
        assert!(Instant::now() < end, "no input after the server came back");
    }
}

#[test]
fn probing_finds_the_display_of_the_environment_and_auto_takes_it() {
    let Some(server) = Xvfb::start("640x480") else { return };
    let routes = probe(&environment(&server));
    let spec = SourceSpec::X11(Some(server.display.clone()));
    let route = routes.iter().find(|r| r.source == spec).expect("is listed");
    assert_eq!(route.state, RouteState::Usable);
    assert_eq!(choose_auto(&routes).map(|(s, _)| s), Some(spec.clone()));
    let mut env = environment(&server);
    env.display = None;
    assert!(probe(&env).iter().any(|r| r.source == spec && r.state == RouteState::Usable), "found by its socket");
}

#[test]
fn nobody_watching_means_no_events() {
    let Some(mut desk) = Desk::watched("640x480") else { return };
    desk.backend.watch(false);
    desk.backend.watch(true);
    desk.backend.watch(false);
    // one command after another: when this one is answered, the others are done
    assert_eq!(desk.backend.resize(&wish((1, 1), &[])), ResizeAnswer::InvalidLayout);
    while desk.events.try_recv().is_ok() {}
    let (conn, screen) = x11rb::connect(Some(&desk.server.display)).expect("connects");
    let root = conn.setup().roots[screen].root;
    conn.xtest_fake_input(6, 0, 0, root, 5, 5, 0).expect("sends").check().expect("moves");
    conn.bell(0).expect("sends").check().expect("rings");
    assert_eq!(desk.backend.resize(&wish((1, 1), &[])), ResizeAnswer::InvalidLayout);
    assert!(desk.events.try_recv().is_err());
}
