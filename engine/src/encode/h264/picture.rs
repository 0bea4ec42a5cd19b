//! A picture in planes, as video encoders take it.

use crate::damage::MirrorData;
use crate::geometry::Rect;
use crate::kernel::CpuLevel;
use crate::kernel::ycbcr420::{Order, Rows, ycbcr420};
use crate::pixel::Layout;

/// Luma and two planes of chroma of half its sides; both sides are even, the last column and row repeated where the
/// rectangle's are odd. Rows have no padding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct I420 {
    width: u16,
    height: u16,
    bytes: Vec<u8>,
}

impl I420 {
    /// Converts a rectangle of a mirror, which must lie inside. Returns false, and changes nothing, where the mirror's pixels
    /// have other than eight bits a channel.
    pub fn load(&mut self, mirror: &MirrorData, rect: &Rect) -> bool {
        let order = match mirror.layout {
            Layout::BGRX => Order::Bgrx,
            Layout::RGBX => Order::Rgbx,
            _ => return false,
        };
        (self.width, self.height) = (rect.w.next_multiple_of(2), rect.h.next_multiple_of(2));
        let (w, h) = (usize::from(self.width), usize::from(self.height));
        self.bytes.resize(w * h * 3 / 2, 0);
        let level = CpuLevel::current();
        let (luma, chroma) = self.bytes.split_at_mut(w * h);
        let (cb, cr) = chroma.split_at_mut(w * h / 4);
        let planes = luma.chunks_exact_mut(w * 2).zip(cb.chunks_exact_mut(w / 2)).zip(cr.chunks_exact_mut(w / 2));
        for (y, ((luma, cb), cr)) in (rect.y..rect.bottom()).step_by(2).zip(planes) {
            let (first, second) = luma.split_at_mut(w);
            let below = (y + 1).min(rect.bottom() - 1);
            let rows = [mirror.row(rect, y), mirror.row(rect, below)];
            ycbcr420(level, order, rows, Rows { luma: [first, second], cb, cr });
        }
        true
    }

    /// Columns, even.
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// Rows, even.
    pub const fn height(&self) -> u16 {
        self.height
    }

    /// Luma, Cb and Cr.
    pub fn planes(&self) -> [&[u8]; 3] {
        let luma = usize::from(self.width) * usize::from(self.height);
        let (y, chroma) = self.bytes.split_at(luma);
        let (cb, cr) = chroma.split_at(luma / 4);
        [y, cb, cr]
    }
}
