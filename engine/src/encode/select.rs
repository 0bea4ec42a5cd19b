//! From a client's list of encodings to the codec and the quality that it gets.

use super::{Codec, JpegStep, Subsampling};

/// JPEG quality levels, -32 (0) to -23 (9).
const QUALITY: std::ops::RangeInclusive<i32> = -32..=-23;
/// Compression levels, -256 (0) to -247 (9).
const COMPRESSION: std::ops::RangeInclusive<i32> = -256..=-247;
/// Fine JPEG quality, -512 (0) to -412 (100).
const FINE_QUALITY: std::ops::RangeInclusive<i32> = -512..=-412;
/// Subsampling: -768 none, -767 4:2:0, -766 4:2:2, -765 grey, -764 and -763 coarser.
const SUBSAMPLING: std::ops::RangeInclusive<i32> = -768..=-763;

/// The ladder, best first. Six steps, so that clients with nearly the same wishes share results. A client's level 8 is what it is
/// in TigerVNC and TurboVNC: 92 with full colour.
pub const LADDER: [JpegStep; 6] = [
    JpegStep { quality: 95, subsampling: Subsampling::None },
    JpegStep { quality: 92, subsampling: Subsampling::None },
    JpegStep { quality: 80, subsampling: Subsampling::Half },
    JpegStep { quality: 70, subsampling: Subsampling::Quarter },
    JpegStep { quality: 50, subsampling: Subsampling::Quarter },
    JpegStep { quality: 30, subsampling: Subsampling::Quarter },
];

/// The effort of clients that do not say.
pub const DEFAULT_COMPRESSION: u8 = 2;

/// The first of a client's encodings that the engine has; [`Codec::Raw`] if there is none.
///
/// A connection must stay with one of Zlib and ZRLE for good: some clients have one inflater for both. The caller keeps that.
///
/// ```
/// use farpane_engine::encode::{Codec, codec};
/// assert_eq!(codec(&[-239, 1, 7, 16]), Codec::Tight);
/// ```
pub fn codec(client_encodings: &[i32]) -> Codec {
    let known = |n: &i32| Codec::ALL.into_iter().find(|codec| codec.number() == *n);
    client_encodings.iter().find_map(known).unwrap_or(Codec::Raw)
}

/// The effort a client asked for, 0 to 9; the last one counts.
pub fn compression(client_encodings: &[i32]) -> u8 {
    last(client_encodings, &COMPRESSION).map_or(DEFAULT_COMPRESSION, |n| n as u8)
}

/// The step of the [`LADDER`] that a client's quality levels ask for; none when it lists none, and then JPEG must not be sent.
///
/// Fine quality and subsampling override the coarse level, which stands for both.
pub fn jpeg_step(client_encodings: &[i32]) -> Option<JpegStep> {
    let coarse = last(client_encodings, &QUALITY);
    let fine = last(client_encodings, &FINE_QUALITY);
    let step = match (fine, coarse) {
        (Some(fine), _) => LADDER.iter().rposition(|s| i32::from(s.quality) >= fine).unwrap_or(0),
        (None, Some(coarse)) => match coarse {
            9 => 0,
            8 => 1,
            6..=7 => 2,
            4..=5 => 3,
            2..=3 => 4,
            _ => 5,
        },
        (None, None) => return None,
    };
    let mut step = LADDER[step];
    match last(client_encodings, &SUBSAMPLING) {
        Some(0) => step.subsampling = Subsampling::None,
        Some(2) => step.subsampling = Subsampling::Half,
        Some(3) => step.subsampling = Subsampling::Grey,
        Some(_) => step.subsampling = Subsampling::Quarter,
        None => {}
    }
    Some(step)
}

fn last(client_encodings: &[i32], range: &std::ops::RangeInclusive<i32>) -> Option<i32> {
    client_encodings.iter().rev().find(|n| range.contains(n)).map(|n| n - range.start())
}

/// The step so many rungs below `step`, the lowest at most: for a link that is congested.
///
/// ```
/// use farpane_engine::encode::{LADDER, lower};
/// assert_eq!(lower(LADDER[1], 2), LADDER[3]);
/// assert_eq!(lower(LADDER[5], 2), LADDER[5]);
/// ```
pub fn lower(step: JpegStep, rungs: u8) -> JpegStep {
    if rungs == 0 {
        return step;
    }
    let at = LADDER.iter().position(|s| s.quality <= step.quality).unwrap_or(LADDER.len() - 1);
    LADDER[(at + usize::from(rungs)).min(LADDER.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_encoding_that_we_have_counts() {
        assert_eq!(codec(&[]), Codec::Raw);
        assert_eq!(codec(&[1, 15, 50, -260, 16, 7]), Codec::Zrle);
        assert_eq!(codec(&[5, 5, 0]), Codec::Hextile);
        assert_eq!(codec(&[i32::MIN, i32::MAX, 6]), Codec::Zlib);
        for known in Codec::ALL {
            assert_eq!(codec(&[-239, known.number(), 7]), known);
        }
    }

    #[test]
    fn of_a_zlib_and_a_zstd_twin_the_one_listed_first_counts() {
        for (zlib, zstd) in
            [(Codec::Zlib, Codec::Zstd), (Codec::Tight, Codec::TightZstd), (Codec::Zrle, Codec::ZstdRle)]
        {
            assert_eq!(codec(&[zlib.number(), zstd.number()]), zlib);
            assert_eq!(codec(&[zstd.number(), zlib.number()]), zstd);
        }
    }

    #[test]
    fn the_last_level_counts() {
        assert_eq!(compression(&[7]), 2);
        assert_eq!(compression(&[-256, -247]), 9);
        assert_eq!(jpeg_step(&[7, -247]), None);
        assert_eq!(jpeg_step(&[-23, -32]), Some(LADDER[5]));
        assert_eq!(jpeg_step(&[-24]), Some(LADDER[1]));
    }

    #[test]
    fn fine_levels_override_coarse_ones() {
        assert_eq!(jpeg_step(&[-412, -32]).map(|s| s.quality), Some(95));
        assert_eq!(jpeg_step(&[-512 + 80, -32]).map(|s| s.quality), Some(80));
        assert_eq!(jpeg_step(&[-512]).map(|s| s.quality), Some(30));
        assert_eq!(jpeg_step(&[-24, -765]).map(|s| s.subsampling), Some(Subsampling::Grey));
        assert_eq!(jpeg_step(&[-24, -763]).map(|s| s.subsampling), Some(Subsampling::Quarter));
    }

    #[test]
    fn the_ladder_goes_down() {
        assert!(LADDER.is_sorted_by(|a, b| a.quality > b.quality));
    }
}
