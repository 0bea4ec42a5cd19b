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
