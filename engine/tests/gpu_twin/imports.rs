//! Frames that the device reads where their source put them: memory of the processor, which another process may map, too.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use farpane_engine::damage::DamageEngine;
use farpane_engine::frame::{Frame, Hint, Memory, Piece, SharedMemory};
use farpane_engine::geometry::{Point, Rect, Region, Size};

use super::desk::{Desk, Noise, frame, gpu, random_rect};

/// Memory that is written while frames show it.
struct Live(Vec<AtomicU32>);

impl Live {
    fn new(words: usize) -> Arc<Self> {
        Arc::new(Self((0..words).map(|_| AtomicU32::new(0xdead_beef)).collect()))
    }
}

impl SharedMemory for Live {
    fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr().cast()
    }

    fn len(&self) -> usize {
        self.0.len() * 4
    }
}

fn shared(size: Size, pieces: Vec<Piece>, memory: &Arc<Live>, hint: Hint) -> Frame {
    let mut frame = frame(size, pieces, Vec::new(), hint);
    frame.memory = Memory::Shared(Arc::clone(memory) as Arc<dyn SharedMemory>);
    frame
}

/// Whether the device reads the processor's memory where it lies; the software device of every Debian does.
fn takes_host_memory() -> bool {
    let paths = gpu().and_then(|gpu| gpu.device(std::time::Instant::now())).map(|device| device.adapter().paths);
    paths.is_some_and(|paths| {
        println!("reads where it lies: {paths}");
        paths.host
    })
}

#[test]
fn shared_memory_is_read_where_it_lies() {
    let Some(gpu) = gpu().filter(|_| takes_host_memory()) else { return };
    let mut noise = Noise(21);
    for (w, h) in [(1, 1), (130, 70), (333, 97), (640, 480)] {
        let size = Size::new(w, h);
        let mut desk = Desk::new(gpu, size);
        let mut shown = vec![0u32; size.area() as usize];
        // two buffers in turn, as sources have them
        let words = (usize::from(w) + 9) * usize::from(h) + 32;
        let buffers = [Live::new(words), Live::new(words)];
        for round in 0..12usize {
            let memory = &buffers[round % 2];
            let stride = usize::from(w) + noise.below(9);
            let start = noise.below(32);
            let mut new = shown.clone();
            for (at, pixel) in new.iter_mut().enumerate() {
                if noise.below(5) == 0 {
                    *pixel = noise.next() & 0xff_ffff;
                }
                let place = start + at / usize::from(w) * stride + at % usize::from(w);
                memory.0[place].store(*pixel | 0x5500_0000, Ordering::Relaxed);
            }
            // overlapping parts of one memory show the same
            let rects = if round % 3 == 0 {
                vec![size.rect()]
            } else {
                (0..3).map(|_| random_rect(size, &mut noise)).filter(|rect| !rect.is_empty()).collect()
            };
            let piece = |rect: &Rect| {
                let offset = 4 * (start + usize::from(rect.y) * stride + usize::from(rect.x));
                Piece { rect: *rect, offset, stride: 4 * stride }
            };
            let hint =
                if round % 4 == 1 { Hint::Only(Region::from(random_rect(size, &mut noise))) } else { Hint::Everything };
            let seen = |at: usize| {
                let point = Point::new((at % usize::from(w)) as u16, (at / usize::from(w)) as u16);
                let inside = rects.iter().any(|rect| Region::from(*rect).contains_point(point));
                inside && !matches!(&hint, Hint::Only(region) if !region.contains_point(point))
            };
            let want: Vec<u32> = (0..new.len()).map(|at| if seen(at) { new[at] } else { shown[at] }).collect();
            let given = shared(size, rects.iter().map(piece).collect(), memory, hint.clone());
            let damage = desk.feed(given);
            desk.assert_shows(&want, &shown, &damage);
            shown = want;
        }
        let stats = desk.engine.stats().gpu;
        assert_eq!((stats.imported, stats.cpu_frames), (stats.frames, 0), "all of them where they lay");
        assert_eq!(stats.upload_bytes, size.area() * 4, "but for the first picture of the mirror");
    }
}

#[test]
fn of_pieces_that_overlap_the_last_one_counts() {
    let Some(gpu) = gpu().filter(|_| takes_host_memory()) else { return };
    let size = Size::new(100, 100);
    let mut desk = Desk::new(gpu, size);
    let memory = Live::new(20_000);
    memory.0[..10_000].iter().for_each(|word| word.store(1, Ordering::Relaxed));
    memory.0[10_000..].iter().for_each(|word| word.store(2, Ordering::Relaxed));
    let over = Rect::new(30, 40, 50, 30);
    let pieces =
        vec![Piece { rect: size.rect(), offset: 0, stride: 400 }, Piece { rect: over, offset: 40_000, stride: 400 }];
    let damage = desk.feed(shared(size, pieces, &memory, Hint::Everything));
    let inside = |at: usize| Region::from(over).contains_point(Point::new((at % 100) as u16, (at / 100) as u16));
    let want: Vec<u32> = (0..10_000).map(|at| if inside(at) { 2 } else { 1 }).collect();
    desk.assert_shows(&want, &[0; 10_000], &damage);
    assert_eq!(desk.engine.stats().gpu.imported, 1);
}

#[test]
fn memory_is_let_go_once_its_source_has_no_more_use_for_it() {
    let Some(gpu) = gpu().filter(|_| takes_host_memory()) else { return };
    let size = Size::new(64, 64);
    let mut desk = Desk::new(gpu, size);
    let piece = Piece { rect: size.rect(), offset: 0, stride: 256 };
    let mut gone: Vec<Weak<Live>> = Vec::new();
    for round in 0..20u32 {
        let memory = Live::new(4096);
        memory.0.iter().for_each(|word| word.store(round, Ordering::Relaxed));
        desk.feed(shared(size, vec![piece], &memory, Hint::Everything));
        assert_eq!(desk.mirror.read().pixels, vec![round; 4096]);
        gone.push(Arc::downgrade(&memory));
    }
    let held = gone.iter().filter(|memory| memory.strong_count() > 0).count();
    assert!(held <= 3, "{held} of 20 pictures' memory is held");
}

#[test]
fn memory_is_let_go_when_capture_stops() {
    let Some(gpu) = gpu().filter(|_| takes_host_memory()) else { return };
    let size = Size::new(640, 480);
    let mut desk = Desk::new(gpu, size);
    let piece = Piece { rect: size.rect(), offset: 0, stride: 2560 };
    // nothing under way, then one picture of two, then both
    for busy in 0..3 {
        let memories = [Live::new(640 * 480), Live::new(640 * 480)];
        for (i, memory) in memories.iter().enumerate() {
            let ticket = desk.submit(shared(size, vec![piece], memory, Hint::Everything));
            if i >= busy {
                desk.done(ticket);
            }
        }
        assert_eq!(memories.each_ref().map(|memory| Arc::strong_count(memory) > 1), [true, true], "they are kept");
        desk.engine.abandon();
        assert_eq!(memories.each_ref().map(Arc::strong_count), [1, 1], "{busy} under way");
    }
    assert_eq!(desk.counted().1, 0);
}

#[test]
fn what_is_no_whole_words_goes_another_way() {
    let Some(gpu) = gpu().filter(|_| takes_host_memory()) else { return };
    let size = Size::new(64, 64);
    let mut desk = Desk::new(gpu, size);
    let memory = Live::new(5000);
    memory.0.iter().for_each(|word| word.store(0x0303_0303, Ordering::Relaxed));
    let piece = Piece { rect: size.rect(), offset: 1, stride: 256 };
    let damage = desk.feed(shared(size, vec![piece], &memory, Hint::Everything));
    desk.assert_shows(&[0x03_0303; 4096], &[0; 4096], &damage);
    assert_eq!(desk.counted(), (0, 1));
}
