//! The viewer's framing finds every message and rectangle of real servers' transcripts where their index says.

use farpane_perf_tests::rfb::{Element, Frames, FramingError, PixelShape, RectHead, number};
use std::path::PathBuf;

struct Case {
    name: String,
    stream: Vec<u8>,
    shape: PixelShape,
    index: String,
}

fn cases() -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/golden");
    let mut all: Vec<Case> = std::fs::read_dir(folder)
        .expect("the golden transcripts")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.is_dir())
        .map(|p| {
            let read = |file: &str| std::fs::read(p.join(file)).expect("a golden file");
            let (bytes, sent) = (read("s2c.bin"), read("c2s.bin"));
            let init = 12 + 1 + usize::from(bytes[12]) + 4;
            let name = u32::from_be_bytes(bytes[init + 20..init + 24].try_into().expect("four bytes"));
            let format = if sent[14] == 0 { &sent[18..34] } else { &bytes[init + 4..init + 20] };
            let (bits, depth, true_colour) = (usize::from(format[0]), format[1], format[3]);
            let wide = format[4..10] == [0, 255, 0, 255, 0, 255];
            let tight = if bits == 32 && depth == 24 && true_colour != 0 && wide { 3 } else { bits / 8 };
            Case {
                name: p.file_name().expect("a name").to_string_lossy().into_owned(),
                stream: bytes[init + 24 + name as usize..].to_vec(),
                shape: PixelShape { bytes: bits / 8, tight },
                index: String::from_utf8(read("index.tsv")).expect("a text"),
            }
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(all.len() >= 35, "only {} transcripts", all.len());
    all
}

/// Lengths of messages, and of rectangles without LastRect.
fn cut(case: &Case, stream: &[u8]) -> Result<(Vec<usize>, Vec<usize>, usize), FramingError> {
    let mut frames = Frames::new(case.shape);
    let (mut messages, mut rects, mut at, mut update) = (Vec::new(), Vec::new(), 0, 0);
    while at < stream.len() || update > 0 {
        let Some((element, length)) = frames.next(&stream[at..])? else { break };
        at += length;
        match element {
            Element::UpdateBegins => update = length,
            Element::Rect(RectHead { encoding, .. }, bytes) => {
                assert_eq!(bytes, length);
                update += length;
                if encoding != number::LAST_RECT {
                    rects.push(length);
                }
            }
            Element::UpdateEnds => messages.push(std::mem::take(&mut update)),
            _ => messages.push(length),
        }
    }
    Ok((messages, rects, at))
}

fn lengths<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<usize> {
    lines.map(|l| l.split('\t').nth(1).and_then(|n| n.parse().ok()).expect("a length")).collect()
}

#[test]
fn messages_and_rectangles_end_where_the_index_says() {
    let mut encodings = std::collections::BTreeSet::new();
    for case in cases() {
        let (messages, rects, used) = cut(&case, &case.stream).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        assert_eq!(used, case.stream.len(), "{}: bytes are left", case.name);
        let want = lengths(case.index.lines().skip(1).take_while(|l| !l.starts_with('#')));
        assert_eq!(messages, want, "{}", case.name);
        let lines = case.index.lines().skip_while(|l| !l.starts_with("# rectangles")).skip(1);
        let lines: Vec<&str> = lines.take_while(|l| !l.starts_with('#')).filter(|l| !l.ends_with("LastRect")).collect();
        assert_eq!(rects, lengths(lines.iter().copied()), "{}", case.name);
        encodings.extend(lines.iter().filter_map(|l| l.split('\t').nth(6)?.parse::<i32>().ok()));
    }
    for wanted in [0, 1, 2, 5, 6, 7, 16, -239, -240, -314, number::VMWARE_CURSOR, -308] {
        assert!(encodings.contains(&wanted), "no transcript has encoding {wanted}: {encodings:?}");
    }
}

#[test]
fn a_stream_cut_anywhere_waits_for_the_rest() {
    for case in cases() {
        let (messages, ..) = cut(&case, &case.stream).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        for share in [1, 3, 5, 7, 9] {
            let short = &case.stream[..case.stream.len() * share / 10];
            let (some, _, used) = cut(&case, short).unwrap_or_else(|e| panic!("{}: {e}", case.name));
            assert!(used <= short.len() && messages.starts_with(&some), "{} cut at {share}/10", case.name);
        }
    }
}

#[test]
fn what_no_server_may_send_is_an_error() {
    let next = |bytes: &[u8]| Frames::new(PixelShape::BGRX).next(bytes);
    assert_eq!(next(&[77]), Err(FramingError::Message(77)));
    assert!(matches!(next(&[3, 0, 0, 0, 0x7f, 0, 0, 0]), Err(FramingError::TooLong { .. })));
    let rect = |encoding: i32, body: &[u8]| {
        let mut frames = Frames::new(PixelShape::BGRX);
        let begun = frames.next(&[0, 0, 0, 1]);
        assert_eq!(begun, Ok(Some((Element::UpdateBegins, 4))));
        let mut bytes = vec![0, 0, 0, 0, 0, 16, 0, 16];
        bytes.extend(encoding.to_be_bytes());
        bytes.extend(body);
        frames.next(&bytes)
    };
    assert_eq!(rect(50, &[0; 64]), Err(FramingError::Encoding(50)));
    assert_eq!(rect(number::TIGHT, &[0xa0; 64]), Err(FramingError::Tight(0xa0)));
    assert!(matches!(rect(number::ZRLE, &[0xff; 64]), Err(FramingError::TooLong { .. })));
    assert!(matches!(rect(number::RRE, &[0xff; 64]), Err(FramingError::TooLong { .. })));
}

#[test]
fn an_empty_update_begins_and_ends() {
    let mut frames = Frames::new(PixelShape::BGRX);
    assert_eq!(frames.next(&[0, 0, 0, 0]), Ok(Some((Element::UpdateBegins, 4))));
    assert_eq!(frames.next(&[]), Ok(Some((Element::UpdateEnds, 0))));
    assert_eq!(frames.next(&[2]), Ok(Some((Element::Other, 1))));
}
