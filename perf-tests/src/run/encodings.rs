//! Encodings as the command line names them, and what a viewer lists for each.

use crate::rfb::number as n;

/// An encoding under comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// What it is called.
    pub name: &'static str,
    /// Its number.
    pub number: i32,
    /// The JPEG quality that is listed with it.
    pub quality: Option<i32>,
}

/// All that can be asked for.
pub const ALL: &[Encoding] = &[
    Encoding { name: "tight-q8", number: n::TIGHT, quality: Some(8) },
    Encoding { name: "tight-q4", number: n::TIGHT, quality: Some(4) },
    Encoding { name: "tight-q1", number: n::TIGHT, quality: Some(1) },
    Encoding { name: "tight-q9", number: n::TIGHT, quality: Some(9) },
    Encoding { name: "tight", number: n::TIGHT, quality: None },
    Encoding { name: "zrle", number: n::ZRLE, quality: None },
    Encoding { name: "zlib", number: n::ZLIB, quality: None },
    Encoding { name: "hextile", number: n::HEXTILE, quality: None },
    Encoding { name: "raw", number: n::RAW, quality: None },
];

impl Encoding {
    /// Finds one by its name.
    pub fn of(name: &str) -> Option<Self> {
        ALL.iter().copied().find(|e| e.name == name)
    }

    /// Whether pixels may differ from the screen's.
    pub fn lossy(&self) -> bool {
        self.quality.is_some()
    }

    /// What the viewer lists: the encoding, copies, compression level 2, and what every viewer of today lists beside.
    pub fn listed(&self, fences: bool) -> Vec<i32> {
        let mut list = vec![self.number, n::COPY_RECT, n::COMPRESS_0 + 2];
        list.extend(self.quality.map(|q| n::QUALITY_0 + q));
        list.extend([n::CURSOR, n::DESKTOP_SIZE, n::EXTENDED_DESKTOP_SIZE, n::LAST_RECT]);
        if fences {
            list.extend([n::FENCE, n::CONTINUOUS_UPDATES]);
        }
        list
    }
}
