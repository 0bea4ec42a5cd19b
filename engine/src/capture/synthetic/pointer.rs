//! The pointer of the scenes: an arrow that wanders over the desktop.

use super::{Scene, SyntheticSpec};
use crate::frame::CursorImage;
use crate::geometry::{Point, Size};

/// The arrow: `#` its edge, `.` its body.
const ARROW: [&str; 19] = [
    "#           ",
    "##          ",
    "#.#         ",
    "#..#        ",
    "#...#       ",
    "#....#      ",
    "#.....#     ",
    "#......#    ",
    "#.......#   ",
    "#........#  ",
    "#.........# ",
    "#......#####",
    "#...#..#    ",
    "#..##..#    ",
    "#.#  #..#   ",
    "##   #..#   ",
    "#     #..#  ",
    "      #..#  ",
    "       ##   ",
];

pub(super) fn image() -> CursorImage {
    let size = Size::new(12, 19);
    let mut rgba = Vec::with_capacity(usize::from(size.w) * usize::from(size.h) * 4);
    for c in ARROW.iter().flat_map(|row| row.chars()) {
        rgba.extend_from_slice(match c {
            '#' => &[0, 0, 0, 255],
            '.' => &[255, 255, 255, 255],
            _ => &[0; 4],
        });
    }
    CursorImage { size, hotspot: Point::new(0, 0), rgba, serial: 1 }
}

/// On the demo's desktop: along a path that repeats after half a minute or so; elsewhere in the middle.
pub(super) fn position(spec: &SyntheticSpec, n: u64) -> Point {
    let (w, h) = (u64::from(spec.size.w), u64::from(spec.size.h));
    if spec.scene != Scene::Desktop {
        return Point::new((w / 2) as u16, (h / 2) as u16);
    }
    let ms = n * 1000 / u64::from(spec.fps);
    let swing = |period: u64, span: u64| {
        let t = ms % period * 65_536 / period;
        let up = if t < 32_768 { t * 2 } else { (65_536 - t) * 2 };
        // eased at both ends: 3t^2 - 2t^3 in sixteenths of a bit
        let eased = up * up / 65_536 * (3 * 65_536 - 2 * up) / 65_536;
        span / 8 + eased * (span * 3 / 4) / 65_536
    };
    Point::new(swing(11_000, w) as u16, swing(7_000, h) as u16)
}
