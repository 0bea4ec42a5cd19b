//! What clients are sent: exact in the end, and no more than changed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::canvas::Canvas;
use super::client::{Client, lossless};
use super::{LIMIT, noise, one_output, pool, wait_for};
use farpane_engine::encode::{Codec, JpegStep, Params, Subsampling};
use farpane_engine::frame::CursorImage;
use farpane_engine::geometry::{Point, Rect, Size};
use farpane_engine::pipeline::Pointer;
use farpane_engine::pixel::Layout;

#[test]
fn every_codec_converges_to_the_source_picture() {
    let canvas = Canvas::new(Size::new(700, 300));
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    for codec in Codec::ALL {
        let mut client = Client::new(&view, lossless(codec), true);
        client.converge(|| canvas.pixels(), &pool);
        canvas.paint(Rect::new(13, 7, 300, 111), noise);
        client.converge(|| canvas.pixels(), &pool);
        canvas.paint(Rect::new(600, 290, 10, 10), |_, _| 0x00ff_0000);
        client.converge(|| canvas.pixels(), &pool);
    }
}

#[test]
fn a_letter_costs_a_letter() {
    let canvas = Canvas::new(Size::new(3840, 2160));
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    for codec in [Codec::Zrle, Codec::Tight] {
        let mut client = Client::new(&view, lossless(codec), true);
        client.converge(|| canvas.pixels(), &pool);
        canvas.paint(Rect::new(1000, 1003, 10, 20), |x, y| if (x ^ y) & 3 == 0 { 0 } else { 0x00ff_ffff });
        let bytes = client.converge(|| canvas.pixels(), &pool);
        assert!(bytes < 300, "{codec:?}: {bytes} bytes for one letter");
        canvas.paint(Rect::new(1000, 1003, 10, 20), |_, _| 0x0020_4060);
    }
}

#[test]
fn small_budgets_send_a_large_change_in_pieces_that_end_exact() {
    let canvas = Canvas::new(Size::new(1024, 1024));
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Zrle), true);
    client.converge(|| canvas.pixels(), &pool);
    canvas.paint(Rect::new(0, 0, 1024, 1024), noise);
    wait_for("damage", || client.picture.has_pending(&client.area));
    let mut updates = 0;
    let end = Instant::now() + LIMIT;
    while client.viewer.decoder().pixels() != canvas.pixels() {
        let update = client.update(64 * 1024, &pool);
        assert!(update.bytes.len() < 64 * 1024 * 2, "an update of {} bytes for a budget of 64 KiB", update.bytes.len());
        updates += u32::from(update.rects > 0);
        assert!(Instant::now() < end);
    }
    assert!(updates >= 8, "{updates} updates for 3 MB at 64 KiB each");
}

#[test]
fn scrolls_travel_as_copies_even_for_a_client_that_is_behind() {
    let canvas = Canvas::new(Size::new(640, 640));
    canvas.paint(Rect::new(0, 0, 640, 640), |x, y| if noise(x / 3, y) & 1 == 0 { 0 } else { 0x00ff_ffff });
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Zrle), true);
    let whole = client.converge(|| canvas.pixels(), &pool);
    let mut bytes = 0;
    for i in 0..6u16 {
        canvas.scroll_up(20);
        canvas.paint(Rect::new(0, 620, 640, 20), |x, y| noise(x / 3, y + 700 * (i + 1)) & 1);
        if i % 2 == 1 {
            bytes += client.converge(|| canvas.pixels(), &pool);
        }
    }
    bytes += client.converge(|| canvas.pixels(), &pool);
    assert!(bytes < whole, "six scrolls by 20 of 640 rows took {bytes} bytes, the whole picture {whole}");
}

/// Soft colours with grain: worth JPEG.
fn photo(x: u16, y: u16) -> u32 {
    let (x, y) = (u32::from(x), u32::from(y));
    let n = (x.wrapping_mul(31) ^ y.wrapping_mul(17)).wrapping_mul(2_654_435_761) >> 29;
    let v = |a: u32| ((a + n) & 0xff).min(255);
    v(x / 3 + y / 5) | v(x / 7 + y / 2) << 8 | v((x + y) / 4) << 16
}

#[test]
fn lossy_pixels_become_exact_once_quiet() {
    let canvas = Canvas::new(Size::new(512, 256));
    canvas.paint(Rect::new(0, 0, 512, 256), photo);
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    let jpeg = Some(JpegStep { quality: 60, subsampling: Subsampling::Quarter });
    let mut client = Client::new(&view, Params { jpeg, ..lossless(Codec::Tight) }, true);
    wait_for("the first picture", || client.picture.has_pending(&client.area));
    client.update(4 << 20, &pool);
    assert_ne!(client.viewer.decoder().pixels(), canvas.pixels(), "a photograph was not sent lossy");
    let due = client.picture.refresh_at(client.quiet).expect("a refresh is due");
    assert!(due <= Instant::now() + client.quiet);
    client.converge(|| canvas.pixels(), &pool);
    assert_eq!(client.picture.refresh_at(client.quiet), None);
}

#[test]
fn lossy_pixels_become_exact_while_something_else_never_rests() {
    let size = Size::new(768, 512);
    let canvas = Canvas::new(size);
    canvas.paint(size.rect(), photo);
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    let jpeg = Some(JpegStep { quality: 60, subsampling: Subsampling::Quarter });
    let mut client = Client::new(&view, Params { jpeg, ..lossless(Codec::Tight) }, true);
    wait_for("the first picture", || client.picture.has_pending(&client.area));
    client.update(4 << 20, &pool);
    let lossy = |client: &Client| {
        let shown = client.viewer.decoder().pixels();
        shown.iter().zip(canvas.pixels()).skip(128 * 768).filter(|(a, b)| **a != *b).count()
    };
    assert_ne!(lossy(&client), 0);
    let end = Instant::now() + LIMIT;
    let mut round = 1;
    while lossy(&client) > 0 {
        round += 1;
        canvas.paint(Rect::new(0, 0, 128, 128), |x, y| photo(x, y).wrapping_mul(round));
        wait_for("the change", || client.picture.has_pending(&client.area));
        let part = client.update(1 << 20, &pool);
        // what changed, and at most so much beside it as raw pixels
        assert!(part.bytes.len() <= (128 * 128 + 256 * 256) * 4, "{} bytes at once", part.bytes.len());
        assert!(Instant::now() < end, "{} pixels are still not exact", lossy(&client));
    }
    assert!(round > 3, "all in {round} updates");
}

#[test]
fn a_refresh_comes_in_bounded_parts_and_a_letter_goes_before_the_rest_of_it() {
    let canvas = Canvas::new(Size::new(1024, 512));
    canvas.paint(Rect::new(0, 0, 1024, 512), photo);
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    let jpeg = Some(JpegStep { quality: 60, subsampling: Subsampling::Quarter });
    let mut client = Client::new(&view, Params { jpeg, ..lossless(Codec::Tight) }, true);
    wait_for("the first picture", || client.picture.has_pending(&client.area));
    client.update(4 << 20, &pool);
    client.quiet = Duration::ZERO;
    let budget = 32 << 10;
    for round in 0..4u16 {
        let part = client.update(budget, &pool);
        // at most one block of raw pixels beyond it
        assert!((1..=budget + 128 * 128 * 4).contains(&part.bytes.len()), "{} bytes at once", part.bytes.len());
        assert!(client.picture.refresh_at(client.quiet).is_some(), "all was refreshed at once");
        let letter = Rect::new(40 + round * 10, 60, 10, 20);
        canvas.paint(letter, |x, y| u32::from((x + y) % 2) * 0x00ff_ffff);
        wait_for("the letter", || client.picture.has_pending(&client.area));
        let update = client.update(budget, &pool);
        assert!(update.bytes.len() < 1000, "a letter came with {} bytes", update.bytes.len());
        let (shown, want) = (client.viewer.decoder().pixels().to_vec(), canvas.pixels());
        for y in letter.y..letter.bottom() {
            let row =
                usize::from(y) * 1024 + usize::from(letter.x)..usize::from(y) * 1024 + usize::from(letter.right());
            assert_eq!(shown[row.clone()], want[row], "row {y} of letter {round}");
        }
    }
    client.converge(|| canvas.pixels(), &pool);
    assert_eq!(client.picture.refresh_at(client.quiet), None);
}

#[test]
fn a_drawn_pointer_leaves_no_trace() {
    let canvas = Canvas::new(Size::new(300, 200));
    canvas.paint(Rect::new(0, 0, 300, 200), noise);
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Tight), true);
    client.converge(|| canvas.pixels(), &pool);
    let image = Arc::new(CursorImage {
        size: Size::new(9, 9),
        hotspot: Point::new(4, 4),
        rgba: [255, 0, 0, 255].repeat(81),
        serial: 1,
    });
    let mut with = canvas.pixels();
    for y in 96..105 {
        with[y * 300 + 146..y * 300 + 155].fill(0x00ff_0000);
    }
    client.picture.set_pointer(Some(Pointer { image: Arc::clone(&image), at: Point::new(150, 100) }));
    client.converge(|| with.clone(), &pool);
    client.picture.set_pointer(Some(Pointer { image, at: Point::new(2, 199) }));
    client.update(1 << 20, &pool);
    client.picture.set_pointer(None);
    client.converge(|| canvas.pixels(), &pool);
}

#[test]
fn the_comparison_sees_one_wrong_pixel() {
    let canvas = Canvas::new(Size::new(64, 64));
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Raw), false);
    client.converge(|| canvas.pixels(), &pool);
    let mut wrong = canvas.pixels();
    wrong[64 * 63 + 63] ^= Layout::BGRX.pixel([0, 0, 1]);
    assert_ne!(client.viewer.decoder().pixels(), wrong);
}
