//! The encoder against OpenH264's own decoder.

use std::time::Instant;

use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use openh264::nal_units;
use proptest::prelude::*;

use super::*;
use crate::damage::Mirror;
use crate::geometry::Size;
use crate::pixel::Layout;

/// A soft picture that moves.
fn picture(w: u16, h: u16, at: u32) -> I420 {
    let mirror = Mirror::new(Size::new(w, h), Layout::BGRX, Instant::now());
    for (i, px) in mirror.write().pixels.iter_mut().enumerate() {
        let (x, y) = (i as u32 % u32::from(w) + at * 2, i as u32 / u32::from(w) + at);
        let wave = |v: u32, period: u32| (v % period).abs_diff(period / 2) * 255 / period;
        let grain = (x.wrapping_mul(0x9e37_79b1) ^ (y + at).wrapping_mul(0x85eb_ca6b)) >> 20 & 7;
        *px = wave(x, 90) << 16 | wave(y, 70) << 8 | wave(x + y, 110);
        *px = (*px >> 1 & 0x007f_7f7f) + 0x0030_3030 + grain * 0x0001_0101;
    }
    let mut planes = I420::default();
    assert!(planes.load(&mirror.read(), &Size::new(w, h).rect()));
    planes
}

fn kinds(unit: &[u8]) -> Vec<u8> {
    nal_units(unit).map(|nal| nal.iter().skip_while(|b| **b == 0).nth(1).map_or(0, |b| b & 31)).collect()
}

/// Encodes `keys.len()` pictures and decodes each; returns the units.
fn chain(w: u16, h: u16, keys: &[bool], step: impl Fn(usize) -> VideoStep) -> Vec<Vec<u8>> {
    let mut encoder = software().expect("an encoder");
    let mut decoder = Decoder::new().expect("a decoder");
    let units = keys.iter().enumerate().map(|(i, &key)| {
        let source = picture(w, h, i as u32);
        let mut unit = Vec::new();
        let is_key = encoder.encode(&source, key, step(i), &mut unit).expect("a picture");
        assert_eq!(is_key, key || i == 0, "picture {i}");
        assert_eq!(kinds(&unit), if is_key { vec![7, 8, 5] } else { vec![1] }, "picture {i}");
        let shown = decoder.decode(&unit).expect("a legal stream").expect("a picture for each unit");
        assert_eq!(shown.dimensions(), (source.width().into(), source.height().into()));
        let stride = shown.strides().0;
        let rows = shown.y().chunks(stride).zip(source.planes()[0].chunks(source.width().into()));
        let off: u64 = rows.flat_map(|(a, b)| a.iter().zip(b)).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        let mean = off as f64 / f64::from(source.width()) / f64::from(source.height());
        assert!(mean < 6.0, "luma is off by {mean:.1} on average in picture {i} of {w}x{h}");
        unit
    });
    units.collect()
}

#[test]
fn a_chain_begins_with_parameters_and_has_one_slice_a_picture() {
    chain(640, 360, &[true, false, false, true, false], |_| VideoStep::for_quality(92));
}

#[test]
fn a_coarser_step_takes_fewer_bytes_and_no_key_picture() {
    let steps = [VideoStep::for_quality(95), VideoStep::COARSEST];
    let units = chain(640, 360, &[true, false, false, false, false, false], |i| steps[i / 3]);
    assert!(units[4].len() * 2 < units[2].len(), "{:?}", units.iter().map(Vec::len).collect::<Vec<_>>());
}

#[test]
fn the_stream_says_its_profile_level_and_colours() {
    for (w, h) in [(96, 96), (640, 360), (1280, 722)] {
        let units = chain(w, h, &[true], |_| VideoStep::default());
        let sps = nal_units(&units[0]).next().expect("an SPS").to_vec();
        let at = sps.iter().position(|b| *b == 1).expect("a start code") + 1;
        // constrained baseline, level 5.1: the same whatever the size
        assert_eq!(sps[at..at + 4], [0x67, 0x42, 0xc0, 0x33], "{w}x{h}");
        // video_signal_type: limited range, colours described, 1/1/1; somewhere in the bits after the size
        let bits: String = sps[at..].iter().map(|b| format!("{b:08b}")).collect();
        assert!(bits.contains("10101000000010000000100000001"), "{w}x{h}: {bits}");
    }
}

#[test]
fn sizes_that_no_encoder_takes_are_refused() {
    let mut encoder = software().expect("an encoder");
    let mut out = Vec::new();
    for (w, h) in [(14, 100), (100, 8), (3842, 16), (2162, 2162)] {
        let e = encoder.encode(&picture(w, h, 0), true, VideoStep::default(), &mut out);
        assert!(matches!(e, Err(VideoError::Size(..))), "{w}x{h}: {e:?}");
    }
    encoder.encode(&picture(100, 100, 0), true, VideoStep::default(), &mut out).expect("a picture");
    let e = encoder.encode(&picture(102, 100, 0), false, VideoStep::default(), &mut out);
    assert!(matches!(e, Err(VideoError::Size(102, 100))), "{e:?}");
}

#[test]
fn the_largest_picture_is_encoded_either_way_up() {
    chain(3840, 2160, &[true, false], |_| VideoStep::for_quality(50));
    chain(2160, 3840, &[true], |_| VideoStep::for_quality(50));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn every_size_odd_and_even_is_encoded(w in 16u16..700, h in 16u16..500) {
        chain(w, h, &[true, false], |_| VideoStep::for_quality(92));
    }

    #[test]
    fn parts_fit_the_encoder_and_cover_the_rectangle(
        x in 0u16..500, y in 0u16..500, w in 16u16..16_000, h in 16u16..16_000
    ) {
        let rect = Rect::new(x, y, w, h);
        let parts = parts(rect);
        let mut left = crate::geometry::Region::from(rect);
        for p in &parts {
            prop_assert!(p.w.max(p.h) <= MAX_SIDES[0] && p.w.min(p.h) <= MAX_SIDES[1] && p.w.min(p.h) >= MIN_SIDE);
            left.subtract_rect(p);
        }
        prop_assert!(left.is_empty());
        prop_assert_eq!(parts.iter().map(Rect::area).sum::<u64>(), rect.area());
    }
}
