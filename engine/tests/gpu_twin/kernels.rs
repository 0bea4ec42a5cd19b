//! One body that runs the definition, every SIMD level and the GPU on the same inputs.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use farpane_engine::geometry::Size;
use farpane_engine::gpu::{Answer, Gpu, GpuError, GpuPicture, Ring, whole};
use farpane_engine::kernel::CpuLevel;
use farpane_engine::kernel::compact::pack;
use farpane_engine::kernel::palette_count::count_cells;
use farpane_engine::kernel::tile_diff::diff_cells;
use farpane_engine::tile::Grid;
use farpane_shaders::{Job, Picture, Place, Record};

use super::desk::{Noise, gpu};

const MASK: u32 = 0x00ff_ffff;

/// What the GPU makes of words: places and packed words.
fn on_gpu(picture: &mut GpuPicture, jobs: &[Job], fresh: &[u32]) -> (Vec<Place>, Vec<u32>) {
    answer(picture, |picture, ring| {
        let mut upload = picture.begin().expect("memory");
        upload.write(0, fresh);
        picture.submit(upload, jobs, ring);
    })
}

/// What comes of work that is handed over.
pub fn answer(picture: &mut GpuPicture, submit: impl FnOnce(&mut GpuPicture, &Ring)) -> (Vec<Place>, Vec<u32>) {
    let (tell, told) = channel();
    let ring: Ring = Arc::new(move || {
        let _ = tell.send(());
    });
    submit(picture, &ring);
    told.recv_timeout(Duration::from_secs(60)).expect("is told");
    let mut got = None;
    let answer = picture.poll(|packed| got = Some((packed.places().to_vec(), packed.words().to_vec())));
    let (places, tiles) = got.expect("is done once it was told");
    let bytes = 16 + 24 * places.len() + 4 * tiles.len();
    assert_eq!(answer, Answer::Done { bytes: bytes as u64 });
    (places, tiles)
}

/// Runs all on the same inputs, demands the same, and returns how many cells changed.
fn twins(gpu: &Gpu, size: Size, old: &[u32], jobs: &[Job], fresh: &[u32]) -> usize {
    let device = gpu.device(Instant::now()).expect("a device");
    let mut picture = GpuPicture::new(device, size, MASK).expect("room");
    picture.set(old);
    let (places, tiles) = on_gpu(&mut picture, jobs, fresh);
    let resident = assert_twin((size, MASK), old, jobs, fresh, &places, &tiles);
    // the resident pictures are the same, too
    let (again, _) = on_gpu(&mut picture, &whole(size), &resident);
    assert_eq!(again, [], "{size}");
    places.len()
}

/// Demands that the definition and every SIMD level make the same of it; returns the picture that there is then.
pub fn assert_twin(
    (size, mask): (Size, u32),
    old: &[u32],
    jobs: &[Job],
    fresh: &[u32],
    places: &[Place],
    tiles: &[u32],
) -> Vec<u32> {
    let grid = Grid::new(size);
    let (width, height, cols) = (size.w.into(), size.h.into(), grid.cols().into());
    let shape = Picture { width, height, cols, mask, jobs: jobs.len() as u32, texel: 0 };
    let mut shown = Vec::new();
    for level in CpuLevel::all() {
        let mut resident = old.to_vec();
        let mut records = vec![Record::default(); grid.len()];
        diff_cells(level, &shape, jobs, fresh, &mut resident, &mut records);
        let (mut counts, mut colours) = (vec![0; grid.len()], vec![0; 16 * grid.len()]);
        count_cells(&shape, &records, &resident, &mut counts, &mut colours);
        let (mut want_places, mut want_tiles) = (Vec::new(), Vec::new());
        pack(&shape, &records, (&counts, &colours), &resident, &mut want_places, &mut want_tiles);
        assert_eq!(places, want_places, "{level:?}, {size}");
        assert!(tiles == want_tiles, "{level:?}, {size}: pixels");
        shown = resident;
    }
    shown
}

fn noise(size: Size, noise: &mut Noise) -> Vec<u32> {
    (0..size.area()).map(|_| noise.next() & MASK).collect()
}

#[test]
fn tile_diff_and_compact_agree_on_nothing_and_on_everything() {
    let Some(gpu) = gpu() else { return };
    for (w, h) in [(1, 1), (64, 64), (65, 63), (63, 65), (1, 700), (200, 150), (1920, 1080), (3840, 2160), (8192, 70)] {
        let size = Size::new(w, h);
        let old = noise(size, &mut Noise(7));
        // what is above the mask counts for nothing
        let same: Vec<u32> = old.iter().map(|p| p | 0xaa00_0000).collect();
        assert_eq!(twins(gpu, size, &old, &whole(size), &same), 0);
        let other: Vec<u32> = old.iter().map(|p| p ^ 1).collect();
        assert_eq!(twins(gpu, size, &old, &whole(size), &other), Grid::new(size).len());
        assert_eq!(twins(gpu, size, &old, &[], &other), 0, "nothing was to be compared");
    }
}

#[test]
fn tile_diff_finds_one_pixel_wherever_it_is() {
    let Some(gpu) = gpu() else { return };
    let size = Size::new(130, 130);
    let old = vec![5; 130 * 130];
    let classes = [0, 1, 15, 16, 31, 47, 62, 63, 64, 65, 100, 127, 128, 129];
    let device = gpu.device(Instant::now()).expect("a device");
    let mut picture = GpuPicture::new(device, size, MASK).expect("room");
    let grid = Grid::new(size);
    for y in classes {
        for x in classes {
            picture.set(&old);
            let mut fresh = old.clone();
            fresh[y * 130 + x] = 6;
            let (places, tiles) = on_gpu(&mut picture, &whole(size), &fresh);
            let (col, row) = (x / 64, y / 64);
            let (left, top) = (x % 64, y % 64);
            let place = Place {
                cell: (row * 3 + col) as u32,
                squares: 1 << (top / 16 * 4 + left / 16),
                extent: u32::from_le_bytes([left, top, left + 1, top + 1].map(|v| v as u8)),
                count: 1,
                colours: 2,
                at: 0,
            };
            // the cell's first pixel has the first colour
            let cell = grid.rect(col as u16, row as u16);
            let (first, listed) = if (left, top) == (0, 0) { (true, [6, 5]) } else { (false, [5, 6]) };
            assert_eq!(places, [place], "at {x}, {y}");
            assert_eq!(tiles[..2], listed, "at {x}, {y}");
            let set = |i: usize| tiles[2 + i / 32] >> (i % 32) & 1 == 1;
            let inside = |i: usize| i % 64 < cell.w.into() && i / 64 < cell.h.into();
            let wrong = (0..4096).find(|i| set(*i) != (inside(*i) && (*i == top * 64 + left) != first));
            assert_eq!(wrong, None, "at {x}, {y}");
        }
    }
}

#[test]
fn tile_diff_keeps_to_its_jobs_whatever_their_rows_and_parts() {
    let Some(gpu) = gpu() else { return };
    let mut rng = Noise(99);
    for (w, h) in [(130, 70), (64, 64), (300, 200), (1000, 33)] {
        let size = Size::new(w, h);
        let grid = Grid::new(size);
        for round in 0..12 {
            let old = noise(size, &mut rng);
            let every = [1, 2, 50, 4000][round % 4];
            let fresh: Vec<u32> = old.iter().map(|p| if rng.below(every) == 0 { rng.next() } else { *p }).collect();
            // parts of some cells, several of one too, from any place of the new pixels and with any rows; none overlaps another
            let mut jobs = Vec::new();
            for cell in 0..grid.len() {
                let rect =
                    grid.rect((cell % usize::from(grid.cols())) as u16, (cell / usize::from(grid.cols())) as u16);
                let mut y = 0;
                while y < rect.h {
                    let rows = 1 + rng.below((rect.h - y).into()) as u16;
                    let x0 = rng.below(rect.w.into()) as u16;
                    let x1 = x0 + 1 + rng.below((rect.w - x0).into()) as u16;
                    let stride = u32::from(x1) + rng.below(9) as u32;
                    let last = u32::from(y + rows - 1) * stride + u32::from(x1);
                    let room = (size.area() as u32).checked_sub(last);
                    if let Some(room) = room.filter(|_| rng.below(3) > 0) {
                        let clip = u32::from_le_bytes([x0, y, x1, y + rows].map(|v| v as u8));
                        jobs.push(Job { cell: cell as u32, clip, base: rng.below(room as usize + 1) as u32, stride });
                    }
                    y += rows;
                }
            }
            twins(gpu, size, &old, &jobs, &fresh);
        }
    }
}

#[test]
fn palette_count_and_compact_agree_on_cells_of_every_number_of_colours() {
    let Some(gpu) = gpu() else { return };
    let mut rng = Noise(77);
    for (w, h) in [(64, 64), (130, 70), (500, 300)] {
        let size = Size::new(w, h);
        let old = vec![0; size.area() as usize];
        for colours in [1, 2, 3, 4, 15, 16, 17, 18, 300] {
            // at random, and the last colour in the last pixel alone
            let mut fresh: Vec<u32> = old.iter().map(|_| 0x10_0000 + rng.below(colours) as u32 * 77).collect();
            twins(gpu, size, &old, &whole(size), &fresh);
            fresh.fill(0x20_0000);
            (0..colours - 1).for_each(|i| fresh[i % usize::from(w)] = 0x30_0000 + i as u32);
            let last = fresh.len() - 1;
            fresh[last] = 0x40_0000;
            twins(gpu, size, &old, &whole(size), &fresh);
        }
        // cells of different kinds beside each other
        let cell = |at: usize| at % usize::from(w) / 64 + at / usize::from(w) / 64 * 9;
        let fresh: Vec<u32> = (0..old.len()).map(|at| 9 + rng.below([1, 2, 9, 500][cell(at) % 4]) as u32).collect();
        twins(gpu, size, &old, &whole(size), &fresh);
    }
}

#[test]
fn compact_lists_cells_in_their_order_among_many() {
    let Some(gpu) = gpu() else { return };
    // a group of invocations looks at 256 words of 32 cells in one step: the larger picture takes more
    for rows in [64, 70] {
        let size = Size::new(64 * 128, 64 * rows);
        let mut fresh = vec![0; size.area() as usize];
        let changed = [0usize, 1, 31, 32, 33, 4095, 8191, 8192, 8193, 8959];
        let changed: Vec<usize> = changed.into_iter().filter(|cell| *cell < 128 * usize::from(rows)).collect();
        for cell in &changed {
            fresh[(cell / 128 * 64 + 9) * 8192 + cell % 128 * 64 + 3] = 1;
        }
        let device = gpu.device(Instant::now()).expect("a device");
        match GpuPicture::new(device, size, MASK) {
            Ok(mut picture) => {
                let (places, _) = on_gpu(&mut picture, &whole(size), &fresh);
                assert_eq!(places.iter().map(|p| p.cell as usize).collect::<Vec<_>>(), changed);
            }
            // the least that Vulkan promises is what the smaller one takes
            Err(error) => {
                assert!(rows == 70, "{error}");
                println!("left out: {error}");
            }
        }
    }
}

#[test]
fn a_picture_that_the_device_has_no_room_for_is_refused_with_the_reason() {
    let Some(gpu) = gpu() else { return };
    let device = gpu.device(Instant::now()).expect("a device");
    let size = Size::new(u16::MAX, u16::MAX);
    let error =
        GpuPicture::new(device, size, MASK).err().expect("no device has room for sixteen gigabytes in one buffer");
    assert!(matches!(error, GpuError::Room(..)), "{error}");
    let text = error.to_string();
    assert!(text.contains("65535x65535") && !text.contains('\n'), "{text}");
    assert!(!gpu.device(Instant::now()).expect("a device").is_lost(), "and nothing else is the worse for it");
}
