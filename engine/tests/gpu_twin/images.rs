//! Pictures that the device reads as images, against the twin that reads the same pixels as words.

use std::time::Instant;

use farpane_engine::geometry::{Region, Size};
use farpane_engine::gpu::{GpuPicture, Import, Rows, add_jobs, whole};
use farpane_engine::pixel::Fourcc;
use farpane_engine::tile::Grid;
use farpane_shaders::{Job, Place};

use super::desk::{Noise, gpu, random_rect};
use super::kernels::{answer, assert_twin};

const FORMATS: [Fourcc; 6] =
    [Fourcc::XRGB8888, Fourcc::ARGB8888, Fourcc::XBGR8888, Fourcc::ABGR8888, Fourcc::XRGB2101010, Fourcc::XBGR2101010];

fn mask(fourcc: Fourcc) -> u32 {
    fourcc.layout().expect("of 32 bits").mask()
}

/// What the GPU makes of an image.
fn on_gpu(picture: &mut GpuPicture, size: Size, fourcc: Fourcc, jobs: &[Job], fresh: &[u32]) -> (Vec<Place>, Vec<u32>) {
    let device = gpu().and_then(|gpu| gpu.device(Instant::now())).expect("a device");
    let image = Import::of_pixels(&device, size, fourcc, fresh).expect("an image");
    answer(picture, |picture, ring| picture.submit_import(&image, None, jobs, ring).expect("room"))
}

/// Compares some pictures one after the other with the twin, and the resident picture at the end.
fn follows(size: Size, fourcc: Fourcc, old: &[u32], rounds: &[(Vec<Job>, Vec<u32>)]) {
    let device = gpu().and_then(|gpu| gpu.device(Instant::now())).expect("a device");
    let mut picture = GpuPicture::new(device, size, mask(fourcc)).expect("room");
    picture.set(old);
    let mut shown = old.to_vec();
    for (jobs, fresh) in rounds {
        let (places, tiles) = on_gpu(&mut picture, size, fourcc, jobs, fresh);
        shown = assert_twin((size, mask(fourcc)), &shown, jobs, fresh, &places, &tiles);
    }
    let (again, _) = on_gpu(&mut picture, size, fourcc, &whole(size), &shown);
    assert_eq!(again, [], "{size}, {fourcc:?}");
}

#[test]
fn image_diff_agrees_with_the_twin_in_every_format_and_size() {
    if gpu().is_none() {
        return;
    }
    let mut rng = Noise(31);
    for (w, h) in [(1, 1), (64, 64), (65, 63), (63, 65), (1, 700), (700, 1), (200, 150), (333, 97), (1920, 1080)] {
        let size = Size::new(w, h);
        for fourcc in FORMATS {
            let old: Vec<u32> = (0..size.area()).map(|_| rng.next() & mask(fourcc)).collect();
            // what no channel has is noise
            let junk = |rng: &mut Noise| (rng.next() << 1) & !mask(fourcc);
            let same = old.iter().map(|p| p | junk(&mut rng)).collect();
            let some: Vec<u32> =
                old.iter().map(|p| if rng.below(90) == 0 { rng.next() << 1 } else { p | junk(&mut rng) }).collect();
            let other = old.iter().map(|_| rng.next() << 1 | 1).collect();
            // parts of the picture alone
            let mut region = Region::from(random_rect(size, &mut rng));
            region.add(&random_rect(size, &mut rng));
            let mut jobs = Vec::new();
            add_jobs(&region, &Grid::new(size), Rows::packed(size), &mut jobs);
            follows(size, fourcc, &old, &[(whole(size), same), (whole(size), some), (jobs, other)]);
        }
    }
}

#[test]
fn a_texel_of_every_value_is_the_word_that_it_was() {
    if gpu().is_none() {
        return;
    }
    // each channel alone, then all of them, so that none leaks into another
    let size = Size::new(1024, 4);
    for fourcc in FORMATS {
        let layout = fourcc.layout().expect("of 32 bits");
        let shifts = [layout.r_shift, layout.g_shift, layout.b_shift];
        let word = |row: usize, value: u32| {
            let value = value & ((1 << layout.bits) - 1);
            (0..3).filter(|c| row == 3 || row == *c).fold(0, |word, c| word | value << shifts[c])
        };
        let fresh: Vec<u32> = (0..4).flat_map(|row| (0..1024).map(move |value| word(row, value))).collect();
        follows(size, fourcc, &[mask(fourcc); 4096], &[(whole(size), fresh)]);
    }
}

#[test]
fn image_diff_finds_one_bit_wherever_it_is() {
    if gpu().is_none() {
        return;
    }
    let size = Size::new(130, 130);
    let device = gpu().and_then(|gpu| gpu.device(Instant::now())).expect("a device");
    let classes = [0, 1, 15, 16, 31, 47, 62, 63, 64, 65, 100, 127, 128, 129];
    for fourcc in FORMATS {
        let old = vec![0x1234_5678 & mask(fourcc); 130 * 130];
        let mut picture = GpuPicture::new(device.clone(), size, mask(fourcc)).expect("room");
        let mut bits = (0..32).filter(|bit| mask(fourcc) >> bit & 1 == 1).cycle();
        for (x, y) in classes.into_iter().flat_map(|y| classes.map(|x| (x, y))) {
            picture.set(&old);
            let mut fresh = old.clone();
            fresh[y * 130 + x] ^= 1 << bits.next().expect("a mask has bits");
            let (places, tiles) = on_gpu(&mut picture, size, fourcc, &whole(size), &fresh);
            let shown = assert_twin((size, mask(fourcc)), &old, &whole(size), &fresh, &places, &tiles);
            let [place] = places[..] else { panic!("{fourcc:?} at {x}, {y}: {places:?}") };
            let corner = [x % 64, y % 64, x % 64 + 1, y % 64 + 1].map(|v| v as u8);
            assert_eq!((place.extent(), place.count), (corner, 1), "{fourcc:?} at {x}, {y}");
            assert!(shown == fresh);
        }
    }
}
