//! From the compositor's drawing to the mirror, without a copy of the processor's.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use farpane_engine::capture::wayland::{WaylandDisplay, WaylandSource, connect_over};
use farpane_engine::capture::{Doorbell, Source, SourceEvent};
use farpane_engine::damage::{DamageEngine, GpuStats};
use farpane_engine::frame::{DmaBufs, Frame, Hint, Importer, Memory};
use farpane_engine::geometry::{Rect, Size};
use farpane_engine::gpu::Gpu;
use farpane_engine::pixel::Modifier;
use wayland_protocols::ext::image_copy_capture::v1::server::ext_image_copy_capture_frame_v1::FailureReason;

use super::PATIENCE;
use super::desk::{Desk, assert_covers, gpu, own_gpu};
use super::fake::{Draw, Fake, Manners};
use super::guest_support::{Access, Mapped, accessed, in_guest};

const SIZE: Size = Size::new(333, 207);

/// Reaches a dma-buf as a program does that draws without a device.
fn mapped(fd: OwnedFd) -> Draw {
    let mapped = Mutex::new(Mapped::new(&fd));
    Box::new(move |rows| {
        let mapped = mapped.lock().expect("nobody panics");
        accessed(&fd, Access::Write, || rows.iter().for_each(|(at, row)| mapped.write(*at as usize, row)));
    })
}

/// A compositor, what captures it, and the mirror on the device.
struct Line {
    fake: Fake,
    _display: WaylandDisplay,
    source: WaylandSource,
    bell: Arc<Doorbell>,
    desk: Desk,
    /// Frames in dma-bufs, and all of them.
    frames: (u64, u64),
    size: Size,
}

impl Line {
    fn new(gpu: &Arc<Gpu>, ext: bool, manners: Manners) -> Self {
        let fake = Fake::start_with(SIZE, ext, Manners { dmabuf: true, ..manners }, mapped);
        let importer = Arc::clone(gpu) as Arc<dyn Importer>;
        let stream = UnixStream::connect(fake.socket()).expect("the compositor listens");
        let connection = connect_over(OwnedFd::from(stream)).expect("a connection");
        let display = WaylandDisplay::new(connection, DmaBufs::Taken(importer), Box::new(|_| ()));
        let display = display.expect("can be captured");
        let mut source = display.source(&display.monitors()[0]);
        let bell = Doorbell::new();
        source.start(Arc::clone(&bell)).expect("capture starts");
        Self { fake, _display: display, source, bell, desk: Desk::new(gpu, SIZE), frames: (0, 0), size: SIZE }
    }

    /// The next frame.
    fn frame(&mut self) -> Frame {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.source.take(Instant::now()) {
                Some(SourceEvent::Frame(frame)) => return frame,
                Some(SourceEvent::Resized(size)) => {
                    (self.size, self.desk) = (size, Desk::new(gpu().expect("a device"), size));
                }
                Some(SourceEvent::Lost(error)) => panic!("{error}"),
                None => {
                    assert!(Instant::now() < end, "no frame");
                    self.bell.wait(Some(self.source.next_due().map_or(end, |due| due.min(end))));
                }
            }
        }
    }

    /// Takes frames until the mirror shows a picture; each frame's damage has to hold what it changed.
    fn follow(&mut self, picture: &[u32]) {
        let end = Instant::now() + PATIENCE;
        loop {
            let frame = self.frame();
            self.frames.0 += u64::from(matches!(frame.memory, Memory::DmaBuf(_)));
            self.frames.1 += 1;
            let old = self.desk.mirror.read().pixels.clone();
            let damage = self.desk.feed(frame);
            let new = self.desk.mirror.read().pixels.clone();
            assert_covers(self.size, &new, &old, &damage);
            if *new == *picture {
                return;
            }
            assert!(Instant::now() < end, "the mirror does not follow");
        }
    }

    /// Paints some changes, each of which has to arrive.
    fn changes(&mut self) {
        let px = self.fake.with(|state| state.px(0));
        self.follow(&px);
        for i in 0..12u16 {
            let part = match i {
                3 => SIZE.rect(),
                _ => Rect::new(i * 23, i * 15, 31, 17),
            };
            let px = self.fake.with(move |state| {
                state.paint(0, part, |x, y| u32::from(x) * 31 + u32::from(y) * 7919 + u32::from(i) * 65_537 + 1);
                state.px(0)
            });
            self.follow(&px);
        }
    }

    fn stats(&self) -> GpuStats {
        self.desk.engine.stats().gpu
    }
}

#[test]
fn pictures_are_drawn_and_compared_in_the_device_s_memory() {
    if !in_guest() {
        return;
    }
    for ext in [true, false] {
        let mut line = Line::new(gpu().expect("a device"), ext, Manners::default());
        line.changes();
        let (stats, frames) = (line.stats(), line.frames);
        assert_eq!(frames, (13, 13), "one for each change");
        assert_eq!((stats.imported, stats.frames, stats.cpu_frames), (13, 13, 0));
        assert_eq!(stats.upload_bytes, SIZE.area() * 4, "the mirror's first picture alone");
        let all = line.desk.engine.stats();
        // the first picture and the fourth change are whole; with wlr-screencopy the second is, too
        let (whole, part) = (2 + u64::from(!ext), 31 * 17);
        assert!(all.compared_px <= whole * SIZE.area() + 12 * part, "{}", all.compared_px);
        assert_eq!((all.copies, line.source.staged_bytes()), (0, 0));
        let taken = line.fake.with(|state| state.taken);
        assert!(taken <= 3, "{taken} buffers made");
    }
}

#[test]
fn a_frame_that_is_held_is_not_drawn_into() {
    if !in_guest() {
        return;
    }
    let mut line = Line::new(gpu().expect("a device"), true, Manners::default());
    let first = line.fake.with(|state| state.px(0));
    let held = line.frame();
    assert_eq!((held.modifier, &held.hint), (Modifier::LINEAR, &Hint::Everything));
    for i in 0..6u32 {
        let px = line.fake.with(move |state| {
            state.paint(0, SIZE.rect(), |_, _| 0x10_1010 * (i + 1));
            state.px(0)
        });
        line.follow(&px);
    }
    let late = line.desk.feed(held);
    line.desk.assert_shows(&first, &vec![0x60_6060; first.len()], &late);
    assert_eq!(line.stats().cpu_frames, 0);
}

#[test]
fn another_size_has_dma_bufs_of_that_size() {
    if !in_guest() {
        return;
    }
    let mut line = Line::new(gpu().expect("a device"), true, Manners::default());
    line.changes();
    for (w, h, colour) in [(64, 300, 0xff_0000), (800, 600, 0x00_ff00), (1, 1, 0x12_3456)] {
        line.fake.with(move |state| state.resize(0, Size::new(w, h), colour));
        line.follow(&vec![colour; usize::from(w) * usize::from(h)]);
        assert_eq!(line.stats().cpu_frames, 0);
    }
    assert_eq!(line.frames.0, line.frames.1);
}

#[test]
fn what_the_compositor_does_not_take_comes_through_shared_memory() {
    if !in_guest() {
        return;
    }
    let honest = Manners::default;
    for manners in [
        Manners { refuses: true, ..honest() },
        Manners { spoils: Some(FailureReason::BufferConstraints), ..honest() },
        Manners { spoils: Some(FailureReason::Unknown), ..honest() },
        Manners { modifiers: vec![0x0300_0000_0000_0001, 0x00ff_ffff_ffff_ffff], ..honest() },
    ] {
        for ext in [true, false] {
            let mut line = Line::new(gpu().expect("a device"), ext, manners.clone());
            // more of them than there are buffers, all of which the device keeps
            line.changes();
            assert_eq!(line.frames, (0, 13), "{manners:?}");
            assert_eq!((line.stats().frames, line.stats().cpu_frames), (13, 0));
        }
    }
}

#[test]
fn a_turned_output_comes_through_shared_memory() {
    if !in_guest() {
        return;
    }
    let mut line = Line::new(gpu().expect("a device"), true, Manners { transform: 2, ..Manners::default() });
    for i in 0..5u16 {
        let mut px = line.fake.with(move |state| {
            state.paint(0, Rect::new(i * 30, 7, 9, 9), |x, y| u32::from(x * y) + 5);
            state.px(0)
        });
        px.reverse();
        line.follow(&px);
    }
    assert_eq!((line.frames, line.fake.with(|state| state.drawn)), ((0, 5), 1));
    assert!(line.source.staged_bytes() > 0);
}

#[test]
fn a_device_that_is_lost_is_done_without_and_used_again() {
    if !in_guest() {
        return;
    }
    let gpu = own_gpu().expect("a device");
    let mut line = Line::new(&gpu, true, Manners::default());
    line.changes();
    gpu.device(Instant::now()).expect("a device").give_up();
    // plain rows are the processor's, too
    line.changes_after(0xaa);
    assert!(line.stats().cpu_frames > 0);
    // back in the background: whoever starts then gets its memory
    let end = Instant::now() + PATIENCE;
    while gpu.device(Instant::now()).is_none() {
        assert!(Instant::now() < end, "it does not come back");
        std::thread::sleep(Duration::from_millis(20));
    }
    line.source.stop();
    line.source.start(Arc::clone(&line.bell)).expect("starts again");
    let before = (line.frames, line.stats().imported);
    line.changes_after(0xbb);
    let after = (line.frames, line.stats().imported);
    assert!(after.0.0 > before.0.0 && after.1 > before.1, "{before:?} {after:?}");
}

impl Line {
    /// One change over all.
    fn changes_after(&mut self, colour: u32) {
        let px = self.fake.with(move |state| {
            state.paint(0, SIZE.rect(), |x, _| colour + u32::from(x) * 256);
            state.px(0)
        });
        self.follow(&px);
    }
}
