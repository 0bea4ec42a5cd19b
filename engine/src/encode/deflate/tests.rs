//! Chunks come back through two inflaters, whatever is in them, and stay within their bound.

use super::*;
use proptest::prelude::*;
use zlib_rs::{Inflate, InflateFlush, Status};

/// Inflates joined chunks with zlib-rs.
fn inflate(whole: &[u8], len: usize) -> Vec<u8> {
    let mut inflater = Inflate::new(false, 15);
    let mut out = vec![0; len + 1];
    let status = inflater.decompress(whole, &mut out, InflateFlush::SyncFlush);
    assert_eq!(status, Ok(Status::Ok), "the stream is legal and not finished");
    assert_eq!(inflater.total_in() as usize, whole.len());
    out.truncate(inflater.total_out() as usize);
    out
}

/// Bits of a stream, for the inflater of these tests.
struct Reader<'a> {
    data: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn bits(&mut self, n: usize) -> usize {
        let mut value = 0;
        for i in 0..n {
            value |= usize::from(self.data[self.at / 8] >> (self.at % 8) & 1) << i;
            self.at += 1;
        }
        value
    }

    /// One symbol of a canonical code, walked length by length.
    fn symbol(&mut self, code: &Code) -> usize {
        let (mut value, mut first, mut at) = (0, 0, 0);
        for here in &code.per_length[1..] {
            value |= self.bits(1);
            if value < first + here {
                return code.symbols[at + value - first];
            }
            at += here;
            first = (first + here) << 1;
            value <<= 1;
        }
        panic!("no such code at bit {}", self.at);
    }
}

/// A canonical code: its symbols by length, then by number.
struct Code {
    per_length: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    /// A complete code, neither over-full nor short of codes.
    fn new(lengths: &[usize]) -> Self {
        let mut per_length = [0; 16];
        lengths.iter().filter(|l| **l > 0).for_each(|l| per_length[*l] += 1);
        let sum: usize = (1..16).map(|l| per_length[l] << (15 - l)).sum();
        assert_eq!(sum, 1 << 15, "an incomplete code: {lengths:?}");
        let symbols = (1..16).flat_map(|l| (0..lengths.len()).filter(move |s| lengths[*s] == l)).collect();
        Self { per_length, symbols }
    }
}

/// Inflates one chunk straight from RFC 1951, with nothing before it in the window; it must end in a sync flush.
fn inflate_cold(chunk: &[u8]) -> Vec<u8> {
    let mut r = Reader { data: chunk, at: 0 };
    let mut out = Vec::new();
    loop {
        assert_eq!(r.bits(1), 0, "no block is the last");
        let (literals, distances) = match r.bits(2) {
            0 => {
                r.at = r.at.next_multiple_of(8);
                let (len, not) = (r.bits(16), r.bits(16));
                assert_eq!(len, !not & 0xffff);
                out.extend((0..len).map(|_| r.bits(8) as u8));
                if len == 0 {
                    assert_eq!(r.at, chunk.len() * 8, "the sync flush ends the chunk");
                    return out;
                }
                continue;
            }
            1 => {
                let lengths: Vec<usize> = [[8; 144].as_slice(), &[9; 112], &[7; 24], &[8; 8]].concat();
                (Code::new(&lengths), Code::new(&[5; 32]))
            }
            2 => {
                let (l, d, c) = (r.bits(5) + 257, r.bits(5) + 1, r.bits(4) + 4);
                assert!(l <= 286 && d <= 30);
                let mut codes = vec![0; 19];
                for s in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15].into_iter().take(c) {
                    codes[s] = r.bits(3);
                }
                let codes = Code::new(&codes);
                let mut all: Vec<usize> = Vec::new();
                while all.len() < l + d {
                    let (value, n) = match r.symbol(&codes) {
                        16 => (*all.last().expect("a length before"), 3 + r.bits(2)),
                        17 => (0, 3 + r.bits(3)),
                        18 => (0, 11 + r.bits(7)),
                        s => (s, 1),
                    };
                    all.extend(std::iter::repeat_n(value, n));
                }
                assert_eq!(all.len(), l + d);
                let distances = all.split_off(l);
                (Code::new(&all), Code::new(&distances))
            }
            _ => panic!("a reserved type of block"),
        };
        loop {
            let length = match r.symbol(&literals) {
                256 => break,
                s @ 0..256 => {
                    out.push(s as u8);
                    continue;
                }
                s @ 257..265 => s - 254,
                285 => 258,
                s => {
                    let extra = (s - 261) / 4;
                    ((4 + (s - 265) % 4) << extra) + 3 + r.bits(extra)
                }
            };
            let distance = match r.symbol(&distances) {
                s @ 0..4 => s + 1,
                s => {
                    let extra = s / 2 - 1;
                    ((2 + s % 2) << extra) + 1 + r.bits(extra)
                }
            };
            assert!(distance <= out.len() && distance <= 32_768, "a distance of {distance} at {}", out.len());
            (0..length).for_each(|_| out.push(out[out.len() - distance]));
        }
    }
}

const SHAPES: [Shape; 6] = [
    Shape { pixel_bytes: 0, row_bytes: 0 },
    Shape { pixel_bytes: 1, row_bytes: 64 },
    Shape { pixel_bytes: 2, row_bytes: 100 },
    Shape { pixel_bytes: 3, row_bytes: 192 },
    Shape { pixel_bytes: 4, row_bytes: 1024 },
    Shape { pixel_bytes: 0, row_bytes: 13 },
];

/// The most that a chunk may have beyond its data.
fn slack(len: usize) -> usize {
    16 + len / 1000
}

/// Every shape of a fast chunk comes back, cold, within the bound, and the same a second time.
fn assert_comes_back(deflater: &mut Deflater, data: &[u8]) {
    for (shape, compression) in SHAPES.into_iter().flat_map(|s| [(s, 2), (s, 5)]) {
        let chunk = deflater.chunk(data, shape, compression);
        assert!(chunk.ends_with(&[0, 0, 0xff, 0xff]));
        assert!(chunk.len() <= data.len() + slack(data.len()), "{} bytes became {}", data.len(), chunk.len());
        assert!(inflate(&chunk, data.len()) == data, "{} bytes of {shape:?}, zlib-rs", data.len());
        assert!(inflate_cold(&chunk) == data, "{} bytes of {shape:?}, cold", data.len());
        assert_eq!(Deflater::default().chunk(data, shape, compression), chunk, "it depends on what came before");
    }
}

/// Sections of every length around a pixel and a match come back, whatever their shapes say and wherever they end.
fn assert_sections_come_back(deflater: &mut Deflater, data: &[u8], sections: &[Section]) {
    for compression in [1, 2, 5, 6] {
        let chunk = deflater.sections(data, sections, compression);
        assert!(chunk.ends_with(&[0, 0, 0xff, 0xff]));
        assert!(inflate(&chunk, data.len()) == data, "compression {compression}, {sections:?}, zlib-rs");
        assert!(inflate_cold(&chunk) == data, "compression {compression}, {sections:?}, cold");
        assert_eq!(Deflater::default().sections(data, sections, compression), chunk, "it depends on what came before");
    }
}

fn noise(seed: u32) -> impl Iterator<Item = u8> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
}

/// Pixels that differ a little from their neighbours.
fn photo(pixel_bytes: usize, len: usize) -> Vec<u8> {
    let mut grain = noise(len as u32);
    (0..len).map(|i| (i / pixel_bytes % 64 + i / 900 + usize::from(grain.next().unwrap_or(0) % 7)) as u8).collect()
}

/// Words of a small vocabulary.
fn text(len: usize) -> Vec<u8> {
    let words = [&b"the "[..], b"window ", b"of ", b"a ", b"pixel, ", b"      ", b"\n"];
    noise(5).flat_map(|n| words[usize::from(n) % words.len()].iter().copied()).take(len).collect()
}

#[test]
fn every_short_length_comes_back() {
    let mut deflater = Deflater::default();
    for len in (0..=300).chain((301..=600).step_by(7)) {
        for data in [vec![7; len], noise(3).take(len).collect(), text(len), photo(3, len)] {
            assert_comes_back(&mut deflater, &data);
        }
    }
}

#[test]
fn lengths_around_the_window_and_the_stored_block_come_back() {
    let mut deflater = Deflater::default();
    for len in [32_769, 65_534, 65_535, 65_536, 131_071] {
        for data in [vec![7; len], noise(3).take(len).collect(), text(len), photo(3, len)] {
            assert_comes_back(&mut deflater, &data);
        }
    }
}

#[test]
fn every_length_and_distance_of_a_match_comes_back() {
    let mut deflater = Deflater::default();
    for period in [1, 2, 3, 4, 5, 7, 8, 9, 256, 1000] {
        for len in [3, 4, 10, 11, 12, 18, 19, 35, 67, 131, 227, 257, 258, 259, 260, 261, 516, 517, 520] {
            let unit: Vec<u8> = noise(9).take(period).collect();
            let data: Vec<u8> = unit.iter().chain(&unit).copied().cycle().take(period + len).chain([1, 2, 3]).collect();
            assert_comes_back(&mut deflater, &data);
        }
    }
}

#[test]
fn the_farthest_match_comes_back() {
    let mut deflater = Deflater::default();
    for period in [32_767, 32_768, 32_769] {
        let unit: Vec<u8> = noise(9).take(period).collect();
        assert_comes_back(&mut deflater, &[&unit[..], &unit[..300]].concat());
    }
}

#[test]
fn counts_that_want_longer_codes_get_codes_of_the_bound() {
    // Fibonacci counts make the deepest tree
    let mut counts = [1u32, 1];
    let mut data = Vec::new();
    for symbol in 0..20u8 {
        data.extend(std::iter::repeat_n(symbol.wrapping_mul(13), counts[0] as usize));
        counts = [counts[1], counts[0] + counts[1]];
    }
    // no two alike beside each other: literals only
    let step = 7919;
    let shuffled: Vec<u8> = (0..data.len()).map(|i| data[i * step % data.len()]).collect();
    assert_comes_back(&mut Deflater::default(), &shuffled);
}

#[test]
fn the_places_start_anew_before_they_overflow() {
    let mut deflater = Deflater::default();
    let data = text(5_000);
    let first = deflater.chunk(&data, Shape::default(), 2);
    deflater.base = u32::MAX - LONGEST as u32;
    assert_eq!(deflater.chunk(&data, Shape::default(), 2), first);
    assert_eq!(deflater.chunk(&data, Shape::default(), 2), first);
    assert!(deflater.base < 20_000, "{}", deflater.base);
}

#[test]
fn a_run_is_nearly_nothing_and_a_letter_little() {
    let mut deflater = Deflater::default();
    assert!(deflater.chunk(&[7; 200], Shape::default(), 2).len() <= 10);
    assert!(deflater.chunk(&vec![7; 1 << 18], Shape::default(), 2).len() <= 300);
    assert!(deflater.chunk(b"abcabcabcabcabc", Shape::default(), 2).len() <= 12);
}

#[test]
fn chunks_of_every_level_join_to_one_stream() {
    let noise: Vec<u8> = noise(1).take(70_000).collect();
    let inputs: [&[u8]; 4] = [b"abcabcabcabc", &[0; 200_000], &noise, &[1]];
    let mut deflater = Deflater::default();
    let (mut chunks, mut plain) = (Vec::new(), Vec::new());
    for compression in 0..=9 {
        for data in inputs {
            let chunk = deflater.chunk(data, Shape::default(), compression);
            assert!(chunk.ends_with(&[0, 0, 0xff, 0xff]), "a sync flush ends it");
            chunks.extend_from_slice(&chunk);
            plain.extend_from_slice(data);
        }
    }
    assert!(inflate(&chunks, plain.len()) == plain);
}

#[test]
fn a_chunk_does_not_depend_on_what_came_before() {
    let mut deflater = Deflater::default();
    let first = deflater.chunk(b"the same words, the same words", Shape::default(), 6);
    deflater.chunk(&[7; 5_000], Shape::default(), 6);
    assert_eq!(deflater.chunk(b"the same words, the same words", Shape::default(), 6), first);
}

#[test]
fn sections_need_not_fit_the_data() {
    let mut deflater = Deflater::default();
    let data = photo(3, 5_000);
    let of = |lens: &[usize]| -> Vec<Section> {
        lens.iter()
            .zip(SHAPES.iter().cycle().skip(3))
            .map(|(len, shape)| Section { len: *len, shape: *shape })
            .collect()
    };
    for lens in [&[][..], &[0], &[1, 4_999], &[4_999], &[9_000], &[2_500, usize::MAX / 2], &[0, 0, 1, 2, 3, 0, 4_000]] {
        assert_sections_come_back(&mut deflater, &data, &of(lens));
        assert_sections_come_back(&mut deflater, &[7; 5_000], &of(lens));
        assert_sections_come_back(&mut deflater, &[], &of(lens));
    }
}

#[test]
fn pixels_that_say_where_they_begin_take_fewer_bytes() {
    // tiles as ZRLE has them: a byte, then 1024 pixels out of a hundred colours
    let colours: Vec<[u8; 3]> =
        (0..100u32).map(|i| i.wrapping_mul(0x9e37_79b1).to_le_bytes()[1..].try_into().expect("three")).collect();
    let mut pick = noise(4);
    let tile = |pick: &mut dyn Iterator<Item = u8>| -> Vec<u8> {
        let pixels = pick.take(1024).flat_map(|n| colours[usize::from(n) % 100]);
        std::iter::once(0).chain(pixels).collect()
    };
    let data: Vec<u8> = (0..8).flat_map(|_| tile(&mut pick)).collect();
    let (byte, pixels) = (Section::default(), Section { len: 3072, shape: Shape::pixels(3, 32) });
    let tiles = [Section { len: 1, ..byte }, pixels].repeat(8);
    let mut deflater = Deflater::default();
    let unknown = deflater.chunk(&data, Shape::default(), 5).len();
    let known = deflater.sections(&data, &tiles, 5).len();
    assert!(known * 20 < unknown * 19, "{known} bytes, {unknown} without sections");
}

#[test]
fn what_follows_noise_is_found() {
    let mut data: Vec<u8> = noise(8).take(150_000).collect();
    let repeated = data[150_000 - 9_996..].to_vec();
    (0..6).for_each(|_| data.extend_from_slice(&repeated));
    for (pixel_bytes, compression) in [(3, 2), (3, 5), (4, 5)] {
        let chunk = Deflater::default().chunk(&data, Shape::pixels(pixel_bytes, 64), compression);
        assert!(inflate(&chunk, data.len()) == data);
        assert!(chunk.len() < 165_000, "{} bytes, {pixel_bytes} a pixel", chunk.len());
    }
}

#[test]
fn more_compression_never_makes_pixels_larger() {
    let pictures = [photo(3, 100_000), noise(2).take(60_000).collect(), text(60_000), vec![9; 60_000]];
    for data in &pictures {
        let len = |c| Deflater::default().chunk(data, Shape::pixels(3, 64), c).len();
        let levels: Vec<usize> = [2, 3, 5, 6, 9].into_iter().map(len).collect();
        assert!(levels.is_sorted_by(|a, b| a >= b), "{levels:?}");
    }
}

#[test]
#[should_panic(expected = "a distance of")]
fn a_reference_to_before_the_chunk_is_seen() {
    // fixed codes: a match of three, one back, with nothing there
    inflate_cold(&[0b0000_0010, 0b0000_0010, 0, 0, 0, 0xff, 0xff]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn runs_noise_and_repeats_come_back(
        parts in proptest::collection::vec((0u8..4, any::<u8>(), 1usize..3_000, 1usize..40_000), 0..12),
    ) {
        let mut data: Vec<u8> = Vec::new();
        for (kind, value, len, back) in parts {
            match kind {
                0 => data.extend(std::iter::repeat_n(value, len)),
                1 => data.extend(noise(len as u32).take(len)),
                2 => data.extend(text(len)),
                _ if data.is_empty() => {}
                _ => (0..len).for_each(|_| data.push(data[data.len() - back.min(data.len())])),
            }
        }
        assert_comes_back(&mut Deflater::default(), &data);
    }

    #[test]
    fn sections_of_any_length_and_shape_come_back(
        lens in proptest::collection::vec((0usize..3_000, 0usize..6), 0..20),
        pixel_bytes in 1usize..5,
        len in 0usize..30_000,
        is_text in any::<bool>(),
    ) {
        let sections: Vec<Section> = lens.iter().map(|(len, shape)| Section { len: *len, shape: SHAPES[*shape] }).collect();
        let data = if is_text { text(len) } else { photo(pixel_bytes, len) };
        assert_sections_come_back(&mut Deflater::default(), &data, &sections);
    }
}
