//! What a viewer saw, found afterwards: the kept bytes are decoded by the engine's reference decoder, so that decoding takes
//! no time from what is measured.

use crate::marker;
use crate::paint::{Area, Picture};
use crate::rfb::{Client, RectHead, Update, number};
use anyhow::Context;
use farpane_engine::geometry::Size;
use farpane_engine::pixel::ClientFormat;
use farpane_engine::refdec::{Decoder, RectHeader};
use std::time::Instant;

/// Decodes a viewer's bytes, update by update.
pub struct Replay {
    decoder: Decoder,
    w: u32,
    h: u32,
    next: usize,
    /// Only what touches these has to be right; empty for everything.
    interest: Vec<Area>,
}

impl Replay {
    /// From the beginning of the connection. With `interest`, rectangles that touch none of it and leave nothing behind
    /// in a stream are skipped.
    ///
    /// # Errors
    /// When the bytes were not kept or the screen's size is beyond what the decoder takes.
    pub fn new(client: &Client, interest: Vec<Area>) -> anyhow::Result<Self> {
        let decoder = Decoder::new(ClientFormat::BGRX, Size::new(client.w, client.h))?;
        Ok(Self { decoder, w: client.w.into(), h: client.h.into(), next: 0, interest })
    }

    /// Decodes the viewer's next update and returns it, or none when there is none yet.
    ///
    /// # Errors
    /// When the bytes were not kept, or the server sent what no viewer can decode.
    pub fn step<'a>(&mut self, client: &'a Client) -> anyhow::Result<Option<&'a Update>> {
        anyhow::ensure!(client.kept(), "too many bytes came to be decoded afterwards");
        let Some(update) = client.updates.get(self.next) else { return Ok(None) };
        self.next += 1;
        for (head, from, bytes) in &update.rects {
            let body = &client.bytes[from + 12..from + bytes];
            if head.encoding == number::LAST_RECT || self.skippable(head, body) {
                continue;
            }
            for (piece, body) in pieces(head, body) {
                let RectHead { x, y, w, h, encoding } = piece;
                let header = RectHeader { x, y, w, h, encoding };
                self.decoder.decode(&header, body).with_context(|| format!("update {}: {head:?}", self.next))?;
            }
        }
        Ok(Some(update))
    }

    fn skippable(&self, head: &RectHead, body: &[u8]) -> bool {
        let area = Area::new(head.x.into(), head.y.into(), head.w.into(), head.h.into());
        if self.interest.is_empty() || self.interest.iter().any(|i| i.meets(&area)) {
            return false;
        }
        match head.encoding {
            number::RAW | number::COPY_RECT | number::RRE | number::HEXTILE => true,
            // JPEG and fills without a stream reset leave nothing behind
            number::TIGHT => matches!(body.first(), Some(0x80 | 0x90)),
            _ => false,
        }
    }

    /// The picture so far.
    pub fn picture(&self) -> Picture {
        let (w, h) = (self.w, self.h);
        let px = self.decoder.pixels().iter().map(|p| p & 0x00ff_ffff).collect();
        Picture { w, h, px }
    }

    /// A part of the picture so far.
    pub fn part(&self, area: Area) -> Picture {
        let mut out = Picture::new(area.w, area.h, 0);
        for y in 0..area.h {
            for x in 0..area.w {
                let value = self.decoder.value_at((area.x + x) as u16, (area.y + y) as u16);
                out.row_mut(y)[x as usize] = value & 0x00ff_ffff;
            }
        }
        out
    }

    /// The frame that every marker shows, or the oldest of those they show.
    pub fn frame(&self, markers: &[(u32, u32)]) -> Option<u32> {
        let at = |x: u32, y: u32| self.decoder.rgb_at(x as u16, y as u16);
        markers.iter().map(|(x, y)| marker::read(*x, *y, at)).collect::<Option<Vec<u32>>>()?.into_iter().min()
    }
}

/// A rectangle as the strict decoder takes it: one of Tight that is of one colour may be larger than others, which every
/// viewer tolerates, and is cut.
fn pieces<'b>(head: &RectHead, body: &'b [u8]) -> Vec<(RectHead, &'b [u8])> {
    let fill = head.encoding == number::TIGHT && body.first() == Some(&0x80);
    if !fill || u32::from(head.w) * u32::from(head.h) <= 65_536 && head.w <= 2048 {
        return vec![(*head, body)];
    }
    let mut out = Vec::new();
    for y in (0..head.h).step_by(32) {
        for x in (0..head.w).step_by(2048) {
            let (w, h) = (2048.min(head.w - x), 32.min(head.h - y));
            out.push((RectHead { x: head.x + x, y: head.y + y, w, h, encoding: head.encoding }, body));
        }
    }
    out
}

/// When each frame was seen.
///
/// # Errors
/// As [`Replay::step`].
pub fn frames_seen(client: &Client, markers: &[(u32, u32)]) -> anyhow::Result<Vec<(u32, Instant)>> {
    let interest = markers.iter().map(|(x, y)| Area::new(*x, *y, marker::MARKER_W, marker::MARKER_H)).collect();
    let mut replay = Replay::new(client, interest)?;
    let mut seen: Vec<(u32, Instant)> = Vec::new();
    while let Some(update) = replay.step(client)? {
        if let Some(frame) = replay.frame(markers)
            && seen.last().is_none_or(|(last, _)| frame > *last)
        {
            seen.push((frame, update.at));
        }
    }
    Ok(seen)
}

/// How far two pictures are apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Pixels that are not the same.
    pub px: u64,
    /// Peak signal to noise in dB; infinite when nothing differs.
    pub psnr: f64,
    /// The same, of the worst 64-px tile.
    pub worst_tile: f64,
}

/// Compares pictures of one size.
///
/// # Panics
/// When their sizes differ.
pub fn difference(a: &Picture, b: &Picture) -> Difference {
    assert_eq!((a.w, a.h), (b.w, b.h), "pictures of two sizes");
    let tiles_across = a.w.div_ceil(64) as usize;
    let mut tiles = vec![0_u64; tiles_across * a.h.div_ceil(64) as usize];
    let mut px = 0;
    for y in 0..a.h {
        for (x, (p, q)) in a.row(y).iter().zip(b.row(y)).enumerate() {
            if p != q {
                px += 1;
                let square = |shift: u32| u64::from((p >> shift & 255).abs_diff(q >> shift & 255)).pow(2);
                tiles[y as usize / 64 * tiles_across + x / 64] += square(16) + square(8) + square(0);
            }
        }
    }
    let psnr = |sum: u64, px: u64| match sum {
        0 => f64::INFINITY,
        sum => 10.0 * (255.0 * 255.0 * 3.0 * px as f64 / sum as f64).log10(),
    };
    let worst = tiles.iter().copied().max().unwrap_or(0);
    Difference { px, psnr: psnr(tiles.iter().sum(), u64::from(a.w) * u64::from(a.h)), worst_tile: psnr(worst, 64 * 64) }
}

/// Lowest quality that a picture in JPEG may have to count as right.
pub const LEAST_PSNR: f64 = 26.0;
/// The same for the worst tile: below it stands something else than what should.
pub const LEAST_TILE_PSNR: f64 = 15.0;

/// What is wrong with a picture, if anything is.
pub fn fault(d: &Difference, lossy: bool) -> Option<String> {
    if lossy {
        let bad = d.psnr < LEAST_PSNR || d.worst_tile < LEAST_TILE_PSNR;
        bad.then(|| {
            format!("{:.1} dB, worst tile {:.1} dB (expected {LEAST_PSNR} and {LEAST_TILE_PSNR})", d.psnr, d.worst_tile)
        })
    } else {
        (d.px > 0).then(|| format!("{} pixels are not what is on the screen (expected 0)", d.px))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_pixel_is_a_fault_where_nothing_may_be_lost() {
        let a = Picture::new(200, 100, 0x0010_2030);
        let mut b = a.clone();
        assert_eq!(fault(&difference(&a, &b), false), None);
        b.px[4711] ^= 1;
        assert!(fault(&difference(&a, &b), false).is_some());
        assert_eq!(fault(&difference(&a, &b), true), None);
    }

    #[test]
    fn one_stale_tile_is_a_fault_even_in_jpeg() {
        let a = crate::paint::photo(640, 512, 5, 0);
        let mut b = a.clone();
        b.fill(Area::new(128, 64, 64, 64), 0);
        let d = difference(&a, &b);
        assert!(fault(&d, true).is_some(), "{d:?}");
        let c = crate::paint::photo(640, 512, 5, 1);
        assert!(fault(&difference(&a, &c), true).is_some(), "another frame passes as this one");
    }

    #[test]
    fn noise_of_jpeg_is_none() {
        let a = crate::paint::photo(640, 512, 5, 0);
        let mut b = a.clone();
        for (i, p) in b.px.iter_mut().enumerate() {
            *p ^= (i as u32).wrapping_mul(2_654_435_761) >> 29 & 0x7;
        }
        assert_eq!(fault(&difference(&a, &b), true), None);
    }
}
