//! Rectangles made by hand: what the golden transcripts do not hold, and what must be refused.

use super::*;
use crate::geometry::{Point, Size};
use crate::pixel::ClientFormat;

const BYTE: ClientFormat = ClientFormat { true_colour: true, ..ClientFormat::COLOUR_MAP };

fn decoder(format: ClientFormat) -> Decoder {
    Decoder::new(format, Size::new(20, 20)).expect("a good format")
}

fn head(encoding: i32, x: u16, y: u16, w: u16, h: u16) -> RectHeader {
    RectHeader { x, y, w, h, encoding }
}

/// A chunk of a zlib stream that stores these bytes; the first of a stream has the header.
fn stored(first: bool, plain: &[u8]) -> Vec<u8> {
    let len = plain.len() as u16;
    let header: &[u8] = if first { &[0x78, 0x01] } else { &[] };
    [header, &[0], &len.to_le_bytes(), &(!len).to_le_bytes(), plain].concat()
}

fn zrle(tiles: &[u8]) -> Vec<u8> {
    let chunk = stored(true, tiles);
    [&(chunk.len() as u32).to_be_bytes()[..], &chunk].concat()
}

fn row(d: &Decoder, y: u16, x: u16, w: u16) -> Vec<u32> {
    (x..x + w).map(|x| d.value_at(x, y)).collect()
}

#[test]
fn corre_paints_background_then_rectangles() {
    let mut d = decoder(BYTE);
    d.decode(&head(encoding::CORRE, 1, 1, 4, 2), &[0, 0, 0, 1, 7, 9, 1, 0, 2, 1]).expect("a good rectangle");
    assert_eq!(row(&d, 1, 0, 6), [0, 7, 9, 9, 7, 0]);
    assert_eq!(row(&d, 2, 0, 6), [0, 7, 7, 7, 7, 0]);
    let outside = d.decode(&head(encoding::CORRE, 1, 1, 4, 2), &[0, 0, 0, 1, 7, 9, 3, 0, 2, 1]);
    assert!(matches!(outside, Err(DecodeError::Outside { .. })));
}

#[test]
fn trle_reuses_the_palette_of_the_tile_before() {
    let mut d = decoder(BYTE);
    // 18 columns: a tile of 16 with a palette of two, then one of 2 that reuses it packed, both one row
    let body = [2, 5, 6, 0b0101_0101, 0b1111_0000, 127, 0b1000_0000];
    d.decode(&head(encoding::TRLE, 0, 0, 18, 1), &body).expect("a good rectangle");
    assert_eq!(row(&d, 0, 0, 18), [5, 6, 5, 6, 5, 6, 5, 6, 6, 6, 6, 6, 5, 5, 5, 5, 6, 5]);
    // and as runs
    let body = [130, 5, 6, 0x81, 13, 0, 1, 129, 0x80, 1];
    d.decode(&head(encoding::TRLE, 0, 1, 18, 1), &body).expect("a good rectangle");
    assert_eq!(row(&d, 1, 12, 6), [6, 6, 5, 6, 5, 5]);
}

#[test]
fn the_gradient_adds_what_its_neighbours_predict() {
    let mut d = decoder(ClientFormat::BGRX);
    // 2x2 pixels of three bytes: exactly twelve, so they are compressed
    let sent = [10, 20, 30, 1, 1, 1, 5, 0, 255, 0, 0, 0];
    let chunk = stored(true, &sent);
    let body = [&[0x40, 2, chunk.len() as u8][..], &chunk].concat();
    d.decode(&head(encoding::TIGHT, 0, 0, 2, 2), &body).expect("a good rectangle");
    assert_eq!(d.rgb_at(0, 0), [10, 20, 30]);
    assert_eq!(d.rgb_at(1, 0), [11, 21, 31]);
    assert_eq!(d.rgb_at(0, 1), [15, 20, 29]);
    // left + up - upper left
    assert_eq!(d.rgb_at(1, 1), [16, 21, 30]);
    assert_eq!(d.count("tight gradient"), 1);
    let refused = decoder(BYTE).decode(&head(encoding::TIGHT, 0, 0, 1, 1), &[0x40, 2, 1]);
    assert!(matches!(refused, Err(DecodeError::Rule(_))));
}

#[test]
fn tight_data_below_twelve_bytes_leaves_its_stream_alone() {
    let mut d = decoder(BYTE);
    d.decode(&head(encoding::TIGHT, 0, 0, 11, 1), &[&[0x00][..], &[3; 11]].concat()).expect("plain data");
    let chunk = stored(true, &[4; 12]);
    let long = [&[0x00, chunk.len() as u8][..], &chunk].concat();
    d.decode(&head(encoding::TIGHT, 0, 1, 12, 1), &long).expect("a first chunk with a header");
    let chunk = stored(false, &[5; 12]);
    let more = [&[0x00, chunk.len() as u8][..], &chunk].concat();
    d.decode(&head(encoding::TIGHT, 0, 2, 12, 1), &more).expect("a chunk that goes on");
    let reset = [&[0x01, long[1]][..], &long[2..]].concat();
    d.decode(&head(encoding::TIGHT, 0, 3, 12, 1), &reset).expect("a new stream after a reset");
    assert_eq!([0, 1, 2, 3].map(|y| d.value_at(10, y)), [3, 4, 5, 4]);
    assert_eq!((d.count("tight uncompressed"), d.count("tight reset")), (1, 1));
    assert!(d.decode(&head(encoding::TIGHT, 0, 3, 12, 1), &long).is_err(), "a header amid the stream");
}

#[test]
fn tight_limits_hold() {
    let mut d = Decoder::new(BYTE, Size::new(4000, 40)).expect("a good size");
    let fill = [0x80, 1];
    assert!(d.decode(&head(encoding::TIGHT, 0, 0, 2048, 32), &fill).is_ok());
    assert!(d.decode(&head(encoding::TIGHT, 0, 0, 2049, 1), &fill).is_err());
    assert!(d.decode(&head(encoding::TIGHT, 0, 0, 2048, 33), &fill).is_err());
    assert!(d.decode(&head(encoding::TIGHT, 0, 0, 0, 1), &fill).is_err());
    for control in [0xa0, 0xb0, 0xf0] {
        assert!(d.decode(&head(encoding::TIGHT, 0, 0, 1, 1), &[control, 0, 0]).is_err(), "{control:#x}");
    }
    assert!(d.decode(&head(encoding::TIGHT, 0, 0, 12, 1), &[0x00, 0]).is_err(), "a length of zero");
    assert!(d.decode(&head(encoding::TIGHT, 0, 0, 1, 1), &[0x40, 1, 0, 7, 0]).is_err(), "a palette of one");
    let index = d.decode(&head(encoding::TIGHT, 0, 0, 2, 1), &[0x40, 1, 2, 7, 8, 9, 0, 3]);
    assert!(matches!(index, Err(DecodeError::Range { what: "palette index", value: 3, .. })));
}

#[test]
fn zrle_faults_are_named() {
    let area = head(encoding::ZRLE, 0, 0, 4, 1);
    let faults: [(&[u8], &str); 8] = [
        (&[1, 7, 0], "1 bytes left over after zrle tiles"),
        (&[0, 1, 2, 3], "zrle tiles ends early: 0 bytes left where 1 are needed"),
        (&[128, 7, 4], "run length 5 (expected 1..=4)"),
        (&[3, 7, 8, 9, 0b1100_0000], "palette index 3 (expected 0..=2)"),
        (&[130, 7, 8, 2], "palette index 2 (expected 0..=1)"),
        (&[17, 7], "tile type 17 (expected 0..=16)"),
        (&[129], "tile type 129 (expected 0..=16)"),
        (&[0; 12], "zrle stream: more bytes than the rectangle holds"),
    ];
    for (tiles, words) in faults {
        let fault = decoder(BYTE).decode(&area, &zrle(tiles)).expect_err("a fault");
        assert_eq!(fault.to_string(), words);
    }
    let mut d = decoder(BYTE);
    d.decode(&area, &zrle(&[130, 7, 8, 0x81, 2, 0])).expect("runs that fit");
    assert_eq!(row(&d, 0, 0, 4), [8, 8, 8, 7]);
}

#[test]
fn zlib_must_give_exactly_the_rectangle() {
    for (len, good) in [(3, false), (4, true), (5, false)] {
        let body = zrle(&vec![9; len]);
        assert_eq!(decoder(BYTE).decode(&head(encoding::ZLIB, 0, 0, 4, 1), &body).is_ok(), good, "{len} bytes");
    }
    let mut finished = stored(true, &[9; 4]);
    finished[2] = 1;
    finished.extend([0, 0x91, 0, 0x25]);
    let body = [&(finished.len() as u32).to_be_bytes()[..], &finished].concat();
    let fault = decoder(BYTE).decode(&head(encoding::ZLIB, 0, 0, 4, 1), &body);
    assert!(matches!(fault, Err(DecodeError::Inflate { .. })), "{fault:?}");
}

#[test]
fn hextile_colours_do_not_survive_a_raw_tile() {
    let raw: Vec<u8> = [&[1][..], &[3; 16]].concat();
    let carried = [&[2, 5][..], &[0]].concat();
    assert!(decoder(BYTE).decode(&head(encoding::HEXTILE, 0, 0, 17, 1), &carried).is_ok());
    let lost = [&raw[..], &[0]].concat();
    assert!(decoder(BYTE).decode(&head(encoding::HEXTILE, 0, 0, 17, 1), &lost).is_err());
    let no_foreground = [2, 5, 8, 1, 0, 0];
    assert!(decoder(BYTE).decode(&head(encoding::HEXTILE, 0, 0, 17, 1), &no_foreground).is_err());
}

#[test]
fn rectangles_outside_the_picture_are_refused() {
    let mut d = decoder(BYTE);
    for (x, y, w, h) in [(20, 0, 1, 1), (0, 20, 1, 1), (0, 0, 21, 1), (0, 0, 1, 21), (65_535, 65_535, 65_535, 65_535)] {
        for encoding in [0, 1, 2, 4, 5, 6, 7, 15, 16] {
            let fault = d.decode_prefix(&head(encoding, x, y, w, h), &[0; 64]);
            assert!(matches!(fault, Err(DecodeError::Outside { .. })), "{encoding}: {fault:?}");
        }
    }
    let source = d.decode(&head(encoding::COPY_RECT, 0, 0, 10, 10), &[0, 11, 0, 0]);
    assert!(matches!(source, Err(DecodeError::Outside { .. })));
}

#[test]
fn copies_may_overlap() {
    let mut d = decoder(BYTE);
    d.decode(&head(encoding::RAW, 0, 0, 5, 1), &[1, 2, 3, 4, 5]).expect("pixels");
    d.decode(&head(encoding::COPY_RECT, 1, 0, 4, 1), &[0; 4]).expect("a copy");
    assert_eq!(row(&d, 0, 0, 6), [1, 1, 2, 3, 4, 0]);
}

#[test]
fn vmware_masks_become_a_shape() {
    let mut d = decoder(BYTE);
    let white = BYTE.value([255; 3]) as u8;
    let body = [0, 0, 0, 255, 255, white, 0, white];
    d.decode(&head(encoding::VMWARE_CURSOR, 1, 0, 3, 1), &body).expect("a good shape");
    let shape = d.cursor().expect("a shape");
    assert_eq!(shape.rgba, [255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 255]);
    assert_eq!(shape.hotspot, Point::new(1, 0));
}

#[test]
fn cursors_that_viewers_refuse_are_refused() {
    let mut d = decoder(ClientFormat::BGRX);
    let alpha = |rgba: [u8; 4]| [&[0; 4][..], &rgba].concat();
    assert!(d.decode(&head(encoding::CURSOR_WITH_ALPHA, 0, 0, 1, 1), &alpha([5, 6, 7, 7])).is_ok());
    assert!(d.decode(&head(encoding::CURSOR_WITH_ALPHA, 0, 0, 1, 1), &alpha([5, 6, 8, 7])).is_err());
    assert!(d.decode(&head(encoding::CURSOR_WITH_ALPHA, 1, 0, 1, 1), &alpha([0; 4])).is_err());
    assert!(d.decode(&head(encoding::CURSOR, 0, 0, 257, 1), &[]).is_err());
    assert!(d.decode(&head(encoding::X_CURSOR, 0, 0, 0, 0), &[]).is_ok());
    assert_eq!(d.cursor().map(|c| c.size), Some(Size::default()));
}

#[test]
fn names_and_sizes_are_checked() {
    let mut d = decoder(BYTE);
    d.decode(&head(encoding::DESKTOP_NAME, 0, 0, 0, 0), "\0\0\0\u{5}Büro".as_bytes()).expect("a name");
    assert_eq!(d.name(), Some("Büro"));
    assert!(d.decode(&head(encoding::DESKTOP_NAME, 1, 0, 0, 0), &[0; 4]).is_err());
    assert!(d.decode(&head(encoding::DESKTOP_NAME, 0, 0, 0, 0), &[0, 0, 0, 1, 0xff]).is_err());
    assert!(d.decode(&head(encoding::DESKTOP_SIZE, 0, 0, 16_385, 1), &[]).is_err());
    d.decode(&head(encoding::RAW, 0, 0, 1, 1), &[9]).expect("a pixel");
    d.decode(&head(encoding::DESKTOP_SIZE, 0, 0, 30, 10), &[]).expect("a size");
    assert_eq!((d.size(), d.value_at(0, 0), d.value_at(29, 9)), (Size::new(30, 10), 9, 0));
    let layout = |n: u8, w: u8| [&[n, 0, 0, 0][..], &[0, 0, 0, 1, 0, 0, 0, 0, 0, w, 0, 5, 0, 0, 0, 0]].concat();
    d.decode(&head(encoding::EXTENDED_DESKTOP_SIZE, 1, 0, 8, 5), &layout(1, 8)).expect("a layout");
    assert_eq!((d.size(), d.layout().len()), (Size::new(8, 5), 1));
    assert!(d.decode(&head(encoding::EXTENDED_DESKTOP_SIZE, 1, 0, 8, 5), &layout(1, 9)).is_err());
    d.decode(&head(encoding::EXTENDED_DESKTOP_SIZE, 1, 3, 99, 99), &[0; 4]).expect("a refusal");
    assert_eq!((d.size(), d.resize_answers()), (Size::new(8, 5), &[(1, 0), (1, 3)][..]));
}

#[test]
fn a_new_size_comes_alone() {
    let viewer = || Viewer::new(BYTE, Size::new(4, 4)).expect("a good size");
    let size = [0, 0, 0, 0, 0, 2, 0, 2, 0xff, 0xff, 0xff, 0x21];
    let pixel = [0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 9];
    let events = viewer().feed(&[&[0, 0, 0, 1][..], &size].concat());
    assert!(matches!(&events.as_deref(), Ok([ServerEvent::Update(u)]) if u.bytes == 16));
    assert!(viewer().feed(&[&[0, 0, 0, 2][..], &size, &pixel].concat()).is_err());
    assert!(viewer().feed(&[&[0, 0, 0, 2][..], &pixel, &size].concat()).is_err());
}

#[test]
fn messages_that_drop_the_connection_are_faults() {
    let feed = |bytes: &[u8]| Viewer::new(BYTE, Size::new(4, 4)).expect("a good size").feed(bytes);
    assert_eq!(feed(&[4]), Err(DecodeError::UnknownMessage(4)));
    assert!(feed(&[1, 0, 0, 0, 0, 0]).is_err(), "a colour map for a true-colour client");
    assert!(feed(&[3, 0, 0, 0, 0x80, 0, 0, 0]).is_err(), "a length that cannot be negated");
    assert!(feed(&[3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]).is_err(), "an extended clipboard without flags");
    assert!(feed(&[248, 0, 0, 0, 0, 0, 0, 0, 65]).is_err(), "a fence of 65 bytes");
    assert_eq!(feed(&[0, 0, 0, 0, 2]).map(|e| e.len()), Ok(2), "an empty update and a bell");
}

#[test]
fn colour_map_entries_give_colours() {
    let mut viewer = Viewer::new(ClientFormat::COLOUR_MAP, Size::new(1, 1)).expect("a good size");
    viewer.feed(&[1, 0, 0, 5, 0, 1, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc]).expect("an entry");
    viewer.feed(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 5]).expect("a pixel");
    assert_eq!(viewer.decoder().rgb_at(0, 0), [0x12, 0x56, 0x9a]);
    assert!(viewer.feed(&[&[1, 0, 0, 255, 0, 2][..], &[0; 12]].concat()).is_err());
}

#[test]
fn every_prefix_of_a_rectangle_is_too_short_and_changes_nothing() {
    let chunk = stored(true, &[4; 12]);
    let bodies = [
        (encoding::RAW, vec![7; 12]),
        (encoding::RRE, [&[0, 0, 0, 1, 7, 9][..], &[0, 0, 0, 0, 0, 1, 0, 1]].concat()),
        (encoding::HEXTILE, vec![2 | 8 | 16, 5, 1, 6, 0, 0]),
        (encoding::ZLIB, zrle(&[4; 12])),
        (encoding::ZRLE, zrle(&[1, 4])),
        (encoding::TIGHT, [&[0x00, chunk.len() as u8][..], &chunk].concat()),
        (encoding::TRLE, vec![1, 4]),
    ];
    for (encoding, body) in bodies {
        let mut d = decoder(BYTE);
        let head = head(encoding, 3, 3, 12, 1);
        for cut in 0..body.len() {
            let fault = d.decode_prefix(&head, &body[..cut]).expect_err("too short");
            assert!(fault.is_short(), "{encoding} cut at {cut}: {fault}");
            assert!(d.pixels().iter().all(|v| *v == 0));
        }
        assert_eq!(d.decode_prefix(&head, &[&body[..], &[1, 2]].concat()), Ok(body.len()), "{encoding}");
        assert_ne!(d.value_at(3, 3), 0);
    }
}
