//! Pictures in dma-bufs, for which sealed memory stands in here: where they are drawn into, and where shared memory takes their place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use farpane_engine::capture::{Source, SourceEvent};
use farpane_engine::frame::{DmaBuf, DmaBufs, Frame, Importer, Memory, Plane};
use farpane_engine::geometry::{Rect, Size};
use farpane_engine::pixel::{Fourcc, Modifier};
use rustix::fs::{MemfdFlags, SealFlags};
use wayland_protocols::ext::image_copy_capture::v1::server::ext_image_copy_capture_frame_v1::FailureReason;

use super::PATIENCE;
use super::fake::{Fake, Manners};
use super::viewer::{Desk, Viewer};

const SIZE: Size = Size::new(320, 200);
const TILED: Modifier = Modifier(0x0100_0000_0000_0001);

/// A device that takes plain rows of one format, and makes memory for some pictures.
struct Device {
    takes: Vec<Modifier>,
    /// Pictures that it still has memory for.
    room: AtomicU32,
}

impl Device {
    fn new(takes: &[Modifier], room: u32) -> Arc<Self> {
        Arc::new(Self { takes: takes.to_vec(), room: AtomicU32::new(room) })
    }
}

impl Importer for Device {
    fn modifiers(&self, fourcc: Fourcc) -> Vec<Modifier> {
        if fourcc == Fourcc::XRGB8888 { self.takes.clone() } else { Vec::new() }
    }

    fn allocate(&self, size: Size, fourcc: Fourcc, among: &[Modifier]) -> Result<(DmaBuf, Modifier), String> {
        assert!(among.iter().all(|modifier| self.takes.contains(modifier)) && fourcc == Fourcc::XRGB8888);
        let less = |room: u32| room.checked_sub(1);
        self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).map_err(|_| "no memory".to_owned())?;
        let plane = Plane { offset: 64, stride: u64::from(size.w) * 4 + 32 };
        let fd = rustix::fs::memfd_create("dma-buf", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("a memfd");
        let len = plane.offset + plane.stride * u64::from(size.h);
        rustix::fs::ftruncate(&fd, len).expect("its length");
        rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK).expect("its seal");
        Ok((DmaBuf::new(fd, vec![plane]).expect("stands in"), among[0]))
    }
}

fn open(ext: bool, manners: Manners, device: &Arc<Device>) -> (Fake, Desk, Viewer) {
    let fake = Fake::start(SIZE, ext, Manners { dmabuf: true, ..manners });
    let desk = Desk::open_with(&fake.socket(), DmaBufs::Taken(Arc::clone(device) as _));
    let viewer = Viewer::new(&desk, "FAKE-0");
    (fake, desk, viewer)
}

fn catch_up(fake: &Fake, viewer: &mut Viewer) {
    let px = fake.with(|state| state.px(0));
    viewer.until_it_shows(&px);
}

/// Draws some changes and demands that each arrives; returns how many of the pictures lay in dma-bufs, and how many there were.
fn follows(fake: &Fake, viewer: &mut Viewer) -> (u64, u64) {
    catch_up(fake, viewer);
    for i in 0..10u16 {
        fake.with(move |state| {
            state.paint(0, Rect::new(i * 30, i * 18, 20, 20), |x, y| u32::from(x * y) + u32::from(i))
        });
        catch_up(fake, viewer);
    }
    fake.with(|state| (state.drawn, state.pictures))
}

#[test]
fn pictures_are_drawn_into_dma_bufs_that_are_used_again() {
    for ext in [true, false] {
        let device = Device::new(&[TILED, Modifier::LINEAR], 3);
        let (fake, _desk, mut viewer) = open(ext, Manners::default(), &device);
        let (drawn, pictures) = follows(&fake, &mut viewer);
        assert!(drawn == pictures && drawn >= 11, "{drawn} of {pictures}");
        assert!(fake.with(|state| state.taken) <= 3);
        assert_eq!(viewer.source.staged_bytes(), 0);
    }
}

#[test]
fn memory_that_a_device_keeps_is_drawn_into_again_and_that_of_a_frame_is_not() {
    // of shared memory the same holds
    for modifiers in [vec![TILED.0], vec![]] {
        let manners = Manners { modifiers: modifiers.clone(), ..Manners::default() };
        let (fake, _desk, mut viewer) = open(true, manners, &Device::new(&[TILED, Modifier::LINEAR], 3));
        let mut next = |fake: &Fake, colour: u32| {
            fake.with(move |state| state.paint(0, SIZE.rect(), |_, _| colour));
            let end = Instant::now() + PATIENCE;
            loop {
                match viewer.source.take(Instant::now()) {
                    Some(SourceEvent::Frame(frame)) => return frame,
                    other => assert!(other.is_none() && Instant::now() < end, "{other:?}"),
                }
                viewer.bell.wait(Some(end));
            }
        };
        let shows = |frame: &Frame, colour: u32| {
            let mut pixel = [0];
            assert!(frame.memory.read(frame.pieces[0].offset, &mut pixel));
            assert_eq!(pixel[0] & 0xff_ffff, colour);
        };
        let held = next(&fake, 0x11_1111);
        assert_eq!(held.modifier, modifiers.first().map_or(Modifier::LINEAR, |_| TILED));
        let mut kept = Vec::new();
        for i in 0..8 {
            let frame = next(&fake, i);
            shows(&frame, i);
            kept.push(match &frame.memory {
                Memory::DmaBuf(buffer) => Memory::DmaBuf(Arc::clone(buffer)),
                Memory::Shared(shared) => Memory::Shared(Arc::clone(shared)),
                Memory::Heap(_) => panic!("a copy"),
            });
        }
        shows(&held, 0x11_1111);
        assert!(fake.with(|state| state.taken) <= 3);
    }
}

#[test]
fn another_size_has_other_dma_bufs() {
    for ext in [true, false] {
        let device = Device::new(&[Modifier::LINEAR], 100);
        let (fake, _desk, mut viewer) = open(ext, Manners::default(), &device);
        catch_up(&fake, &mut viewer);
        for (w, h, colour) in [(100, 300, 0xff_0000), (640, 480, 0x00_ff00), (1, 1, 0x12_3456)] {
            fake.with(move |state| state.resize(0, Size::new(w, h), colour));
            viewer.until("the new size", |me| me.size == Size::new(w, h));
            catch_up(&fake, &mut viewer);
        }
        let (drawn, pictures) = fake.with(|state| (state.drawn, state.pictures));
        assert_eq!(drawn, pictures);
    }
}

#[test]
fn what_nobody_could_read_comes_again_through_shared_memory() {
    for ext in [true, false] {
        let (fake, _desk, mut viewer) = open(ext, Manners::default(), &Device::new(&[Modifier::LINEAR], 100));
        catch_up(&fake, &mut viewer);
        let drawn = fake.with(|state| state.drawn);
        // it is lost for the viewer, and nothing changes any more
        viewer.px.fill(0xdead_beef);
        viewer.source.unreadable();
        catch_up(&fake, &mut viewer);
        assert_eq!(follows(&fake, &mut viewer).0, drawn);
    }
}

#[test]
fn a_device_without_memory_leaves_pictures_to_shared_memory() {
    for ext in [true, false] {
        let device = Device::new(&[Modifier::LINEAR], 0);
        let (fake, _desk, mut viewer) = open(ext, Manners::default(), &device);
        assert_eq!(follows(&fake, &mut viewer).0, 0);
        // a viewer that comes later may find it better off
        viewer.source.stop();
        device.room.store(3, Ordering::Relaxed);
        viewer.source.start(Arc::clone(&viewer.bell)).expect("starts again");
        // what `follows` paints is there already: only a viewer that lost it waits for pictures
        viewer.px.fill(0xdead_beef);
        assert!(follows(&fake, &mut viewer).0 > 0);
    }
}

#[test]
fn forms_that_nobody_knows_leave_pictures_to_shared_memory() {
    // the second says that it is no modifier
    for modifiers in [vec![0x0300_0000_0000_0001], vec![0x00ff_ffff_ffff_ffff], vec![]] {
        for ext in [true, false] {
            let manners = Manners { modifiers: modifiers.clone(), ..Manners::default() };
            let (fake, _desk, mut viewer) = open(ext, manners, &Device::new(&[TILED, Modifier::LINEAR], 100));
            assert_eq!(follows(&fake, &mut viewer).0, 0);
            assert_eq!(fake.with(|state| state.taken), 0);
        }
    }
}

#[test]
fn a_compositor_that_refuses_buffers_or_spoils_pictures_gets_shared_memory() {
    let honest = Manners::default;
    let manners = [
        Manners { refuses: true, ..honest() },
        Manners { spoils: Some(FailureReason::BufferConstraints), ..honest() },
        Manners { spoils: Some(FailureReason::Unknown), ..honest() },
        // no answer is one after a while
        Manners { mute: true, ..honest() },
    ];
    let threads =
        manners.into_iter().flat_map(|manners| [(true, manners.clone()), (false, manners)]).map(|(ext, manners)| {
            std::thread::spawn(move || {
                let (fake, _desk, mut viewer) = open(ext, manners.clone(), &Device::new(&[Modifier::LINEAR], 100));
                assert_eq!(follows(&fake, &mut viewer).0, 0, "{manners:?}");
                assert_eq!(viewer.lost, None);
            })
        });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().expect("no panic");
    }
}

#[test]
fn pictures_that_stand_on_their_heads_or_are_turned_come_through_shared_memory() {
    for ext in [true, false] {
        let manners = Manners { inverted: !ext, transform: 2 * u32::from(ext), ..Manners::default() };
        let (fake, _desk, mut viewer) = open(ext, manners, &Device::new(&[Modifier::LINEAR], 100));
        let upright = |fake: &Fake| {
            let px = fake.with(|state| state.px(0));
            let rows = px.chunks(SIZE.w.into()).rev();
            let turned = rows.flat_map(|row| row.iter().copied().rev());
            if ext { turned.collect() } else { px }
        };
        for i in 0..5u16 {
            fake.with(move |state| state.paint(0, Rect::new(i * 30, 7, 9, 9), |x, y| u32::from(x * y)));
            viewer.until_it_shows(&upright(&fake));
        }
        assert_eq!(fake.with(|state| state.drawn), 1, "how they lie is told with the first");
        assert!(viewer.source.staged_bytes() > 0);
    }
}
