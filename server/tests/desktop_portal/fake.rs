//! A portal of the test's own: restore tokens, what it is told of input, and answers that make no sense.

use std::process::{Child, Stdio};

use super::{Desk, until};
use farpane_engine::geometry::Size;
use farpane_test_support::desktop::Desktop;
use farpane_test_support::xvfb::skip;

/// A desktop whose portal shows GStreamer's pictures.
pub(super) struct Fake {
    pub(super) desktop: Option<Desktop>,
    pub(super) gst: Option<Child>,
    started: u32,
    pub(super) node: u32,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.end_source();
    }
}

impl Fake {
    pub(super) fn start() -> Option<Self> {
        let desktop = Desktop::start("fakeportal", &[])?;
        let mut fake = Self { desktop: Some(desktop), gst: None, started: 0, node: 0 };
        fake.new_source().then_some(fake)
    }

    fn end_source(&mut self) {
        if let Some(mut gst) = self.gst.take() {
            let _ = gst.kill();
            let _ = gst.wait();
        }
    }

    /// Starts a source: one that somebody has left gives the next no pictures.
    pub(super) fn new_source(&mut self) -> bool {
        let Some(desktop) = self.desktop.take() else { return false };
        let is_there = self.source_in(&desktop);
        self.desktop = Some(desktop);
        is_there
    }

    /// The same on a desktop that is opened.
    pub(super) fn source_in(&mut self, desktop: &Desktop) -> bool {
        self.end_source();
        self.started += 1;
        let name = format!("shown{}", self.started);
        let line = format!(
            "-q videotestsrc is-live=true ! video/x-raw,format=BGRx,width=320,height=240,framerate=10/1 ! pipewiresink \
             mode=provide stream-properties=p,media.class=Video/Source,node.name={name}"
        );
        match desktop.command("gst-launch-1.0").args(line.split_whitespace()).stdout(Stdio::null()).spawn() {
            Ok(child) => self.gst = Some(child),
            Err(error) => {
                skip(&format!("gst-launch-1.0: {error}"));
                return false;
            }
        }
        let mut node = None;
        until("the node", || {
            let said = desktop.command("pw-cli").args(["ls", "Node"]).output().expect("pw-cli runs");
            let said = String::from_utf8_lossy(&said.stdout).into_owned();
            let before =
                said.split(&format!("node.name = \"{name}\"")).next().filter(|before| before.len() < said.len());
            node = before.and_then(|b| b.rsplit("id ").find_map(|t| t.split(',').next()?.parse().ok()));
            node.is_some()
        });
        self.node = node.expect("is found");
        true
    }

    /// Says how the portal is to answer.
    pub(super) fn set_in(&self, desktop: &Desktop, more: &str) {
        let json = format!(r#"{{"node": {}{more}}}"#, self.node);
        std::fs::write(desktop.dir().join("portal.json"), json).expect("a file");
    }

    /// Opens it; the error's text where that fails.
    pub(super) fn open(&mut self, more: &str) -> Result<Desk, String> {
        self.set_in(self.desktop.as_ref().expect("is here"), more);
        Desk::open(self.desktop.take().expect("is here")).map_err(|(error, desktop)| {
            self.desktop = Some(*desktop);
            error.to_string()
        })
    }

    pub(super) fn close(&mut self, desk: Desk) {
        let Desk { backend, desktop, .. } = desk;
        drop(backend);
        self.desktop = Some(desktop);
        assert!(self.new_source());
    }
}

/// What the portal was told.
pub(super) fn noted(desktop: &Desktop) -> Vec<String> {
    let text = std::fs::read_to_string(desktop.dir().join("asked")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn consent_is_asked_for_once_and_each_token_used_once() {
    let Some(mut fake) = Fake::start() else { return };
    let desk = fake.open("").expect("is allowed");
    assert_eq!(desk.sizes(), [Size::new(320, 240)]);
    fake.close(desk);
    for _ in 0..2 {
        // whoever had to ask now would be refused
        let desk = fake.open(r#", "deny": true"#).expect("needs no consent");
        fake.close(desk);
    }
    let mut starts = noted(fake.desktop.as_ref().expect("is here"));
    starts.retain(|line| line.contains("ask") || line.contains("token"));
    assert_eq!(starts, ["asked", "restored token-1", "restored token-2"]);
    let desktop = fake.desktop.as_ref().expect("is here");
    std::fs::remove_file(desktop.dir().join("state/portal-token")).expect("is there");
    assert!(fake.open(r#", "deny": true"#).err().expect("is refused").contains("refused"));
    // a session that only shows keeps its consent too
    let desk = fake.open(r#", "remote": 0"#).expect("is allowed");
    assert!(desk.backend.input().is_none());
    fake.close(desk);
    let desk = fake.open(r#", "remote": 0, "deny": true"#).expect("needs no consent");
    fake.close(desk);
}

#[test]
fn keys_buttons_and_the_wheel_are_told_as_they_were_meant() {
    let Some(mut fake) = Fake::start() else { return };
    let desk = fake.open("").expect("is allowed");
    desk.key(true, 0x61, Some(0x1e));
    desk.key(true, 0x61, Some(0x1e));
    desk.key(false, 0x61, Some(0x1e));
    desk.tap(0x20ac);
    desk.point(20, 10, 1);
    desk.point(30, 10, 0);
    desk.point(30, 10, 1 << 4);
    desk.point(3000, 10, 0);
    let node = fake.node;
    // Shift first, so that the compositor has a keyboard
    let want = [
        "keycode 42 1",
        "keycode 42 0",
        "keycode 30 1",
        "keycode 30 0",
        "keysym 8364 1",
        "keysym 8364 0",
        &format!("at {node} 20 10"),
        "button 272 1",
        &format!("at {node} 30 10"),
        "button 272 0",
        &format!("at {node} 30 10"),
        "wheel 0 1",
        &format!("at {node} 319 10"),
    ];
    until("all input", || noted(&desk.desktop).len() > want.len());
    assert_eq!(noted(&desk.desktop)[1..], want);
    desk.key(true, 0x62, None);
    let Desk { backend, desktop, .. } = desk;
    drop(backend);
    until("what was held is let go", || noted(&desktop).last().is_some_and(|l| l == "keysym 98 0"));
}

#[test]
fn answers_that_make_no_sense_are_refused_with_words_that_name_them() {
    let Some(mut fake) = Fake::start() else { return };
    for (lie, part) in [
        ("handle", "nonsense to CreateSession: session \"/somewhere/else\""),
        ("types", "nonsense to CreateSession"),
        ("streams", "nonsense to Start: streams s"),
        ("none", "nonsense to Start: no streams"),
        ("twice", "twice"),
        ("descriptor", "PipeWire"),
        ("version", "nonsense to version"),
        ("refuse", "ended Start with 2"),
    ] {
        let said = fake.open(&format!(r#", "lie": "{lie}""#)).err().unwrap_or_else(|| panic!("{lie} was believed"));
        assert!(said.contains(part) && !said.contains('\n'), "{lie}: {said}");
    }
    fake.node = 9999;
    let said = fake.open("").err().expect("no such node");
    assert!(said.starts_with("PipeWire node 9999: "), "{said}");
    let said = fake.open(r#", "lie": "vanish""#).err().expect("it ended");
    assert!(said.contains("the desktop portal is gone"), "{said}");
    let said = fake.open("").err().expect("it is gone");
    assert!(said.starts_with("no desktop portal"), "{said}");
}
