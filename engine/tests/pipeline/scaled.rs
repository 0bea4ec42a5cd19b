//! Outputs shown smaller than they are.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use super::canvas::Canvas;
use super::client::{Client, lossless};
use super::{noise, one_output, pool, wait_for};
use farpane_engine::damage::CpuDamage;
use farpane_engine::encode::Codec;
use farpane_engine::geometry::{Point, Rect, Scale, Size};
use farpane_engine::kernel::CpuLevel;
use farpane_engine::kernel::downscale::{Axis, Picture, Sums, downscale};
use farpane_engine::pipeline::{Output, ScaledSource, View, ViewOutput};
use farpane_engine::pixel::Layout;

fn scaled(base: &Arc<Output>, scale: Scale) -> (View, Arc<Output>) {
    let source = Box::new(ScaledSource::new(base, scale));
    let output = Output::spawn(source, Box::new(CpuDamage::new()), Box::new(|_| ()), Instant::now()).unwrap();
    let (output, size) = (Arc::new(output), scale.size(base.size()));
    let shown = ViewOutput { output: Arc::clone(&output), at: Point::new(0, 0), size };
    (View { canvas: size, outputs: vec![shown] }, output)
}

/// The whole picture of a canvas, scaled at once.
fn want(canvas: &Canvas, from: Size, scale: Scale) -> Vec<u32> {
    let to = scale.size(from);
    let mut out = vec![0; usize::from(to.w) * usize::from(to.h)];
    let pixels = canvas.pixels();
    let picture = Picture { pixels: &pixels, stride: usize::from(from.w), layout: Layout::BGRX };
    let axes = [Axis::new(from.w, to.w), Axis::new(from.h, to.h)];
    downscale(CpuLevel::Scalar, picture, axes, 0..to.w, 0..to.h, &mut Sums::default(), &mut out);
    out
}

#[test]
fn whatever_happens_a_smaller_picture_is_that_of_the_whole() {
    let size = Size::new(333, 257);
    let canvas = Canvas::new(size);
    let (view, base, _) = one_output(&canvas);
    let pool = pool();
    let mut full = Client::new(&view, lossless(Codec::Zrle), true);
    for scale in [Scale::new(1, 2), Scale::new(2, 3), Scale::new(7, 100)] {
        let (view, _output) = scaled(&base, scale);
        let mut client = Client::new(&view, lossless(Codec::Zrle), true);
        client.converge(|| want(&canvas, size, scale), &pool);
        for i in 0..12u16 {
            let rect = Rect::new(i * 13, i * 7, 40 + i, 3 + i * 2);
            canvas.paint(rect, |x, y| noise(x + i, y));
            if i % 4 == 3 {
                canvas.scroll_up(11);
            }
            // some changes are merged, and a client that sees the whole goes its own way
            if i % 3 == 0 {
                client.converge(|| want(&canvas, size, scale), &pool);
                full.converge(|| canvas.pixels(), &pool);
            }
        }
        client.converge(|| want(&canvas, size, scale), &pool);
    }
}

#[test]
fn a_changed_letter_costs_a_letter_and_nothing_is_captured_unasked() {
    let (size, scale) = (Size::new(1280, 960), Scale::new(1, 2));
    let canvas = Canvas::new(size);
    let (_, base, _) = one_output(&canvas);
    let (view, output) = scaled(&base, scale);
    assert!(!canvas.started.load(SeqCst), "captured before anybody watched");
    let pool = pool();
    let mut client = Client::new(&view, lossless(Codec::Zrle), true);
    client.converge(|| want(&canvas, size, scale), &pool);
    let copied = || output.stats().copied_bytes.load(SeqCst);
    let before = copied();
    canvas.paint(Rect::new(101, 101, 10, 20), |_, _| 0x00ff_ffff);
    client.converge(|| want(&canvas, size, scale), &pool);
    assert_eq!(copied() - before, 6 * 11 * 4, "half of 10 x 20 pixels, and its edges");
    client.picture.set_wants(false);
    let taken = canvas.taken.load(SeqCst);
    for i in 0..50 {
        canvas.paint(Rect::new(0, 0, 64, 64), |x, y| noise(x + i, y));
    }
    client.picture.set_wants(true);
    client.converge(|| want(&canvas, size, scale), &pool);
    let taken = canvas.taken.load(SeqCst) - taken;
    assert!(taken <= 4, "{taken} frames captured for one that was wanted");
    drop(client);
    wait_for("the source stops", || !canvas.started.load(SeqCst));
}

#[test]
fn clients_of_one_scale_share_it_and_another_size_of_the_output_is_another_size_of_it() {
    let (size, scale) = (Size::new(640, 480), Scale::new(1, 2));
    let canvas = Canvas::new(size);
    canvas.paint(size.rect(), noise);
    let (_, base, _) = one_output(&canvas);
    let (view, output) = scaled(&base, scale);
    let pool = pool();
    let mut clients: Vec<_> = (0..3).map(|_| Client::new(&view, lossless(Codec::Zrle), true)).collect();
    for client in &mut clients {
        client.converge(|| want(&canvas, size, scale), &pool);
    }
    let stats = output.stats();
    let (made, shared) = (stats.encoded_rects.load(SeqCst), stats.shared_rects.load(SeqCst));
    assert!(made > 0 && shared >= made, "{made} rectangles encoded, {shared} shared by three clients");
    let other = Size::new(201, 99);
    canvas.change(|i| {
        i.size = other;
        i.pixels = (0..201 * 99).map(|p| (p * 31) & 0x00ff_ffff).collect();
        i.resized = true;
    });
    wait_for("the new size", || output.size() == scale.size(other));
    let outputs = vec![ViewOutput { size: scale.size(other), ..view.outputs[0].clone() }];
    let mut client = Client::new(&View { canvas: scale.size(other), outputs }, lossless(Codec::Zrle), true);
    client.converge(|| want(&canvas, other, scale), &pool);
}

#[test]
fn an_output_that_is_gone_is_said_to_be() {
    let canvas = Canvas::new(Size::new(64, 64));
    let (_, base, _) = one_output(&canvas);
    let mut source = ScaledSource::new(&base, Scale::new(1, 2));
    drop(base);
    let bell = farpane_engine::capture::Doorbell::new();
    let refused = farpane_engine::capture::Source::start(&mut source, bell);
    // the view of `one_output` was dropped with its tuple: nobody keeps the output
    assert_eq!(refused.expect_err("nothing to show").to_string(), "test is gone");
}
