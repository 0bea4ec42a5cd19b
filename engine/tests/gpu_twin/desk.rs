//! A damage engine on a GPU with its mirror, and what feeds it.
// each test program uses some of it
#![allow(dead_code)]

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use farpane_engine::damage::{Damage, DamageEngine, GpuDamage, Mirror, Progress, Takes, Ticket};
use farpane_engine::frame::{Frame, Hint, Memory, Piece};
use farpane_engine::geometry::{Point, Rect, Size};
use farpane_engine::gpu::{Choice, Gpu};
use farpane_engine::pixel::{Fourcc, Layout, Modifier};
use farpane_test_support::xvfb::skip;

/// The device of the tests that leave it as it is.
pub fn gpu() -> Option<&'static Arc<Gpu>> {
    static GPU: OnceLock<Option<Arc<Gpu>>> = OnceLock::new();
    GPU.get_or_init(own_gpu).as_ref()
}

/// A device of a test's own.
pub fn own_gpu() -> Option<Arc<Gpu>> {
    match Gpu::open(Choice::Any) {
        Ok(gpu) => {
            println!("on {}", gpu.adapter());
            Some(gpu)
        }
        Err(error) => {
            let required = std::env::var("FARPANE_REQUIRE_GPU").is_ok_and(|v| v == "1");
            assert!(!required, "{error}");
            skip(&error.to_string());
            None
        }
    }
}

/// A small generator, so that large pictures need no large input.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n.max(1)
    }
}

pub fn frame(size: Size, pieces: Vec<Piece>, memory: Vec<u32>, hint: Hint) -> Frame {
    Frame {
        size,
        fourcc: Fourcc::XRGB8888,
        modifier: Modifier::LINEAR,
        pieces,
        memory: Memory::Heap(memory.into()),
        hint,
        acquire: None,
        seq: 0,
        captured_at: Instant::now(),
        release: None,
    }
}

pub fn whole(size: Size, picture: &[u32]) -> Frame {
    let piece = Piece { rect: size.rect(), offset: 0, stride: usize::from(size.w) * 4 };
    frame(size, vec![piece], picture.to_vec(), Hint::Everything)
}

/// An engine with its mirror. Its clock stands still, so that nothing takes too long.
pub struct Desk {
    pub engine: GpuDamage,
    pub mirror: Mirror,
    pub now: Instant,
}

impl Desk {
    pub fn new(gpu: &Arc<Gpu>, size: Size) -> Self {
        let now = Instant::now();
        Self { engine: GpuDamage::new(Arc::clone(gpu), Takes::All), mirror: Mirror::new(size, Layout::BGRX, now), now }
    }

    pub fn submit(&mut self, frame: Frame) -> Ticket {
        self.engine.submit(frame, &self.mirror, self.now)
    }

    pub fn done(&mut self, ticket: Ticket) -> Damage {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            match self.engine.poll(ticket, &self.mirror, self.now) {
                Progress::Done(damage) => return damage,
                Progress::Pending => {
                    assert!(Instant::now() < end, "no answer");
                    std::thread::sleep(Duration::from_micros(200));
                }
                Progress::Failed(frame) => panic!("failed: {frame:?}"),
            }
        }
    }

    pub fn feed(&mut self, frame: Frame) -> Damage {
        let ticket = self.submit(frame);
        self.done(ticket)
    }

    pub fn counted(&self) -> (u64, u64) {
        let gpu = self.engine.stats().gpu;
        (gpu.frames, gpu.cpu_frames)
    }

    /// Demands that the mirror is a picture and that what differs from another is in the damage.
    pub fn assert_shows(&self, new: &[u32], old: &[u32], damage: &Damage) {
        let data = self.mirror.read();
        assert!(data.pixels == new, "the mirror follows");
        assert_eq!(damage.seq, data.seq);
        assert_covers(data.size(), new, old, damage);
    }
}

/// Demands that what differs between two pictures is in the damage.
pub fn assert_covers(size: Size, new: &[u32], old: &[u32], damage: &Damage) {
    let width = usize::from(size.w);
    for (i, _) in old.iter().zip(new).enumerate().filter(|(_, (o, n))| o != n) {
        let at = Point::new((i % width) as u16, (i / width) as u16);
        assert!(damage.changed.contains_point(at), "{at:?} differs and is not in {:?}", damage.changed);
    }
}

pub fn random_rect(size: Size, noise: &mut Noise) -> Rect {
    let (x, y) = (noise.below(size.w.into()), noise.below(size.h.into()));
    let (w, h) = (noise.below(usize::from(size.w) - x + 1), noise.below(usize::from(size.h) - y + 1));
    Rect::new(x as u16, y as u16, w as u16, h as u16)
}
