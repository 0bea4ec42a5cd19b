//! The zstd twins: frames made by Debian's `zstd` 1.5.4 (`zstd -3 --no-check` of standard input), and faults.

use super::{DecodeError, Decoder, RectHeader, encoding};
use crate::geometry::Size;
use crate::pixel::ClientFormat;
use zstd::stream::raw::{Encoder, InBuffer, Operation, OutBuffer};

const BYTE: ClientFormat = ClientFormat { true_colour: true, ..ClientFormat::COLOUR_MAP };

/// 300 bytes of 7.
const SEVENS: [u8; 18] =
    [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x4d, 0x00, 0x00, 0x10, 0x07, 0x07, 0x01, 0x00, 0x27, 0x2a, 0xc0, 0x02];
/// Nine bytes of 3, two of 7 and one of 9.
const PLAIN: [u8; 21] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x68, 0x61, 0, 0, 3, 3, 3, 3, 3, 3, 3, 3, 3, 7, 7, 9];
/// A tile of ZRLE: four of 4, then eight of 5.
const RUNS: [u8; 14] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x48, 0x29, 0, 0, 128, 4, 3, 5, 7];

fn head(encoding: i32, w: u16, h: u16) -> RectHeader {
    RectHeader { x: 0, y: 0, w, h, encoding }
}

fn decoder() -> Decoder {
    Decoder::new(BYTE, Size::new(64, 64)).expect("a good format")
}

fn long(frame: &[u8]) -> Vec<u8> {
    [&(frame.len() as u32).to_be_bytes()[..], frame].concat()
}

fn tight(control: u8, frame: &[u8]) -> Vec<u8> {
    [&[control, frame.len() as u8][..], frame].concat()
}

/// The kinds of rectangle of twelve pixels, each with a frame.
fn bodies() -> [(i32, Vec<u8>); 3] {
    [(encoding::ZSTD, long(&PLAIN)), (encoding::TIGHT_ZSTD, tight(0x30, &PLAIN)), (encoding::ZSTD_RLE, long(&RUNS))]
}

#[test]
fn frames_of_another_encoder_decode_one_after_the_other() {
    let mut d = decoder();
    for _ in 0..3 {
        d.decode(&head(encoding::ZSTD, 30, 10), &long(&SEVENS)).expect("a frame");
        assert!((0..10).all(|y| (0..30).all(|x| d.value_at(x, y) == 7)));
        for (encoding, body) in bodies() {
            d.decode(&head(encoding, 4, 3), &body).unwrap_or_else(|e| panic!("{encoding}: {e}"));
            let got: Vec<u32> = (0..12).map(|i| d.value_at(i % 4, i / 4)).collect();
            let want: &[u32] = match encoding {
                encoding::ZSTD_RLE => &[4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5],
                _ => &[3, 3, 3, 3, 3, 3, 3, 3, 3, 7, 7, 9],
            };
            assert_eq!(got, want, "{encoding}");
        }
    }
    assert_eq!((d.count("zstd"), d.count("tight zstd"), d.count("zstd rle")), (6, 3, 3));
}

#[test]
fn a_rectangle_cut_short_changes_nothing() {
    for (encoding, body) in bodies() {
        let mut d = decoder();
        for cut in 0..body.len() {
            let fault = d.decode_prefix(&head(encoding, 4, 3), &body[..cut]).expect_err("too short");
            assert!(fault.is_short(), "{encoding} cut at {cut}: {fault}");
        }
        assert_eq!(d.decode_prefix(&head(encoding, 4, 3), &body), Ok(body.len()));
    }
}

#[test]
fn what_some_viewer_cannot_take_is_refused() {
    let fault = |encoding, body: &[u8]| decoder().decode(&head(encoding, 4, 3), body).expect_err("a fault").to_string();
    assert_eq!(fault(encoding::ZSTD, &long(&[PLAIN, PLAIN].concat())), "21 bytes left over after zstd");
    assert_eq!(fault(encoding::ZSTD, &long(&PLAIN[..20])), "zstd: the frame goes on after its rectangle");
    assert_eq!(fault(encoding::ZSTD, &long(&SEVENS)), "zstd: more bytes than the rectangle holds");
    assert_eq!(fault(encoding::ZSTD, &long(&RUNS)), "zstd ends early: 5 bytes left where 12 are needed");
    assert_eq!(fault(encoding::TIGHT_ZSTD, &tight(0x01, &PLAIN)), "a stream reset in Tight with zstd");
    assert_eq!(fault(encoding::ZSTD_RLE, &long(&SEVENS)), "zstd rle: more bytes than the rectangle holds");
    assert!(fault(encoding::ZSTD, &long(&[0x78, 1, 1, 0, 0])).starts_with("zstd: "));
    let unknown = decoder().decode(&head(27, 4, 3), &long(&PLAIN));
    assert_eq!(unknown, Err(DecodeError::UnknownEncoding(27)));
}

#[test]
fn a_frame_that_lasts_beyond_its_rectangle_is_refused() {
    let mut encoder = Encoder::new(3).expect("an encoder");
    let mut frame = [0; 100];
    let mut out = OutBuffer::around(&mut frame[..]);
    encoder.run(&mut InBuffer::around(&[3; 12]), &mut out).expect("room");
    encoder.flush(&mut out).expect("room");
    let len = out.pos();
    let fault = decoder().decode(&head(encoding::ZSTD, 4, 3), &long(&frame[..len])).expect_err("a fault");
    assert_eq!(fault.to_string(), "zstd: the frame goes on after its rectangle");
}

#[test]
fn a_window_beyond_the_limit_is_refused() {
    // a window descriptor of 16 MiB
    let mut wide = PLAIN;
    wide[5] = 14 << 3;
    let fault = decoder().decode(&head(encoding::ZSTD, 4, 3), &long(&wide)).expect_err("a fault");
    assert!(fault.to_string().contains("memory"), "{fault}");
}
