//! The damage engine on a GPU: frames in, the mirror exact, and what happens when the device does not do its part.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use farpane_engine::damage::{DamageEngine, Mirror, Progress, Ticket};
use farpane_engine::frame::{Hint, Piece};
use farpane_engine::geometry::{Point, Region, Size};
use farpane_engine::pixel::{Fourcc, Layout};

use super::desk::{Desk, Noise, assert_covers, frame, gpu, own_gpu, random_rect, whole};

#[test]
fn the_mirror_follows_pieces_hints_and_odd_memory() {
    let Some(gpu) = gpu() else { return };
    let mut noise = Noise(4);
    for (w, h) in [(1, 1), (130, 70), (200, 150), (64, 64), (333, 97)] {
        let size = Size::new(w, h);
        let mut desk = Desk::new(gpu, size);
        let mut shown = vec![0u32; size.area() as usize];
        for round in 0..12 {
            // pieces that may overlap, each with a shifted start and wide rows, noise above the mask
            let rects = if round % 3 == 0 {
                vec![size.rect()]
            } else {
                (0..3).map(|_| random_rect(size, &mut noise)).collect()
            };
            let hint = match round % 4 {
                1 => {
                    let mut region = Region::from(random_rect(size, &mut noise));
                    region.add(&random_rect(size, &mut noise));
                    Hint::Only(region)
                }
                _ => Hint::Everything,
            };
            let (mut memory, mut pieces) = (Vec::new(), Vec::new());
            let mut new = shown.clone();
            for rect in rects {
                let (offset, stride) =
                    (memory.len() * 4 + 4 * noise.below(5), usize::from(rect.w) * 4 + 4 * noise.below(7));
                memory.resize((offset + stride * usize::from(rect.h)) / 4 + 1, 0xdead_beef);
                for y in 0..rect.h {
                    for x in 0..rect.w {
                        let at = usize::from(rect.y + y) * usize::from(w) + usize::from(rect.x + x);
                        let pixel = if noise.below(3) == 0 { noise.next() & 0xff_ffff } else { shown[at] };
                        memory[offset / 4 + usize::from(y) * stride / 4 + usize::from(x)] = pixel | 0x5500_0000;
                        let point = Point::new(rect.x + x, rect.y + y);
                        if !matches!(&hint, Hint::Only(region) if !region.contains_point(point)) {
                            new[at] = pixel;
                        }
                    }
                }
                pieces.push(Piece { rect, offset, stride });
            }
            let damage = desk.feed(frame(size, pieces, memory, hint));
            desk.assert_shows(&new, &shown, &damage);
            shown = new;
        }
        assert_eq!(desk.counted(), (12, 0), "all of them on the device");
    }
}

#[test]
fn what_comes_back_is_what_changed_and_a_list_of_it() {
    let Some(gpu) = gpu() else { return };
    let size = Size::new(640, 480);
    let mut desk = Desk::new(gpu, size);
    let mut picture = vec![3; size.area() as usize];
    let first = desk.feed(whole(size, &picture));
    assert_eq!((first.changed.area(), first.seq), (size.area(), 1));
    let read = |desk: &Desk| (desk.engine.stats().gpu.read_bytes, desk.engine.stats().gpu.cells);
    let (bytes, cells) = read(&desk);
    assert_eq!((bytes, cells), (16 + 80 * (24 + 4), 80));
    let same = desk.feed(whole(size, &picture));
    assert!(same.changed.is_empty() && same.seq == 1);
    assert_eq!(read(&desk), (bytes + 16, cells), "of a still picture the number of its changed cells");
    picture[100 * 640 + 70] = 4;
    picture[470 * 640 + 600] = 4;
    let two = desk.feed(whole(size, &picture));
    assert_eq!(two.changed.area(), 2);
    assert_eq!(read(&desk), (bytes + 32 + 2 * (24 + 4 * 130), cells + 2));
    assert_eq!(desk.engine.stats().changed_px, size.area() + 2);
}

#[test]
fn two_frames_are_under_way_at_once_and_buffers_go_back_when_they_are_done() {
    let Some(gpu) = gpu() else { return };
    let size = Size::new(1024, 768);
    let mut desk = Desk::new(gpu, size);
    let given_back = Arc::new(AtomicU32::new(0));
    let mut shown = vec![0; size.area() as usize];
    for round in 1..6u32 {
        let pictures: Vec<Vec<u32>> =
            (0..2).map(|i| (0..size.area() as u32).map(|p| p * round + i).map(|p| p & 0xff_ffff).collect()).collect();
        let tickets: Vec<Ticket> = pictures
            .iter()
            .map(|picture| {
                let mut frame = whole(size, picture);
                let count = Arc::clone(&given_back);
                frame.release = Some(Box::new(move || {
                    count.fetch_add(1, Ordering::Relaxed);
                }));
                desk.submit(frame)
            })
            .collect();
        // the second may be in the mirror by the time the first is asked after
        for (ticket, picture) in tickets.into_iter().zip(pictures) {
            let damage = desk.done(ticket);
            assert_covers(size, &picture, &shown, &damage);
            shown = picture;
        }
        assert!(desk.mirror.read().pixels == shown, "the mirror follows");
        assert_eq!(given_back.load(Ordering::Relaxed), 2 * round);
    }
    assert_eq!(desk.counted(), (10, 0));
}

/// So large that a device is at work on a frame for longer than this program may be kept waiting between two steps.
const LONG: Size = Size { w: 3000, h: 2000 };

#[test]
fn a_spare_device_takes_the_place_of_the_first_that_is_lost() {
    let Some(gpu) = own_gpu() else { return };
    gpu.keep_spare().expect("a second one");
    let size = LONG;
    let mut desk = Desk::new(&gpu, size);
    let mut shown = vec![0; size.area() as usize];
    let mut next = |desk: &mut Desk, pixel: usize, lose: bool| {
        let mut new = shown.clone();
        new[pixel] = 7;
        let ticket = desk.submit(whole(size, &new));
        if lose {
            gpu.device(desk.now).expect("a device").give_up();
        }
        let damage = desk.done(ticket);
        desk.assert_shows(&new, &shown, &damage);
        shown = new;
    };
    next(&mut desk, 0, false);
    let first = gpu.device(desk.now).expect("a device");
    next(&mut desk, 301, true);
    assert_eq!(desk.counted(), (1, 1), "what the first had in hand is the processor's");
    next(&mut desk, 5999, false);
    next(&mut desk, 59_999, false);
    assert_eq!(desk.counted(), (3, 1), "the spare one goes on at once");
    assert!(gpu.device(desk.now).is_some_and(|second| !Arc::ptr_eq(&first, &second)));
    next(&mut desk, 17, true);
    assert!(gpu.device(desk.now).is_none(), "there is no third");
    assert_eq!((desk.counted(), gpu.losses()), ((3, 2), 2));
}

#[test]
fn a_lost_device_costs_no_frame_and_comes_back() {
    let Some(gpu) = own_gpu() else { return };
    let size = LONG;
    let mut desk = Desk::new(&gpu, size);
    let mut noise = Noise(11);
    let mut shown = vec![0; size.area() as usize];
    let mut next = |desk: &mut Desk, lose: bool| {
        let mut new = shown.clone();
        (0..40).for_each(|_| new[noise.below(size.area() as usize)] = noise.next() & 0xff_ffff);
        let ticket = desk.submit(whole(size, &new));
        if lose {
            gpu.device(desk.now).expect("a device").give_up();
        }
        let damage = desk.done(ticket);
        desk.assert_shows(&new, &shown, &damage);
        shown = new;
    };
    next(&mut desk, false);
    assert_eq!(desk.counted(), (1, 0));
    // with a frame in hand
    next(&mut desk, true);
    next(&mut desk, false);
    assert_eq!(desk.counted(), (1, 2));
    assert_eq!(gpu.losses(), 1);
    let end = Instant::now() + Duration::from_secs(60);
    while gpu.device(Instant::now()).is_none() {
        assert!(Instant::now() < end, "it does not come back");
        std::thread::sleep(Duration::from_millis(20));
    }
    next(&mut desk, false);
    next(&mut desk, false);
    assert_eq!(desk.counted(), (3, 2));
}

#[test]
fn a_device_that_hangs_is_left_and_the_frame_is_the_processor_s() {
    let Some(gpu) = own_gpu() else { return };
    let size = Size::new(3840, 2160);
    let mut desk = Desk::new(&gpu, size);
    let picture: Vec<u32> = (0..size.area() as u32).map(|p| p & 0xff_ffff).collect();
    let ticket = desk.submit(whole(size, &picture));
    // no device is done before it is asked, by a clock that is a second ahead
    desk.now += Duration::from_secs(1);
    let damage = desk.done(ticket);
    desk.assert_shows(&picture, &vec![0; picture.len()], &damage);
    assert_eq!(desk.counted(), (0, 1));
    assert_eq!(gpu.device(desk.now).map(|_| ()), None);
    assert_eq!(gpu.losses(), 1);
}

#[test]
fn what_the_device_cannot_take_goes_through_the_processor_in_order() {
    let Some(gpu) = gpu() else { return };
    let size = Size::new(200, 100);
    let mut desk = Desk::new(gpu, size);
    let pictures: Vec<Vec<u32>> = (1..4).map(|v| vec![v; size.area() as usize]).collect();
    let (ours, theirs) = rustix::pipe::pipe().expect("a pipe");
    let first = desk.submit(whole(size, &pictures[0]));
    let mut fenced = whole(size, &pictures[1]);
    fenced.acquire = Some(ours);
    let second = desk.submit(fenced);
    let third = desk.submit(whole(size, &pictures[2]));
    let damage = desk.done(first);
    desk.assert_shows(&pictures[0], &[0; 20_000], &damage);
    assert!(matches!(desk.engine.poll(third, &desk.mirror, desk.now), Progress::Pending), "it waits behind the fence");
    rustix::io::write(&theirs, b"go").expect("a reader");
    let damage = desk.done(second);
    assert_eq!(damage.changed.area(), size.area());
    desk.done(third);
    assert!(desk.mirror.read().pixels == pictures[2]);
    assert_eq!(desk.counted(), (1, 2));
    // a frame of another format is handed back
    let mut odd = whole(size, &pictures[0]);
    odd.fourcc = Fourcc::XBGR8888;
    let odd = desk.submit(odd);
    assert!(matches!(desk.engine.poll(odd, &desk.mirror, desk.now), Progress::Failed(_)));
}

#[test]
fn abandoned_frames_never_reach_the_mirror_and_another_mirror_starts_black() {
    let Some(gpu) = gpu() else { return };
    let size = Size::new(256, 256);
    let mut desk = Desk::new(gpu, size);
    let [red, blue] = [0xff_0000, 0x00_00ff].map(|v| vec![v; size.area() as usize]);
    desk.feed(whole(size, &red));
    desk.submit(whole(size, &blue));
    desk.engine.abandon();
    // a quick device may have been done before
    let held = desk.mirror.read().pixels.clone();
    let damage = desk.feed(whole(size, &red));
    desk.assert_shows(&red, &held, &damage);
    assert_eq!(damage.changed.is_empty(), held == red);
    desk.mirror = Mirror::new(size, Layout::BGRX, desk.now);
    desk.engine.abandon();
    let damage = desk.feed(whole(size, &red));
    desk.assert_shows(&red, &vec![0; red.len()], &damage);
    let smaller = Size::new(100, 40);
    desk.mirror = Mirror::new(smaller, Layout::BGRX, desk.now);
    let damage = desk.feed(whole(smaller, &[7; 4000]));
    assert_eq!(damage.changed.area(), 4000);
    assert_eq!(desk.counted().1, 0);
}
