//! Transcripts of other servers decode to the pictures they showed.
//!
//! `golden/PROVENANCE.md` says where they come from.

use farpane_engine::geometry::Size;
use farpane_engine::pixel::ClientFormat;
use farpane_engine::refdec::{DecodeError, ServerEvent, Viewer};
use std::path::PathBuf;

/// One transcript: where the first message after ServerInit starts and how to read it.
struct Case {
    name: String,
    bytes: Vec<u8>,
    start: usize,
    size: Size,
    format: ClientFormat,
    index: String,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn format_of(b: &[u8]) -> ClientFormat {
    if b[3] == 0 {
        return ClientFormat { depth: b[1], ..ClientFormat::COLOUR_MAP };
    }
    ClientFormat {
        bpp: b[0],
        depth: b[1],
        big_endian: b[2] != 0,
        true_colour: true,
        r_max: u16_at(b, 4),
        g_max: u16_at(b, 6),
        b_max: u16_at(b, 8),
        r_shift: b[10],
        g_shift: b[11],
        b_shift: b[12],
    }
}

impl Case {
    /// All transcripts are of version 3.8 with security type None.
    fn load(name: &str) -> Self {
        let read = |file: &str| std::fs::read(folder().join(name).join(file)).expect("a golden file");
        let (bytes, sent) = (read("s2c.bin"), read("c2s.bin"));
        let init = 12 + 1 + usize::from(bytes[12]) + 4;
        let name_len = u32::from_be_bytes(bytes[init + 20..init + 24].try_into().expect("four bytes"));
        // a SetPixelFormat, where there is one, is the client's first message
        let format = if sent[14] == 0 { format_of(&sent[18..34]) } else { format_of(&bytes[init + 4..init + 20]) };
        Self {
            name: name.into(),
            start: init + 24 + name_len as usize,
            size: Size::new(u16_at(&bytes, init), u16_at(&bytes, init + 2)),
            format,
            index: String::from_utf8(read("index.tsv")).expect("a text"),
            bytes,
        }
    }

    fn all() -> Vec<Self> {
        let mut names: Vec<String> = std::fs::read_dir(folder())
            .expect("the folder of golden files")
            .map(|e| e.expect("an entry"))
            .filter(|e| e.path().is_dir())
            .map(|e| e.file_name().into_string().expect("a plain name"))
            .collect();
        names.sort();
        assert!(names.len() >= 35, "only {} transcripts", names.len());
        names.iter().map(|n| Self::load(n)).collect()
    }

    fn stream(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn viewer(&self) -> Viewer {
        Viewer::new(self.format, self.size).expect("a valid format")
    }

    /// Feeds the transcript in pieces of `step` bytes.
    fn play(&self, step: usize) -> Result<(Viewer, Vec<ServerEvent>), DecodeError> {
        let mut viewer = self.viewer();
        let mut events = Vec::new();
        for piece in self.stream().chunks(step) {
            events.extend(viewer.feed(piece)?);
        }
        Ok((viewer, events))
    }

    /// The picture the index names at the end, and whether it is to be reached exactly.
    fn picture(&self) -> Option<(Vec<u8>, bool)> {
        let line = self.index.lines().find(|l| l.starts_with("# final picture"))?;
        let file = line.split_whitespace().last()?;
        Some((ppm(file, self.size), line.contains("identical to")))
    }
}

fn ppm(file: &str, size: Size) -> Vec<u8> {
    let bytes = std::fs::read(folder().join(file)).expect("a picture");
    let head = format!("P6\n{} {}\n255\n", size.w, size.h);
    bytes.strip_prefix(head.as_bytes()).expect("a PPM of the screen's size").to_vec()
}

/// Largest difference of a channel.
fn difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(p, q)| p.abs_diff(*q)).max().unwrap_or(0)
}

/// Average difference of a channel.
fn mean_difference(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let sum: u64 = a.iter().zip(b).map(|(p, q)| u64::from(p.abs_diff(*q))).sum();
    sum as f64 / a.len() as f64
}

/// Whether every channel is within half a step of the format's levels.
fn within_rounding(viewer: &Viewer, rgb: &[u8]) -> bool {
    let f = viewer.decoder().format();
    let half = [f.r_max, f.g_max, f.b_max].map(|max| 255_u16.div_ceil(2 * max));
    let got = viewer.decoder().to_rgb();
    assert_eq!(got.len(), rgb.len());
    got.iter().zip(rgb).zip(half.iter().cycle()).all(|((p, q), half)| u16::from(p.abs_diff(*q)) <= *half)
}

#[test]
fn every_transcript_ends_as_its_picture() {
    let mut pictures = 0;
    for case in Case::all() {
        let (viewer, _) = case.play(usize::MAX).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        assert!(viewer.is_between_messages(), "{}: ends within a message", case.name);
        let Some((want, exact)) = case.picture() else { continue };
        pictures += 1;
        let got = viewer.decoder().to_rgb();
        if exact {
            assert_eq!(difference(&got, &want), 0, "{}", case.name);
        } else if case.name.contains("jpeg") {
            let far = mean_difference(&got, &want);
            assert!(far < 2.0, "{}: {far} on average", case.name);
        } else {
            assert!(within_rounding(&viewer, &want), "{}: up to {}", case.name, difference(&got, &want));
        }
    }
    assert!(pictures >= 25, "only {pictures} transcripts name a picture");
}

#[test]
fn messages_and_rectangles_lie_where_the_index_says() {
    for case in Case::all() {
        let (_, events) = case.play(usize::MAX).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let messages: Vec<usize> = lengths(case.index.lines().skip(1).take_while(|l| !l.starts_with('#')));
        let got: Vec<usize> = events.iter().map(length).collect();
        assert_eq!(got, messages, "{}", case.name);
        let rects = case.index.lines().skip_while(|l| !l.starts_with("# rectangles")).skip(1);
        let rects = rects.take_while(|l| !l.starts_with('#')).filter(|l| !l.ends_with("LastRect"));
        let got: Vec<usize> = events.iter().flat_map(rects_of).collect();
        assert_eq!(got, lengths(rects), "{}", case.name);
    }
}

/// The second column.
fn lengths<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<usize> {
    lines.map(|l| l.split('\t').nth(1).and_then(|n| n.parse().ok()).expect("a length")).collect()
}

fn length(event: &ServerEvent) -> usize {
    match event {
        ServerEvent::Update(u) => u.bytes,
        ServerEvent::ColourMap { count, .. } => 6 + usize::from(*count) * 6,
        ServerEvent::Bell | ServerEvent::EndOfContinuousUpdates => 1,
        ServerEvent::CutText(t) | ServerEvent::ExtendedClipboard(t) => 8 + t.len(),
        ServerEvent::Fence { payload, .. } => 9 + payload.len(),
    }
}

fn rects_of(event: &ServerEvent) -> Vec<usize> {
    match event {
        ServerEvent::Update(u) => u.rects.iter().map(|r| r.bytes).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn every_kind_of_tile_and_filter_occurs() {
    let mut seen = std::collections::BTreeMap::<&str, u64>::new();
    for case in Case::all() {
        let (viewer, _) = case.play(usize::MAX).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        for (name, n) in viewer.decoder().counts() {
            *seen.entry(name).or_default() += n;
        }
    }
    for name in [
        "raw",
        "copyrect",
        "rre",
        "hextile raw",
        "hextile solid",
        "hextile subrects",
        "hextile coloured",
        "zlib",
        "tight fill",
        "tight jpeg",
        "tight copy",
        "tight mono",
        "tight indexed",
        "tight uncompressed",
        "zrle raw",
        "zrle solid",
        "zrle packed palette",
        "zrle plain rle",
        "zrle palette rle",
        "cursor",
        "x cursor",
        "alpha cursor",
        "vmware cursor",
        "led state",
        "extended desktop size",
    ] {
        assert!(seen.contains_key(name), "{name} does not occur in {seen:?}");
    }
}

#[test]
fn all_pointer_shapes_show_the_same_pointer() {
    let shapes: Vec<_> = ["pseudo-cursor", "pseudo-alphacursor", "pseudo-vmwarecursor"]
        .iter()
        .map(|name| {
            let (viewer, _) = Case::load(name).play(usize::MAX).expect("a good transcript");
            viewer.decoder().cursor().expect("a pointer").clone()
        })
        .collect();
    for shape in &shapes {
        assert_eq!((shape.size, shape.hotspot), (shapes[0].size, shapes[0].hotspot));
        assert_eq!(shape.rgba.len() as u64, shape.size.area() * 4);
    }
}

#[test]
fn pieces_of_any_size_decode_alike() {
    for name in ["seq-tight", "seq-zrle", "viewer-hextile", "seq-rre", "pseudo-mix", "fmt-colourmap"] {
        let case = Case::load(name);
        let (whole, events) = case.play(usize::MAX).expect("a good transcript");
        for step in [1, 7, 1000] {
            let stream = if step == 1 { &case.stream()[..case.stream().len().min(6000)] } else { case.stream() };
            let mut viewer = case.viewer();
            let mut got = Vec::new();
            for piece in stream.chunks(step) {
                got.extend(viewer.feed(piece).unwrap_or_else(|e| panic!("{name} by {step}: {e}")));
            }
            assert_eq!(got[..], events[..got.len()], "{name} by {step}");
            if stream.len() == case.stream().len() {
                assert_eq!(viewer.decoder().pixels(), whole.decoder().pixels(), "{name} by {step}");
            }
        }
    }
}

#[test]
fn a_wrong_pixel_in_the_picture_is_noticed() {
    let case = Case::load("seq-zrle");
    let (viewer, _) = case.play(usize::MAX).expect("a good transcript");
    let (mut want, _) = case.picture().expect("a picture");
    assert_eq!(difference(&viewer.decoder().to_rgb(), &want), 0);
    want[3 * 12_345] ^= 1;
    assert_eq!(difference(&viewer.decoder().to_rgb(), &want), 1);
    let case = Case::load("fmt-565le-zrle");
    let (viewer, _) = case.play(usize::MAX).expect("a good transcript");
    let (mut want, _) = case.picture().expect("a picture");
    assert!(within_rounding(&viewer, &want));
    want[3 * 12_345] ^= 16;
    assert!(!within_rounding(&viewer, &want));
}

#[test]
fn an_edited_byte_shows_in_the_picture() {
    let case = Case::load("seq-raw");
    let (good, _) = case.play(usize::MAX).expect("a good transcript");
    let mut edited = Case::load("seq-raw");
    // within the first rectangle's pixels, the low byte of one
    let at = edited.start + 4 + 12 + 4 * 27;
    edited.bytes[at] ^= 0x40;
    let (bad, _) = edited.play(usize::MAX).expect("still a legal stream");
    assert_ne!(good.decoder().pixels(), bad.decoder().pixels());
}

#[test]
fn a_cut_transcript_stays_within_a_message() {
    for name in ["seq-tight", "seq-zrle", "seq-hextile", "lvs-zlib"] {
        let case = Case::load(name);
        let mut viewer = case.viewer();
        let cut = &case.stream()[..case.stream().len() - 1];
        viewer.feed(cut).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(!viewer.is_between_messages(), "{name}");
    }
}

#[test]
fn what_was_not_listed_is_a_fault() {
    let case = Case::load("seq-zrle");
    let mut viewer = case.viewer();
    viewer.expect_only(&[16, -224]);
    assert_eq!(viewer.feed(case.stream()), Err(DecodeError::NotListed(1)));
    assert_eq!(viewer.feed(&[]), Err(DecodeError::NotListed(1)), "the fault stays");
    let mut viewer = case.viewer();
    viewer.expect_only(&[16, -224, 1]);
    assert!(viewer.feed(case.stream()).is_ok());
}

#[test]
fn no_mutated_byte_makes_the_decoder_panic() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let (mut faults, mut runs) = (0, 0);
    for case in Case::all() {
        let stream = case.stream();
        for round in 0..24 {
            let mut bytes = stream.to_vec();
            for _ in 0..=round % 3 {
                // headers are near the start; half of the edits go there
                let reach = if random() & 1 == 0 { bytes.len().min(200) } else { bytes.len() };
                let at = random() as usize % reach;
                bytes[at] = random() as u8;
            }
            if round % 8 == 7 {
                bytes.truncate(random() as usize % bytes.len());
            }
            runs += 1;
            faults += usize::from(case.viewer().feed(&bytes).is_err());
        }
    }
    assert!(faults * 10 > runs, "only {faults} of {runs} edited transcripts were refused");
}

#[test]
fn a_jpeg_of_another_size_than_its_rectangle_is_refused() {
    let mut case = Case::load("viewer-tight-jpeg");
    // the width of the first rectangle, which the index puts at byte 153
    assert_eq!(case.bytes[153 + 4..153 + 6], [0, 200]);
    case.bytes[153 + 5] = 199;
    assert!(matches!(case.play(usize::MAX), Err(DecodeError::Jpeg(_))));
}
