//! The damage stage on a GPU and on the processor, side by side: each step of a picture's way, then whole frames through both engines.
//!
//! `cargo bench -p farpane-benches --bench gpu`; `-- 4k` or `-- moves` picks. A group's name ends with the device, a program that plays one
//! is called software there, and of the largest pictures it is given those with 5 % changed. What changes are whole cells, spread over the
//! picture.
//!
//! ```text
//! group     gpu                                                              cpu
//! upload    the processor puts the picture where the GPU reads it; wall      a plain copy of as many bytes; wall
//! compare   tile_diff from the device's memory; the GPU's own clock          its twin, one core; wall
//! compact   compact; the GPU's own clock                                     its twin, one core; wall
//! readback  the processor copies the cells that came back; wall              a plain copy of as many bytes; wall
//! frame     a whole frame, submitted, waited for and in the mirror; wall     the same, all cores
//! answer    of that what comes after the wait, on the processor; wall
//! moves     a frame in which a window of a quarter of the picture is scrolled, dragged, or another (`in_vain`), `gpu_answer` as above
//! ```
//!
//! Before anything is timed: device and twins give the same places and pixels for each share of changed cells, and both engines the same
//! damage and the new picture.

use std::hint::black_box;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use farpane_benches::{Content, frame, mirror, with_window};
use farpane_engine::damage::{CpuDamage, Damage, DamageEngine, GpuDamage, Mirror, Progress, Takes};
use farpane_engine::geometry::{Rect, Size};
use farpane_engine::gpu::{Answer, Choice, Gpu, GpuPicture, GpuTimes, Kind, Ring, Rounds, whole};
use farpane_engine::kernel::CpuLevel;
use farpane_engine::kernel::compact::pack;
use farpane_engine::kernel::palette_count::count_cells;
use farpane_engine::kernel::tile_diff::diff_cells;
use farpane_engine::pixel::Layout;
use farpane_engine::tile::Grid;
use farpane_shaders::{FEW, Job, Picture, Place, Record};

const SIZES: [(&str, Size); 3] =
    [("1080p", Size::new(1920, 1080)), ("4k", Size::new(3840, 2160)), ("three_4k", Size::new(11_520, 2160))];
/// How many of a hundred cells change.
const CHANGES: &[u32] = &[0, 1, 5, 25, 100];
const MASK: u32 = 0x00ff_ffff;
/// A device that takes longer than this for one picture has stopped.
const PATIENCE: Duration = Duration::from_secs(60);
/// A device that is not done after this is asked again: for a slow one nobody rings.
const AGAIN: Duration = Duration::from_millis(50);

/// The device, and what its groups are called.
struct Host {
    gpu: Option<Arc<Gpu>>,
    name: String,
}

impl Host {
    fn open() -> Self {
        match Gpu::open(Choice::Any) {
            Ok(gpu) => {
                let adapter = gpu.adapter();
                let kind = if adapter.kind == Kind::Software { "software" } else { "hardware" };
                let name = format!("{}, {kind}", adapter.name.replace('/', " "));
                if adapter.kind == Kind::Software {
                    println!("{adapter}: a program that plays a GPU; its times say nothing about graphics hardware");
                }
                Self { gpu: Some(gpu), name }
            }
            Err(error) => {
                println!("no GPU, the processor alone: {error}");
                Self { gpu: None, name: "no GPU".into() }
            }
        }
    }

    /// The shares that are measured: a program takes minutes for the largest pictures, and they say nothing.
    fn changes(&self, size: Size) -> &'static [u32] {
        let software = self.gpu.as_ref().is_some_and(|gpu| gpu.adapter().kind == Kind::Software);
        if software && size.w > 3840 { &[5] } else { CHANGES }
    }

    fn group<'a>(&self, c: &'a mut Criterion, step: &str, label: &str, px: u64) -> BenchmarkGroup<'a, WallTime> {
        let mut group = c.benchmark_group(format!("{step}/{label}/{}", self.name));
        group.throughput(Throughput::Elements(px)).sample_size(10).measurement_time(Duration::from_secs(1));
        group.warm_up_time(Duration::from_millis(300));
        group
    }
}

/// Tells a waiting thread.
fn bell() -> (Ring, mpsc::Receiver<()>) {
    let (tell, told) = mpsc::channel();
    let ring = move || {
        let _ = tell.send(());
    };
    (Arc::new(ring), told)
}

// ---- steps ----

/// A picture in which some cells change to and fro, and what the twins need.
struct Steps {
    shape: Picture,
    jobs: Vec<Job>,
    fresh: [Vec<u32>; 2],
    resident: Vec<u32>,
    records: Vec<Record>,
    counts: Vec<u32>,
    colours: Vec<u32>,
}

impl Steps {
    fn new(size: Size, percent: u32) -> Self {
        let jobs = whole(size);
        let grid = Grid::new(size);
        let (width, height) = (usize::from(size.w), u32::from(size.h));
        let shape = Picture {
            width: width as u32,
            height,
            cols: grid.cols().into(),
            mask: MASK,
            jobs: jobs.len() as u32,
            texel: 0,
        };
        let fresh = [1, 2].map(|value| {
            let mut pixels = vec![0; size.area() as usize];
            for (_, job) in (0..).zip(&jobs).filter(|(i, _)| (i * percent) % 100 < percent) {
                let [_, _, w, h] = job.clip.to_le_bytes().map(usize::from);
                // of many colours, like a photograph: what costs most to bring back
                for y in 0..h {
                    let row = job.base + (y * width) as u32;
                    let noise = |x: u32| ((row + x) * 2 + value).wrapping_mul(2_654_435_761) & MASK;
                    (0u32..).zip(&mut pixels[row as usize..][..w]).for_each(|(x, pixel)| *pixel = noise(x));
                }
            }
            pixels
        });
        let (counts, colours) = (vec![0; grid.len()], vec![0; FEW as usize * grid.len()]);
        let records = vec![Record::default(); grid.len()];
        Self { shape, jobs, resident: fresh[0].clone(), fresh, records, counts, colours }
    }

    /// Brings the resident picture to one of the two.
    fn diff(&mut self, turn: usize) {
        let Self { shape, jobs, fresh, resident, records, .. } = self;
        records.fill(Record::default());
        diff_cells(CpuLevel::current(), shape, jobs, &fresh[turn], resident, records);
    }

    /// What the twins make of the change, after which the picture is the second one.
    fn packed(&mut self) -> (Vec<Place>, Vec<u32>) {
        let (mut places, mut tiles) = (Vec::new(), Vec::new());
        self.diff(1);
        self.pack(&mut places, &mut tiles);
        (places, tiles)
    }

    /// Counts the colours of what changed and packs it.
    fn pack(&mut self, places: &mut Vec<Place>, tiles: &mut Vec<u32>) {
        let Self { shape, resident, records, counts, colours, .. } = self;
        count_cells(shape, records, resident, counts, colours);
        pack(shape, records, (counts, colours), resident, places, tiles);
    }

    /// Demands that a device makes the same of it.
    fn verify(&self, gpu: &Gpu, size: Size, want: &(Vec<Place>, Vec<u32>)) {
        let device = gpu.device(Instant::now()).expect("a device");
        let mut picture = GpuPicture::new(device, size, MASK).expect("room");
        picture.set(&self.fresh[0]);
        let mut upload = picture.begin().expect("memory");
        upload.write(0, &self.fresh[1]);
        let (ring, told) = bell();
        picture.submit(upload, &self.jobs, &ring);
        let (mut same, end) = (false, Instant::now() + PATIENCE);
        let answer = loop {
            let _ = told.recv_timeout(AGAIN);
            let answer = picture.poll(|cells| same = cells.places() == want.0 && cells.words() == want.1);
            if answer != Answer::Pending || Instant::now() > end {
                break answer;
            }
        };
        assert!(same && matches!(answer, Answer::Done { .. }), "the device and its twins differ");
    }
}

/// Times one step on the device, of each round taken.
fn on_device(
    group: &mut BenchmarkGroup<'_, WallTime>,
    rounds: &mut Option<Rounds>,
    percent: u32,
    step: fn(&GpuTimes) -> Duration,
) {
    let Some(rounds) = rounds else { return };
    group.bench_function(BenchmarkId::new("gpu", percent), |bencher| {
        bencher.iter_custom(|count| (0..count).map(|_| step(&rounds.take(percent).expect("the device"))).sum());
    });
}

fn steps(c: &mut Criterion, host: &Host, label: &str, size: Size) {
    let mut rounds = host.gpu.as_ref().and_then(|gpu| match Rounds::new(gpu, size) {
        Ok(mut rounds) => {
            // this one compiles
            rounds.take(100).expect("the device");
            Some(rounds)
        }
        Err(error) => {
            println!("{label}: the processor alone: {error}");
            None
        }
    });
    for &percent in host.changes(size) {
        let mut steps = Steps::new(size, percent);
        let packed = steps.packed();
        if let (Some(gpu), Some(_)) = (&host.gpu, &rounds) {
            steps.verify(gpu, size, &packed);
        }
        let (mut places, tiles) = packed;
        let mut copy = tiles.clone();
        let mut turn = 1;
        if percent == host.changes(size)[0] {
            // whatever changes, all of it is put there
            let mut group = host.group(c, "upload", label, size.area());
            on_device(&mut group, &mut rounds, percent, |times| times.upload);
            group.bench_function(BenchmarkId::new("cpu", percent), |bencher| {
                bencher.iter(|| black_box(&mut steps.resident).copy_from_slice(black_box(&steps.fresh[1])));
            });
        }
        {
            let mut group = host.group(c, "compare", label, size.area());
            on_device(&mut group, &mut rounds, percent, |times| times.compare);
            group.bench_function(BenchmarkId::new("cpu", percent), |bencher| {
                bencher.iter(|| {
                    turn = 1 - turn;
                    steps.diff(turn);
                });
            });
        }
        {
            let mut group = host.group(c, "compact", label, size.area());
            on_device(&mut group, &mut rounds, percent, |times| times.compact);
            group.bench_function(BenchmarkId::new("cpu", percent), |bencher| {
                bencher.iter(|| black_box(&mut steps).pack(&mut places, &mut copy));
            });
        }
        if percent > 0 {
            let mut group = host.group(c, "readback", label, tiles.len() as u64);
            on_device(&mut group, &mut rounds, percent, |times| times.read);
            group.bench_function(BenchmarkId::new("cpu", percent), |bencher| {
                bencher.iter(|| black_box(&mut copy).copy_from_slice(black_box(&tiles)));
            });
        }
    }
}

// ---- frames ----

/// An engine with its mirror, whose clock stands still so that no device takes too long.
struct Desk<E> {
    engine: E,
    mirror: Mirror,
    now: Instant,
    told: mpsc::Receiver<()>,
}

impl<E: DamageEngine> Desk<E> {
    fn new(mut engine: E, size: Size, scroll: bool) -> Self {
        let (ring, told) = bell();
        engine.set_ring(ring);
        engine.set_scroll(scroll);
        let now = Instant::now();
        Self { engine, mirror: Mirror::new(size, Layout::BGRX, now), now, told }
    }

    /// Takes a picture in; also says how long that took after the wait.
    fn feed(&mut self, size: Size, picture: &Arc<[u32]>) -> (Damage, Duration) {
        let ticket = self.engine.submit(frame(size, picture), &self.mirror, self.now);
        let end = Instant::now() + PATIENCE;
        loop {
            let began = Instant::now();
            match self.engine.poll(ticket, &self.mirror, self.now) {
                Progress::Done(damage) => return (damage, began.elapsed()),
                Progress::Pending => {
                    assert!(began < end, "no answer");
                    let _ = self.told.recv_timeout(AGAIN);
                }
                Progress::Failed(frame) => panic!("failed: {frame:?}"),
            }
        }
    }
}

/// Pictures that take turns.
struct Turns<'a> {
    size: Size,
    pictures: [&'a Arc<[u32]>; 2],
    scroll: bool,
}

impl Turns<'_> {
    /// A desk that shows the first picture.
    fn desk<E: DamageEngine>(&self, engine: E) -> Desk<E> {
        let mut desk = Desk::new(engine, self.size, self.scroll);
        desk.feed(self.size, self.pictures[0]);
        desk
    }

    /// Times frames; `after` picks what of each.
    fn time<E: DamageEngine>(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        id: BenchmarkId,
        desk: &mut Desk<E>,
        after: bool,
    ) {
        let mut turn = 0;
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|count| {
                let mut took = Duration::ZERO;
                for _ in 0..count {
                    turn = 1 - turn;
                    let began = Instant::now();
                    let (damage, answer) = desk.feed(self.size, self.pictures[turn]);
                    took += if after { answer } else { began.elapsed() };
                    desk.engine.recycle(black_box(damage));
                }
                took
            });
        });
        // the next starts with the first picture again
        if turn == 1 {
            desk.feed(self.size, self.pictures[0]);
        }
    }

    /// Both engines' desks, once both have given the same damage and pictures to and fro.
    fn verified(&self, host: &Host, check: impl Fn(&Damage)) -> (Desk<CpuDamage>, Option<Desk<GpuDamage>>) {
        let mut cpu = self.desk(CpuDamage::new());
        let mut gpu = host.gpu.as_ref().map(|gpu| self.desk(GpuDamage::new(Arc::clone(gpu), Takes::All)));
        for picture in [self.pictures[1], self.pictures[0]] {
            let (want, _) = cpu.feed(self.size, picture);
            check(&want);
            assert!(cpu.mirror.read().pixels[..] == picture[..]);
            if let Some(gpu) = &mut gpu {
                let (damage, _) = gpu.feed(self.size, picture);
                assert_eq!(damage, want, "the device and the processor differ");
                assert!(gpu.mirror.read().pixels[..] == picture[..]);
                assert_eq!(gpu.engine.stats().gpu.cpu_frames, 0);
            }
        }
        (cpu, gpu)
    }
}

fn frames(c: &mut Criterion, host: &Host, label: &str, size: Size) {
    for &percent in host.changes(size) {
        let pictures = Steps::new(size, percent).fresh.map(Arc::<[u32]>::from);
        let turns = Turns { size, pictures: [&pictures[0], &pictures[1]], scroll: false };
        let (mut cpu, mut gpu) = turns.verified(host, |damage| assert_eq!(damage.changed.is_empty(), percent == 0));
        let mut group = host.group(c, "frame", label, size.area());
        if let Some(gpu) = &mut gpu {
            turns.time(&mut group, BenchmarkId::new("gpu", percent), gpu, false);
        }
        turns.time(&mut group, BenchmarkId::new("cpu", percent), &mut cpu, false);
        drop(group);
        if let Some(gpu) = &mut gpu {
            let mut group = host.group(c, "answer", label, size.area());
            turns.time(&mut group, BenchmarkId::new("gpu", percent), gpu, true);
        }
    }
}

fn moves(c: &mut Criterion, host: &Host, label: &str, size: Size) {
    let ground = mirror(size, Content::Photo).read().pixels.clone();
    let window = Rect::new(size.w / 4, size.h / 4, size.w / 2, size.h / 2);
    let picture = |at: &Rect, scrolled| Arc::<[u32]>::from(with_window(size, &ground, at, Content::Text, scrolled));
    let before = picture(&window, 0);
    let other = Arc::<[u32]>::from(with_window(size, &ground, &window, Content::Noise, 0));
    let large = |damage: &Damage| {
        let moved = damage.copied.iter().map(|copy| copy.to.area()).max();
        assert!(moved.is_some_and(|px| px > window.area() * 9 / 10), "{:?}", damage.copied);
    };
    let none = |damage: &Damage| assert!(damage.copied.is_empty(), "{:?}", damage.copied);
    type Check<'a> = &'a dyn Fn(&Damage);
    let cases: [(&str, Arc<[u32]>, Check<'_>); 3] = [
        ("scrolled", picture(&window, 42), &large),
        ("dragged", picture(&window.translate(17, 9), 0), &large),
        // of many such frames in a row only some are searched
        ("in_vain", other, &none),
    ];
    for (name, after, check) in cases {
        let turns = Turns { size, pictures: [&before, &after], scroll: true };
        let (mut cpu, mut gpu) = turns.verified(host, check);
        let mut group = host.group(c, "moves", label, window.area());
        if let Some(gpu) = &mut gpu {
            turns.time(&mut group, BenchmarkId::new("gpu", name), gpu, false);
            turns.time(&mut group, BenchmarkId::new("gpu_answer", name), gpu, true);
        }
        turns.time(&mut group, BenchmarkId::new("cpu", name), &mut cpu, false);
    }
}

fn all(c: &mut Criterion) {
    let host = Host::open();
    for (label, size) in SIZES {
        steps(c, &host, label, size);
        frames(c, &host, label, size);
        moves(c, &host, label, size);
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
