//! Outputs: captured when wanted, shared by clients, several of them, resized, failing and late.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use super::canvas::Canvas;
use super::client::{Client, lossless};
use super::{noise, one_output, pool, wait_for};
use farpane_engine::damage::CpuDamage;
use farpane_engine::encode::Codec;
use farpane_engine::geometry::{Point, Rect, Size};
use farpane_engine::pipeline::{EncodedUpdate, Output, View, ViewOutput};
use farpane_engine::pixel::Fourcc;

#[test]
fn a_client_that_wants_nothing_makes_no_captures_and_without_clients_the_source_stops() {
    let canvas = Canvas::new(Size::new(128, 128));
    let (view, _output, _) = one_output(&canvas);
    assert!(!canvas.started.load(SeqCst), "captured before anybody watched");
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Zrle), true);
    client.converge(|| canvas.pixels(), &pool);
    client.picture.set_wants(false);
    // a second client shows when the thread has seen the first one's wish
    let before = {
        let mut other = Client::new(&view, lossless(Codec::Raw), false);
        other.converge(|| canvas.pixels(), &pool);
        canvas.taken.load(SeqCst)
    };
    for i in 0..50 {
        canvas.paint(Rect::new(0, 0, 64, 64), |x, y| noise(x + i, y));
    }
    client.picture.set_wants(true);
    client.converge(|| canvas.pixels(), &pool);
    let taken = canvas.taken.load(SeqCst) - before;
    assert!(taken <= 3, "{taken} frames captured for one that was wanted");
    drop(client);
    wait_for("the source stops", || !canvas.started.load(SeqCst));
}

#[test]
fn a_still_picture_gives_empty_updates_and_no_frames() {
    let canvas = Canvas::new(Size::new(640, 480));
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Tight), true);
    client.converge(|| canvas.pixels(), &pool);
    let taken = canvas.taken.load(SeqCst);
    assert!(!client.picture.has_pending(&client.area));
    assert_eq!(client.update(1 << 20, &pool), EncodedUpdate::default());
    assert_eq!(client.picture.refresh_at(client.quiet), None);
    assert_eq!(canvas.taken.load(SeqCst), taken);
}

#[test]
fn two_outputs_with_a_gap_make_one_canvas() {
    let (left, right) = (Canvas::new(Size::new(100, 80)), Canvas::new(Size::new(60, 120)));
    right.paint(Rect::new(0, 0, 60, 120), noise);
    let (a, _out_a, _) = one_output(&left);
    let (b, _out_b, _) = one_output(&right);
    let mut outputs = a.outputs;
    outputs.push(ViewOutput { at: Point::new(110, 10), ..b.outputs[0].clone() });
    let view = View { canvas: Size::new(170, 130), outputs };
    let want = || {
        let mut all = vec![0; 170 * 130];
        for (canvas, w, x, y) in [(&left, 100, 0, 0), (&right, 60, 110, 10)] {
            for (i, row) in canvas.pixels().chunks(w).enumerate() {
                all[(y + i) * 170 + x..][..w].copy_from_slice(row);
            }
        }
        all
    };
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Zrle), true);
    client.converge(want, &pool);
    left.paint(Rect::new(90, 70, 10, 10), |_, _| 0x0000_ff00);
    right.paint(Rect::new(0, 0, 10, 10), |_, _| 0x0000_00ff);
    client.converge(want, &pool);
}

#[test]
fn one_changed_letter_is_copied_once_and_nothing_else_is() {
    let canvas = Canvas::new(Size::new(640, 480));
    canvas.paint(Rect::new(0, 0, 640, 480), noise);
    let (view, output, _) = one_output(&canvas);
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Zrle), true);
    client.converge(|| canvas.pixels(), &pool);
    let counts = || {
        let stats = output.stats();
        [&stats.compared_bytes, &stats.copied_bytes, &stats.staged_bytes].map(|count| count.load(SeqCst))
    };
    let before = counts();
    canvas.paint(Rect::new(100, 100, 10, 20), |x, y| noise(x, y) ^ 0x00ff_ffff);
    client.converge(|| canvas.pixels(), &pool);
    let [compared, copied, staged] = std::array::from_fn(|i| counts()[i] - before[i]);
    assert_eq!((copied, staged), (10 * 20 * 4, 0));
    assert!(compared >= copied, "{compared} bytes compared");
}

#[test]
fn equal_clients_share_what_was_encoded() {
    let canvas = Canvas::new(Size::new(640, 480));
    canvas.paint(Rect::new(0, 0, 640, 480), noise);
    let (view, output, _) = one_output(&canvas);
    let pool = pool();
    let mut clients: Vec<_> = (0..4).map(|_| Client::new(&view, lossless(Codec::Zrle), true)).collect();
    for c in &mut clients {
        c.converge(|| canvas.pixels(), &pool);
    }
    let stats = output.stats();
    let (made, shared) = (stats.encoded_rects.load(SeqCst), stats.shared_rects.load(SeqCst));
    assert!(shared >= made * 2, "{made} rectangles encoded, {shared} shared by four clients");
}

#[test]
fn a_resize_gives_everybody_the_new_picture() {
    let canvas = Canvas::new(Size::new(200, 100));
    let (view, output, _) = one_output(&canvas);
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Zrle), true);
    client.converge(|| canvas.pixels(), &pool);
    canvas.change(|i| {
        i.size = Size::new(160, 150);
        i.pixels = (0..160 * 150).map(|p| p & 0x00ff_ffff).collect();
        i.resized = true;
    });
    wait_for("the new size", || output.size() == Size::new(160, 150));
    let view = View {
        canvas: Size::new(160, 150),
        outputs: vec![ViewOutput { output, at: Point::new(0, 0), size: Size::new(160, 150) }],
    };
    let mut client = Client::new(&view, lossless(Codec::Zrle), true);
    client.converge(|| canvas.pixels(), &pool);
}

#[test]
fn a_source_may_change_its_pixel_format_and_nothing_else() {
    let canvas = Canvas::new(Size::new(200, 100));
    let (view, _output, _) = one_output(&canvas);
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Zrle), true);
    client.converge(|| canvas.pixels(), &pool);
    let shown: Vec<u32> = (0..200 * 100).map(|p| (p * 7) & 0x00ff_ffff).collect();
    canvas.change(|i| {
        i.fourcc = Fourcc::XBGR8888;
        i.pixels = shown.iter().map(|p| p.swap_bytes() >> 8).collect();
    });
    client.converge(|| shown.clone(), &pool);
}

#[test]
fn a_source_that_fails_is_reported_once_and_comes_back() {
    let canvas = Canvas::new(Size::new(64, 64));
    let (view, _output, log) = one_output(&canvas);
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Zrle), true);
    client.converge(|| canvas.pixels(), &pool);
    canvas.change(|i| i.fail = true);
    wait_for("the loss", || log.lock().unwrap().iter().any(|l| l.contains("Lost")));
    canvas.change(|i| i.fail = false);
    canvas.paint(Rect::new(1, 1, 5, 5), |_, _| 0x00ab_cdef);
    client.converge(|| canvas.pixels(), &pool);
    let log = log.lock().unwrap();
    assert_eq!(log.len(), 2, "{log:?}");
}

#[test]
fn damage_that_comes_late_or_never_is_survived() {
    use farpane_engine::damage::delayed::{Delay, Delayed};
    let canvas = Canvas::new(Size::new(320, 200));
    let plan = [Delay::Polls(3), Delay::For(Duration::from_millis(30)), Delay::Fail, Delay::Polls(1), Delay::Never];
    let damage = Delayed::new(CpuDamage::new(), plan);
    let output = Output::spawn(canvas.source(), Box::new(damage), Box::new(|_| {}), Instant::now()).unwrap();
    let size = output.info().size;
    let output = Arc::new(output);
    let view = View { canvas: size, outputs: vec![ViewOutput { output, at: Point::new(0, 0), size }] };
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Zrle), true);
    for i in 0..8u16 {
        canvas.paint(Rect::new(i * 20, i * 10, 60, 40), move |x, y| noise(x, y + i));
        client.converge(|| canvas.pixels(), &pool);
    }
}

/// Pixels encoded of two outputs that both change as a whole before each of `updates` updates of `budget` bytes.
fn sent_of_two(focus: Option<Point>, budget: usize, updates: u16) -> [u64; 2] {
    let size = Size::new(512, 512);
    let canvases = [Canvas::new(size), Canvas::new(size)];
    let views = [one_output(&canvases[0]), one_output(&canvases[1])];
    let place = |i: usize, x| ViewOutput { at: Point::new(x, 0), ..views[i].0.outputs[0].clone() };
    let view = View { canvas: Size::new(1024, 512), outputs: vec![place(0, 0), place(1, 512)] };
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Raw), false);
    client.picture.set_focus(focus);
    let both = || canvases.iter().map(Canvas::pixels).collect::<Vec<_>>();
    let beside = |pixels: Vec<Vec<u32>>| {
        pixels[0].chunks(512).zip(pixels[1].chunks(512)).flat_map(|(a, b)| [a, b].concat()).collect::<Vec<_>>()
    };
    client.converge(|| beside(both()), &pool);
    let sent = || [0, 1].map(|i| views[i].1.stats().encoded_px.load(SeqCst));
    let before = sent();
    for round in 0..updates {
        let frames = || [0, 1].map(|i| views[i].1.stats().frames.load(SeqCst));
        let seen = frames();
        for canvas in &canvases {
            canvas.paint(size.rect(), |x, y| noise(x.wrapping_add(round), y));
        }
        wait_for("both are captured", || frames().iter().zip(seen).all(|(now, seen)| *now > seen));
        client.update(budget, &pool);
    }
    std::array::from_fn(|i| sent()[i] - before[i])
}

#[test]
fn outputs_that_change_faster_than_the_link_carries_share_it() {
    let [left, right] = sent_of_two(None, 512 * 1024, 24);
    assert!(left > 0 && right * 10 > left * 8 && left * 10 > right * 8, "{left} and {right} px");
}

#[test]
fn the_output_under_the_pointer_gets_a_larger_share_and_not_all() {
    let [left, right] = sent_of_two(Some(Point::new(900, 10)), 512 * 1024, 24);
    assert!(left > 0 && right > left * 2 && right < left * 4, "{left} and {right} px");
}
