//! What a part of the picture shows: photograph, or text and flat areas that must stay exact.
//!
//! The judgement is per cell of 16x16 pixels, from every second row: how often a pixel differs from its left neighbour, and
//! how much. Photographs differ nearly everywhere and mostly little; letters differ seldom and much.

use super::scratch::Picture;
use crate::damage::MirrorData;
use crate::geometry::Rect;
use crate::kernel::CpuLevel;
use crate::kernel::neighbour_steps::{self, Steps, count_row};
use crate::pixel::Layout;

const CELL: u16 = neighbour_steps::CELL as u16;
/// The largest difference of a channel that counts as little.
const LITTLE: u8 = 28;

/// What a part of the picture mostly shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    /// Next to nothing: a plain area.
    Flat,
    /// A photograph, or a picture of a film.
    Photo,
    /// Letters and lines.
    Text,
}

/// Judges a part of a mirror; none where its pixels have other than eight bits a channel.
pub(crate) fn content_of(mirror: &MirrorData, rect: &Rect) -> Option<Content> {
    if mirror.layout.bits != 8 || rect.is_empty() {
        return None;
    }
    let cells = judge_cells(Picture::of_mirror(mirror, *rect), rect, mirror.layout);
    let of = |kinds: &[Judged]| cells.iter().filter(|c| kinds.contains(c)).count();
    Some(if of(&[Judged::Photo, Judged::Soft]) * 2 >= cells.len() {
        Content::Photo
    } else if of(&[Judged::Sharp]) * 5 >= cells.len() {
        Content::Text
    } else {
        Content::Flat
    })
}

/// The content of one cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Judged {
    /// Nothing or next to nothing changes.
    Flat,
    /// Changes little, too seldom to be called a photograph by itself.
    Soft,
    /// Changes nearly everywhere.
    Photo,
    /// Edges.
    Sharp,
}

/// Judges the cells of a part of a picture of mirror words with eight bits a channel, row by row; those at the right and bottom edge are
/// ragged.
fn judge_cells(words: Picture<'_>, rect: &Rect, layout: Layout) -> Vec<Judged> {
    let columns = usize::from(rect.w.div_ceil(CELL));
    let (level, mask) = (CpuLevel::current(), layout.mask());
    let mut cells = Vec::with_capacity(columns * usize::from(rect.h.div_ceil(CELL)));
    let mut steps = vec![Steps::default(); columns];
    let mut y = rect.y;
    while y < rect.bottom() {
        let band = Rect { y, h: CELL.min(rect.bottom() - y), ..*rect };
        steps.fill(Steps::default());
        words.rows(&band).step_by(2).for_each(|row| count_row(level, row, mask, LITTLE, &mut steps));
        cells.extend(steps.iter().map(judge));
        y += band.h;
    }
    cells
}

/// The judged cells of a part.
#[cfg(feature = "jpeg")]
pub(super) struct Cells {
    rect: Rect,
    columns: usize,
    cells: Vec<Judged>,
}

#[cfg(feature = "jpeg")]
impl Cells {
    pub(super) fn of(words: Picture<'_>, rect: &Rect, layout: Layout) -> Self {
        let columns = usize::from(rect.w.div_ceil(CELL));
        Self { rect: *rect, columns, cells: judge_cells(words, rect, layout) }
    }

    /// The box that photographic cells fill, on cell borders; none when there are none or other content is mixed with them.
    pub(super) fn photo(&self) -> Option<Rect> {
        let (mut x0, mut y0, mut x1, mut y1) = (usize::MAX, usize::MAX, 0, 0);
        for (i, _) in self.cells.iter().enumerate().filter(|(_, c)| **c == Judged::Photo) {
            let (x, y) = (i % self.columns, i / self.columns);
            (x0, y0, x1, y1) = (x0.min(x), y0.min(y), x1.max(x + 1), y1.max(y + 1));
        }
        if x0 == usize::MAX {
            return None;
        }
        let (mut photo, mut soft, mut sharp, mut flat) = (0, 0, 0, 0);
        for row in self.cells.chunks_exact(self.columns).take(y1).skip(y0) {
            for cell in &row[x0..x1] {
                match cell {
                    Judged::Photo => photo += 1,
                    Judged::Soft => soft += 1,
                    Judged::Sharp => sharp += 1,
                    Judged::Flat => flat += 1,
                }
            }
        }
        let all = photo + soft + sharp + flat;
        // few cells of another kind are part of the photograph: a bright edge, a patch of clear sky
        if (photo + soft) * 8 < all * 7 || sharp * 16 > all || flat * 16 > all || photo * 2 < all {
            return None;
        }
        let at = |origin: u16, cell: usize, end: u16| origin.saturating_add(cell as u16 * CELL).min(end);
        let r = &self.rect;
        Some(Rect::from_corners(
            at(r.x, x0, r.right()),
            at(r.y, y0, r.bottom()),
            at(r.x, x1, r.right()),
            at(r.y, y1, r.bottom()),
        ))
    }
}

fn judge(&Steps { seen, changed, much }: &Steps) -> Judged {
    if changed * 16 <= seen {
        if much * 4 > changed && changed > 1 { Judged::Sharp } else { Judged::Flat }
    } else if changed * 100 >= seen * 85 || (changed * 2 >= seen && much * 2 <= changed) {
        Judged::Photo
    } else if much * 4 <= changed {
        Judged::Soft
    } else {
        Judged::Sharp
    }
}

/// What is left of a rectangle around a part of it: above, below, left, right; empty ones left out.
#[cfg(feature = "jpeg")]
pub(super) fn around(r: &Rect, part: &Rect) -> impl Iterator<Item = Rect> + use<> {
    [
        Rect::from_corners(r.x, r.y, r.right(), part.y),
        Rect::from_corners(r.x, part.bottom(), r.right(), r.bottom()),
        Rect::from_corners(r.x, part.y, part.x, part.bottom()),
        Rect::from_corners(part.right(), part.y, r.right(), part.bottom()),
    ]
    .into_iter()
    .filter(|r| !r.is_empty())
}
