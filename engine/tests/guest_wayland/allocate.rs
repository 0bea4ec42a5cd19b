//! dma-bufs that the device makes for others.

use std::sync::Arc;

use farpane_engine::damage::DamageEngine;
use farpane_engine::frame::{DmaBuf, Frame, Hint, Importer, Memory, Piece};
use farpane_engine::geometry::Size;
use farpane_engine::pixel::{Fourcc, Modifier};

use super::desk::{Desk, Noise, frame, gpu};
use super::guest_support::{Access, DMA_BUF_MAGIC, Mapped, accessed, in_guest};

const TILED: Modifier = Modifier(0x0100_0000_0000_0001);

fn frame_of(buffer: &Arc<DmaBuf>, size: Size) -> Frame {
    let plane = buffer.planes()[0];
    let piece = Piece { rect: size.rect(), offset: plane.offset as usize, stride: plane.stride as usize };
    let mut frame = frame(size, vec![piece], Vec::new(), Hint::Everything);
    frame.memory = Memory::DmaBuf(Arc::clone(buffer));
    frame
}

#[test]
fn what_others_draw_into_a_dma_buf_of_the_device_the_device_reads() {
    if !in_guest() {
        return;
    }
    let gpu = gpu().expect("a device");
    let mut noise = Noise(9);
    for (w, h) in [(1, 1), (203, 151), (640, 480), (1920, 1080)] {
        let size = Size::new(w, h);
        let (made, modifier) =
            gpu.allocate(size, Fourcc::XRGB8888, &[TILED, Modifier::LINEAR]).expect("a dma-buf of the device's");
        assert_eq!((modifier, made.planes().len()), (Modifier::LINEAR, 1));
        let plane = made.planes()[0];
        assert!(plane.stride >= u64::from(w) * 4 && plane.holds(made.len(), size, modifier), "{plane:?}");
        assert_eq!(rustix::fs::fstatfs(&made).expect("a file system").f_type as u64, DMA_BUF_MAGIC);
        let fd = std::os::fd::AsFd::as_fd(&made).try_clone_to_owned().expect("a descriptor");
        let buffer = Arc::new(made);
        let mapped = Mapped::new(&fd);
        let mut desk = Desk::new(gpu, size);
        let mut old = vec![0; size.area() as usize];
        for _ in 0..2 {
            let new: Vec<u32> = old.iter().map(|_| noise.next() & 0xff_ffff).collect();
            accessed(&fd, Access::Write, || {
                for (y, row) in new.chunks_exact(w.into()).enumerate() {
                    let bytes: Vec<u8> = row.iter().flat_map(|pixel| pixel.to_le_bytes()).collect();
                    mapped.write(plane.offset as usize + y * plane.stride as usize, &bytes);
                }
            });
            let damage = desk.feed(frame_of(&buffer, size));
            desk.assert_shows(&new, &old, &damage);
            old = new;
        }
        assert_eq!((desk.counted(), desk.engine.stats().gpu.imported), ((2, 0), 2));
    }
}

#[test]
fn every_format_of_a_mirror_is_made() {
    if !in_guest() {
        return;
    }
    let gpu = gpu().expect("a device");
    let formats = [
        Fourcc::XRGB8888,
        Fourcc::ARGB8888,
        Fourcc::XBGR8888,
        Fourcc::ABGR8888,
        Fourcc::XRGB2101010,
        Fourcc::XBGR2101010,
    ];
    for fourcc in formats {
        let made = gpu.allocate(Size::new(64, 64), fourcc, &gpu.modifiers(fourcc));
        assert_eq!(made.map(|(_, modifier)| modifier), Ok(Modifier::LINEAR), "{fourcc:?}");
    }
}

#[test]
fn what_the_device_cannot_make_is_refused_in_words() {
    if !in_guest() {
        return;
    }
    let gpu = gpu().expect("a device");
    let said =
        |size: Size, fourcc: Fourcc, among: &[Modifier]| gpu.allocate(size, fourcc, among).expect_err("cannot be");
    let (size, linear) = (Size::new(64, 64), [Modifier::LINEAR]);
    for among in [&[][..], &[TILED], &[Modifier(0x00ff_ffff_ffff_ffff)]] {
        assert!(said(size, Fourcc::XRGB8888, among).contains("XR24 of 64x64"), "{among:?}");
    }
    assert!(said(Size::new(0, 64), Fourcc::XRGB8888, &linear).contains("XR24 of 0x64"));
    assert!(said(Size::new(65_535, 1), Fourcc::XRGB8888, &linear).contains("XR24 of 65535x1"));
    assert!(said(size, Fourcc(u32::from_le_bytes(*b"NV12")), &linear).contains("no images"));
}
