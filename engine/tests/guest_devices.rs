//! What the guest has for the tests that run in it: each of these failing means that theirs prove nothing.

mod guest_support;

use std::time::Duration;

use guest_support::{
    Access, DMA_BUF_MAGIC, Mapped, Timeline, accessed, add_fence, fence_of, heap, in_guest, ready, sealed_memfd,
    udmabuf, udmabuf_of,
};

const NOW: Duration = Duration::ZERO;
const SOON: Duration = Duration::from_secs(10);

fn is_dma_buf(fd: &std::os::fd::OwnedFd) -> bool {
    rustix::fs::fstatfs(fd).expect("its file system").f_type as u64 == DMA_BUF_MAGIC
}

#[test]
fn a_udmabuf_shows_what_is_written_through_its_memfd() {
    if !in_guest() {
        return;
    }
    let bytes: Vec<u8> = (0..10_000u32).map(|i| (i % 251) as u8).collect();
    let memfd = sealed_memfd(&bytes);
    let buffer = udmabuf_of(&memfd);
    assert!(is_dma_buf(&buffer) && !is_dma_buf(&memfd));
    let mapped = Mapped::new(&buffer);
    assert_eq!(mapped.len(), 12_288, "whole pages");
    let mut read = vec![0; bytes.len()];
    accessed(&buffer, Access::Read, || mapped.read(0, &mut read));
    assert_eq!(read, bytes);

    rustix::io::pwrite(&memfd, b"later", 4094).expect("writing over a page's end");
    accessed(&buffer, Access::Read, || mapped.read(4094, &mut read[..5]));
    assert_eq!(&read[..5], b"later");
}

#[test]
fn memory_of_a_heap_keeps_what_is_written() {
    if !in_guest() {
        return;
    }
    let buffer = heap(1 << 20);
    assert!(is_dma_buf(&buffer));
    let (written, seen) = (Mapped::new(&buffer), Mapped::new(&buffer));
    assert_eq!(written.len(), 1 << 20);
    let bytes: Vec<u8> = (0..1u32 << 20).map(|i| (i % 253) as u8).collect();
    accessed(&buffer, Access::Write, || written.write(0, &bytes));
    let mut read = vec![0; bytes.len()];
    accessed(&buffer, Access::Read, || seen.read(0, &mut read));
    assert!(read == bytes, "the second mapping shows what was written into the first");
}

#[test]
fn a_buffer_that_nobody_draws_into_is_ready() {
    if !in_guest() {
        return;
    }
    for buffer in [heap(4096), udmabuf(b"picture")] {
        assert!(ready(&fence_of(&buffer, Access::Read), NOW));
        assert!(ready(&fence_of(&buffer, Access::Write), NOW));
        assert!(ready(&buffer, NOW));
    }
}

#[test]
fn a_fence_waits_for_its_timeline() {
    if !in_guest() {
        return;
    }
    let timeline = Timeline::new();
    let (first, second) = (timeline.fence(1), timeline.fence(2));
    assert!(!ready(&first, NOW) && !ready(&second, NOW));
    timeline.advance(1);
    assert!(ready(&first, SOON) && !ready(&second, NOW));
    timeline.advance(1);
    assert!(ready(&second, SOON));
}

#[test]
fn a_buffer_waits_for_the_fence_of_what_is_drawn_into_it() {
    if !in_guest() {
        return;
    }
    for buffer in [heap(4096), udmabuf(b"picture")] {
        let timeline = Timeline::new();
        add_fence(&buffer, &timeline.fence(1), Access::Write);
        let drawn = fence_of(&buffer, Access::Read);
        assert!(!ready(&drawn, NOW) && !ready(&buffer, NOW));
        timeline.advance(1);
        assert!(ready(&drawn, SOON) && ready(&buffer, SOON));
    }
}

#[test]
fn a_buffer_that_is_only_read_may_be_read() {
    if !in_guest() {
        return;
    }
    let (buffer, timeline) = (heap(4096), Timeline::new());
    add_fence(&buffer, &timeline.fence(1), Access::Read);
    assert!(ready(&fence_of(&buffer, Access::Read), NOW), "for another reader");
    let drawing = fence_of(&buffer, Access::Write);
    assert!(!ready(&drawing, NOW), "for who wants to draw");
    timeline.advance(1);
    assert!(ready(&drawing, SOON));
}

#[test]
fn there_is_a_card_with_a_screen() {
    if !in_guest() {
        return;
    }
    std::fs::File::open("/dev/dri/card0").expect("the card");
    // unknown until somebody asks
    let status = "/sys/class/drm/card0-Virtual-1/status";
    std::fs::write(status, "detect").expect("its first connector");
    let found = std::fs::read_to_string(status).expect("its first connector");
    assert_eq!(found.trim(), "connected");
}
