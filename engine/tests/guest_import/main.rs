//! dma-bufs read by a device where they lie: as buffers and as images, once their fences have signalled, in the guest (`tests/guest`).
#![cfg(feature = "gpu")]

#[path = "../gpu_twin/desk.rs"]
mod desk;
#[path = "../guest_support/mod.rs"]
mod guest_support;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use desk::{Desk, Noise, frame, gpu, own_gpu};
use farpane_engine::damage::{DamageEngine, Mirror, Progress};
use farpane_engine::frame::{DmaBuf, Frame, Hint, Memory, Piece, Plane};
use farpane_engine::geometry::{Rect, Region, Size};
use farpane_engine::pixel::{Fourcc, Modifier};
use guest_support::{Access, Mapped, Timeline, accessed, add_fence, heap, in_guest, udmabuf};

const MASK: u32 = 0x00ff_ffff;
/// Rows that are longer than a picture's: what devices ask for.
const STRIDE: usize = 1024;

/// A dma-buf in which a picture of 200x150 lies from some byte on, and a mapping that draws into it.
struct Screen {
    buffer: Arc<DmaBuf>,
    fd: OwnedFd,
    mapped: Mapped,
    offset: usize,
}

const SIZE: Size = Size::new(200, 150);

impl Screen {
    fn new(fd: OwnedFd, offset: usize) -> Self {
        let plane = Plane { offset: offset as u64, stride: STRIDE as u64 };
        let buffer = DmaBuf::new(fd.try_clone().expect("a descriptor"), vec![plane]).expect("a dma-buf");
        Self { buffer: Arc::new(buffer), mapped: Mapped::new(&fd), fd, offset }
    }

    fn room(offset: usize) -> usize {
        offset + STRIDE * usize::from(SIZE.h)
    }

    /// As a device would: nothing of it passes through the engine.
    fn draw(&self, picture: &[u32], fourcc: Fourcc) {
        // what no channel has is noise
        let junk = 0xa5a5_a5a5 & !fourcc.layout().expect("of 32 bits").mask();
        accessed(&self.fd, Access::Write, || {
            for (y, row) in picture.chunks_exact(SIZE.w.into()).enumerate() {
                let bytes: Vec<u8> = row.iter().flat_map(|pixel| (pixel | junk).to_le_bytes()).collect();
                self.mapped.write(self.offset + y * STRIDE, &bytes);
            }
        });
    }

    fn frame(&self) -> Frame {
        let piece = Piece { rect: SIZE.rect(), offset: self.offset, stride: STRIDE };
        let mut frame = frame(SIZE, vec![piece], Vec::new(), Hint::Everything);
        frame.memory = Memory::DmaBuf(Arc::clone(&self.buffer));
        frame
    }
}

fn noise(noise: &mut Noise) -> Vec<u32> {
    (0..SIZE.area()).map(|_| noise.next() & MASK).collect()
}

/// Draws some pictures and demands that the mirror follows, by the device alone and without a copy of the processor's.
fn follows(screens: &[Screen], fourcc: Fourcc) {
    let gpu = gpu().expect("a device");
    let layout = fourcc.layout().expect("of 32 bits");
    let mut desk = Desk::new(gpu, SIZE);
    desk.mirror = Mirror::new(SIZE, layout, desk.now);
    let mut rng = Noise(5);
    let mut shown = vec![0; SIZE.area() as usize];
    for round in 0..6 {
        let screen = &screens[round % screens.len()];
        let new: Vec<u32> = match round {
            0 => (0..SIZE.area()).map(|_| rng.next() & layout.mask()).collect(),
            // the same again
            1 => shown.clone(),
            _ => shown.iter().map(|p| if rng.below(400) == 0 { p ^ 4 } else { *p }).collect(),
        };
        screen.draw(&new, fourcc);
        let mut given = screen.frame();
        given.fourcc = fourcc;
        if round == 5 {
            // what is not in the hint is not looked at
            given.hint = Hint::Only(Region::from(Rect::new(10, 20, 90, 70)));
        }
        let want: Vec<u32> = (0..new.len())
            .map(|at| {
                let (x, y) = (at % 200, at / 200);
                let looked_at = round != 5 || ((10..100).contains(&x) && (20..90).contains(&y));
                if looked_at { new[at] } else { shown[at] }
            })
            .collect();
        let damage = desk.feed(given);
        desk.assert_shows(&want, &shown, &damage);
        assert_eq!(damage.changed.is_empty(), want == shown);
        shown = want;
    }
    let stats = desk.engine.stats().gpu;
    assert_eq!((stats.imported, stats.frames, stats.cpu_frames), (6, 6, 0));
    assert_eq!(stats.upload_bytes, SIZE.area() * 4, "the mirror's first picture alone");
    assert_eq!(stats.read_bytes, 6 * 16 + stats.cells * (24 + 16384));
}

#[test]
fn the_device_takes_what_a_driver_hands_out() {
    if !in_guest() {
        return;
    }
    let device = gpu().and_then(|gpu| gpu.device(std::time::Instant::now())).expect("a device");
    println!("reads where it lies: {}", device.adapter().paths);
    assert_eq!(device.adapter().paths.to_string(), "shared memory, dma-bufs, dma-bufs with modifiers, fences");
    assert_eq!(device.modifiers(Fourcc::XRGB8888), [Modifier::LINEAR]);
    assert_eq!(device.modifiers(Fourcc(u32::from_le_bytes(*b"NV12"))), []);
}

#[test]
fn rows_are_read_as_a_buffer() {
    if !in_guest() {
        return;
    }
    for offset in [0, 4096, 148] {
        follows(&[Screen::new(udmabuf(&vec![0; Screen::room(offset)]), offset)], Fourcc::XRGB8888);
        let two = [0, 1].map(|_| Screen::new(heap(Screen::room(offset)), offset));
        follows(&two, Fourcc::XRGB8888);
    }
    follows(&[Screen::new(heap(Screen::room(0)), 0)], Fourcc::XBGR2101010);
}

/// More bytes than this device binds as a buffer: a picture in there is an image.
const LARGE: usize = (128 << 20) + 4096;

#[test]
fn pictures_are_read_as_images_in_every_format() {
    if !in_guest() {
        return;
    }
    let formats = [Fourcc::XRGB8888, Fourcc::ABGR8888, Fourcc::XRGB2101010, Fourcc::XBGR2101010];
    let screens = [Screen::new(heap(LARGE), 0)];
    for fourcc in formats {
        let device = gpu().and_then(|gpu| gpu.device(std::time::Instant::now())).expect("a device");
        assert_eq!(device.modifiers(fourcc), [Modifier::LINEAR], "{fourcc:?}");
        follows(&screens, fourcc);
    }
    drop(screens);
    // a plane that does not begin with the buffer
    follows(&[Screen::new(heap(LARGE), 8192)], Fourcc::XRGB8888);
}

#[test]
fn nothing_is_read_before_the_fence_has_signalled_and_nothing_is_given_back() {
    if !in_guest() {
        return;
    }
    for explicit in [false, true] {
        let mut desk = Desk::new(gpu().expect("a device"), SIZE);
        let screen = Screen::new(heap(Screen::room(0)), 0);
        let mut rng = Noise(8);
        let (first, second) = (noise(&mut rng), noise(&mut rng));
        screen.draw(&first, Fourcc::XRGB8888);
        desk.feed(screen.frame());
        let time = Timeline::new();
        let fence = time.fence(1);
        let mut given = screen.frame();
        if explicit {
            given.acquire = Some(fence);
        } else {
            add_fence(&screen.fd, &fence, Access::Write);
        }
        let returned = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&returned);
        given.release = Some(Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        let ticket = desk.submit(given);
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(5));
            let progress = desk.engine.poll(ticket, &desk.mirror, desk.now);
            assert!(matches!(progress, Progress::Pending), "the picture is still being drawn");
        }
        assert_eq!(returned.load(Ordering::Relaxed), 0);
        // what is drawn until the fence signals counts; the processor's access would wait for it
        for (y, row) in second.chunks_exact(SIZE.w.into()).enumerate() {
            let bytes: Vec<u8> = row.iter().flat_map(|pixel| pixel.to_le_bytes()).collect();
            screen.mapped.write(y * STRIDE, &bytes);
        }
        time.advance(1);
        let damage = desk.done(ticket);
        desk.assert_shows(&second, &first, &damage);
        assert_eq!(returned.load(Ordering::Relaxed), 1);
        assert_eq!(desk.counted(), (2, 0), "explicit {explicit}");
    }
}

#[test]
fn a_fence_that_never_signals_costs_the_device_and_no_picture() {
    if !in_guest() {
        return;
    }
    let gpu = own_gpu().expect("a device");
    let mut desk = Desk::new(&gpu, SIZE);
    let screen = Screen::new(heap(Screen::room(0)), 0);
    let picture = noise(&mut Noise(2));
    screen.draw(&picture, Fourcc::XRGB8888);
    let time = Timeline::new();
    let mut given = screen.frame();
    given.acquire = Some(time.fence(1));
    let ticket = desk.submit(given);
    desk.now += Duration::from_secs(1);
    assert!(matches!(desk.engine.poll(ticket, &desk.mirror, desk.now), Progress::Pending));
    assert_eq!(gpu.device(desk.now).map(|_| ()), None, "given up");
    time.advance(1);
    let damage = desk.done(ticket);
    desk.assert_shows(&picture, &[0; 30_000], &damage);
    assert_eq!(desk.counted(), (0, 1));
}

#[test]
fn a_lost_device_leaves_dma_bufs_to_the_processor() {
    if !in_guest() {
        return;
    }
    let gpu = own_gpu().expect("a device");
    let mut desk = Desk::new(&gpu, SIZE);
    let screen = Screen::new(heap(Screen::room(0)), 0);
    let mut rng = Noise(3);
    let pictures = [noise(&mut rng), noise(&mut rng), noise(&mut rng)];
    screen.draw(&pictures[0], Fourcc::XRGB8888);
    desk.feed(screen.frame());
    screen.draw(&pictures[1], Fourcc::XRGB8888);
    // the device cannot be done before it is lost
    let time = Timeline::new();
    let mut given = screen.frame();
    given.acquire = Some(time.fence(1));
    let ticket = desk.submit(given);
    gpu.device(desk.now).expect("a device").give_up();
    time.advance(1);
    let damage = desk.done(ticket);
    desk.assert_shows(&pictures[1], &pictures[0], &damage);
    screen.draw(&pictures[2], Fourcc::XRGB8888);
    let damage = desk.feed(screen.frame());
    desk.assert_shows(&pictures[2], &pictures[1], &damage);
    assert_eq!(desk.counted(), (1, 2));
}

#[test]
fn dma_bufs_that_lie_are_refused_and_the_next_is_taken() {
    if !in_guest() {
        return;
    }
    let mut desk = Desk::new(gpu().expect("a device"), SIZE);
    let screen = Screen::new(heap(Screen::room(0)), 0);
    let picture = noise(&mut Noise(6));
    screen.draw(&picture, Fourcc::XRGB8888);
    type Lie = (&'static str, fn(&mut Frame));
    let lies: [Lie; 7] = [
        ("a modifier of somebody else's", |f| f.modifier = Modifier(0x0100_0000_0000_0001)),
        ("no modifier at all", |f| f.modifier = Modifier(0x00ff_ffff_ffff_ffff)),
        ("rows that overlap", |f| f.pieces[0].stride = 796),
        ("rows past the end", |f| f.pieces[0].stride = 4096),
        ("an offset past the end", |f| f.pieces[0].offset = 1 << 40),
        ("a picture of another size", |f| f.size = Size::new(201, 150)),
        ("a format that nobody knows", |f| f.fourcc = Fourcc(u32::from_le_bytes(*b"ZZ99"))),
    ];
    for (what, lie) in lies {
        let mut given = screen.frame();
        lie(&mut given);
        let ticket = desk.submit(given);
        let progress = desk.engine.poll(ticket, &desk.mirror, desk.now);
        assert!(matches!(progress, Progress::Failed(_)), "{what}: {progress:?}");
    }
    assert_eq!(desk.mirror.read().seq, 0, "nothing of it reached the mirror");
    let damage = desk.feed(screen.frame());
    desk.assert_shows(&picture, &[0; 30_000], &damage);
    assert!(!gpu().expect("a device").device(desk.now).expect("a device").is_lost());
}

#[test]
fn a_plane_that_lies_is_refused_with_the_driver_s_reason() {
    if !in_guest() {
        return;
    }
    let mut desk = Desk::new(gpu().expect("a device"), SIZE);
    // as an image, of which the last row would lie outside
    let fd = heap(LARGE);
    let plane = Plane { offset: (LARGE - 4096) as u64, stride: STRIDE as u64 };
    let buffer = Arc::new(DmaBuf::new(fd, vec![plane]).expect("a dma-buf"));
    let piece = Piece { rect: SIZE.rect(), offset: 0, stride: STRIDE };
    let mut given = frame(SIZE, vec![piece], Vec::new(), Hint::Everything);
    given.memory = Memory::DmaBuf(buffer);
    let damage = desk.feed(given);
    assert!(damage.changed.is_empty(), "the rows that the piece names are the processor's, and black");
    assert_eq!(desk.counted(), (0, 1));
}
