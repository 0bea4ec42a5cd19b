//! The framebuffer file of Xvfb (`-fbdir`): an XWD dump that the server draws into.
//!
//! SOURCE: `XWDFile.h`, version 7: big-endian 32-bit words. Size and stride are those of the server's start for good; the
//! size in use comes from RandR.

use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::X11Error;
use crate::frame::{Mapping, Piece};
use crate::geometry::{Rect, Size};

/// A framebuffer file, mapped.
#[derive(Clone, Debug)]
pub(super) struct Framebuffer {
    /// The mapping.
    pub(super) memory: Arc<Mapping>,
    size: Size,
    stride: usize,
    start: usize,
}

impl Framebuffer {
    /// Maps the file of a screen whose pixels have `depth` significant bits.
    pub(super) fn new(file: OwnedFd, depth: u8) -> Result<Self, X11Error> {
        let file = std::fs::File::from(file);
        let mut head = [0u8; 100];
        file.read_exact_at(&mut head, 0).map_err(|e| X11Error::Framebuffer(format!("header: {e}")))?;
        let (size, stride, start) = layout(&head, depth).map_err(X11Error::Framebuffer)?;
        let len = start + stride * usize::from(size.h);
        let memory = Mapping::new(&file, len).map_err(|e| X11Error::Framebuffer(e.to_string()))?;
        Ok(Self { memory: Arc::new(memory), size, stride, start })
    }

    /// Whether the picture of a screen of this size lies inside.
    pub(super) fn holds(&self, size: Size) -> bool {
        size.w <= self.size.w && size.h <= self.size.h
    }

    /// Where an output at `place` of the screen lies; `rect` is in the output's own pixels.
    pub(super) fn piece(&self, place: Rect) -> Piece {
        Piece {
            rect: place.size().rect(),
            offset: self.start + usize::from(place.y) * self.stride + usize::from(place.x) * 4,
            stride: self.stride,
        }
    }
}

/// Size, stride and first pixel, out of the header.
fn layout(head: &[u8; 100], depth: u8) -> Result<(Size, usize, usize), String> {
    let word = |i: usize| u32::from_be_bytes([head[4 * i], head[4 * i + 1], head[4 * i + 2], head[4 * i + 3]]);
    let expect = |what: &str, i: usize, value: u32| {
        (word(i) == value).then_some(()).ok_or_else(|| format!("{what} {} (expected {value})", word(i)))
    };
    expect("file version", 1, 7)?;
    expect("pixmap format", 2, 2)?;
    expect("depth", 3, u32::from(depth))?;
    expect("byte order", 7, 0)?;
    expect("bits per pixel", 11, 32)?;
    let side = |i: usize| {
        u16::try_from(word(i)).ok().filter(|v| *v > 0).ok_or_else(|| format!("side {} (expected 1..=65535)", word(i)))
    };
    let size = Size::new(side(4)?, side(5)?);
    let (stride, header, colours) = (word(12) as usize, word(0) as usize, word(19) as usize);
    if stride < usize::from(size.w) * 4 || stride > 4 * 65_536 || stride % 4 != 0 {
        return Err(format!(
            "{stride} bytes per line of {} pixels (expected {}..=262144)",
            size.w,
            u32::from(size.w) * 4
        ));
    }
    if !(100..=65_536).contains(&header) || colours > 65_536 || header % 4 != 0 {
        return Err(format!("header of {header} bytes and {colours} colours (expected 100..=65536 and up to 65536)"));
    }
    Ok((size, stride, header + 12 * colours))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> [u8; 100] {
        let mut head = [0; 100];
        for (i, v) in [(0, 160), (1, 7), (2, 2), (3, 24), (4, 640), (5, 480), (11, 32), (12, 2560), (19, 256u32)] {
            head[4 * i..4 * i + 4].copy_from_slice(&v.to_be_bytes());
        }
        head
    }

    #[test]
    fn the_first_pixel_follows_header_and_colours() {
        assert_eq!(layout(&header(), 24), Ok((Size::new(640, 480), 2560, 3232)));
    }

    #[test]
    fn a_word_that_does_not_fit_is_named() {
        for (i, v, part) in [
            (1, 6u32, "file version 6"),
            (3, 16, "depth 16"),
            (4, 0, "side 0"),
            (5, 70_000, "side 70000"),
            (7, 1, "byte order"),
            (11, 16, "bits per pixel 16"),
            (12, 2556, "2556 bytes per line"),
            (0, 99, "header of 99"),
            (19, u32::MAX, "colours"),
        ] {
            let mut head = header();
            head[4 * i..4 * i + 4].copy_from_slice(&v.to_be_bytes());
            let error = layout(&head, 24).expect_err(part);
            assert!(error.contains(part), "{error}");
        }
    }
}
