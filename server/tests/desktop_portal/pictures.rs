//! What arrives is what the compositor shows, and costs what changed.

use std::time::Instant;

use super::{Desk, PATIENCE, environment};
use farpane_engine::capture::{Doorbell, Source, SourceEvent};
use farpane_engine::damage::{CpuDamage, DamageEngine, Mirror, Progress};
use farpane_engine::frame::DmaBufs;
use farpane_engine::geometry::Rect;
use farpane_test_support::desktop::Desktop;
use farpane_test_support::painter::Painter;

/// A source with the damage stage behind it, as a pipeline has them.
struct Shown<'a> {
    source: &'a mut dyn Source,
    damage: CpuDamage,
    mirror: Mirror,
}

impl Shown<'_> {
    /// Takes pictures until the mirror holds these pixels.
    fn until(&mut self, px: &[u32]) {
        let bell = Doorbell::new();
        let end = Instant::now() + PATIENCE;
        loop {
            match self.source.take(Instant::now()) {
                Some(SourceEvent::Frame(frame)) => {
                    let ticket = self.damage.submit(frame, &self.mirror, Instant::now());
                    let Progress::Done(_) = self.damage.poll(ticket, &self.mirror, Instant::now()) else {
                        panic!("a frame that the damage stage refuses");
                    };
                    if self.mirror.read().pixels == px {
                        return;
                    }
                }
                Some(SourceEvent::Lost(error)) => panic!("{error}"),
                Some(SourceEvent::Resized(_)) => {}
                None => {
                    let shown = self.mirror.read();
                    let other = shown.pixels.iter().zip(px).filter(|(a, b)| a != b).count();
                    assert!(Instant::now() < end, "{other} pixels never are what the compositor shows");
                    bell.wait(Some(Instant::now() + std::time::Duration::from_millis(20)));
                }
            }
        }
    }
}

/// Paints, changes one letter's worth of it, and sees both; returns how many pixels were compared for the letter, and the bytes
/// that were copied before any compare.
fn letter(desk: &mut Desk, socket: &str, output: &str) -> (u64, u64) {
    let socket = desk.desktop.dir().join(socket);
    let mut painter = Painter::open(&socket, output);
    painter.paint(painter.size.rect(), |x, y| u32::from(x) * 7 + u32::from(y) * 0x1_0301);
    let size = painter.size;
    assert_eq!(desk.sizes(), [size]);
    let (_, source) = &mut desk.sources[0];
    source.start(Doorbell::new()).expect("starts");
    let layout = source.info().fourcc.layout().expect("a mirror's format");
    let mirror = Mirror::new(size, layout, Instant::now());
    let mut shown = Shown { source: &mut **source, damage: CpuDamage::new(), mirror };
    shown.until(&painter.px);
    let before = shown.damage.stats();
    painter.paint(Rect::new(40, 100, 10, 20), |_, _| 0x12_3456);
    shown.until(&painter.px);
    let after = shown.damage.stats();
    let staged = shown.source.staged_bytes();
    assert_eq!(after.changed_px - before.changed_px, 200, "the letter's pixels and no other are copied");
    shown.source.stop();
    (after.compared_px - before.compared_px, staged)
}

#[test]
fn the_picture_is_what_the_compositor_shows_and_one_changed_letter_is_all_that_is_copied() {
    let Some(mut desk) = Desk::start(&["640x480"]) else { return };
    let (_, staged) = letter(&mut desk, "wayland-0", "Meta-0");
    assert_eq!(staged, 0, "no copy before the compare");
}

#[test]
fn the_portal_of_the_wlroots_family_is_shared_without_input_and_compared_where_it_says() {
    let Some(mut desk) = Desk::start_kind("swayportal", &["640x480"]) else { return };
    assert!(desk.backend.input().is_none(), "such a portal has no RemoteDesktop");
    let (compared, staged) = letter(&mut desk, "wayland-1", "HEADLESS-1");
    // its memory is not sealed: what has changed is copied before it is looked at
    assert!(staged <= 2 * 640 * 480 * 4, "{staged} bytes were copied first");
    assert!(compared < 640 * 480 / 10, "{compared} pixels were compared");
}

#[test]
fn dma_bufs_are_asked_for_where_they_are_wanted_and_who_has_none_gives_shared_memory() {
    for wanted in [DmaBufs::None, DmaBufs::Plain] {
        let asked = !wanted.is_none();
        let Some(desktop) = Desktop::start("mutter", &["--monitor", "640x480"]) else { return };
        let mut env = environment(&desktop);
        env.dma_bufs = wanted;
        let mut desk = Desk::open_in(desktop, &env).map_err(|(error, _)| error).expect("opens");
        let dump = desk.desktop.command("pw-dump").output().expect("pw-dump runs");
        let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
        assert!(dump.contains("\"farpane"), "{dump}");
        assert_eq!(dump.contains("modifier"), asked, "{dump}");
        letter(&mut desk, "wayland-0", "Meta-0");
    }
}
