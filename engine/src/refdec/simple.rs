//! Raw, CopyRect, RRE, CoRRE, Hextile, Zlib and Zstd.

use super::decoder::{Block, Decoder, RectHeader};
use super::reader::Reader;
use super::{DecodeError, encoding};

impl Decoder {
    pub(super) fn raw(&mut self, r: &mut Reader<'_>, head: &RectHeader) -> Result<(), DecodeError> {
        let bytes = r.take(head.area() * self.format.bytes())?;
        let block = self.pixels_of(bytes, head, "raw pixels")?;
        self.put(head, block);
        Ok(())
    }

    pub(super) fn zlib(&mut self, r: &mut Reader<'_>, head: &RectHeader) -> Result<(), DecodeError> {
        let len = r.u32()? as usize;
        let chunk = r.take(len)?;
        let size = head.area() * self.format.bytes();
        if size == 0 {
            return Err(DecodeError::Rule("an empty Zlib rectangle"));
        }
        let stream = if head.encoding == encoding::ZSTD { &mut self.zstd } else { &mut self.zlib };
        let bytes = stream.inflate_exact(chunk, size)?;
        let block = self.pixels_of(&bytes, head, "zlib pixels")?;
        self.put(head, block);
        Ok(())
    }

    fn pixels_of(&self, bytes: &[u8], head: &RectHeader, what: &'static str) -> Result<Block, DecodeError> {
        let mut r = Reader::chunk(bytes, what);
        let mut block = Block::new(head.w, head.h);
        for v in &mut block.values {
            *v = r.pixel(&self.format)?;
        }
        r.finish()?;
        Ok(block)
    }

    pub(super) fn copy_rect(&mut self, r: &mut Reader<'_>, head: &RectHeader) -> Result<(), DecodeError> {
        let from = RectHeader { x: r.u16()?, y: r.u16()?, ..*head };
        from.check_inside(self.size, "CopyRect source")?;
        let block = self.get(&from);
        self.put(head, block);
        Ok(())
    }

    pub(super) fn rre(&mut self, r: &mut Reader<'_>, head: &RectHeader, compact: bool) -> Result<(), DecodeError> {
        if compact && (head.w > 255 || head.h > 255) {
            return Err(DecodeError::Rule("a CoRRE rectangle larger than 255x255"));
        }
        let count = r.u32()?;
        let mut block = Block::new(head.w, head.h);
        block.fill(0, 0, head.w, head.h, r.pixel(&self.format)?)?;
        for _ in 0..count {
            let v = r.pixel(&self.format)?;
            let [x, y, w, h] = if compact {
                [r.u8()?.into(), r.u8()?.into(), r.u8()?.into(), r.u8()?.into()]
            } else {
                [r.u16()?, r.u16()?, r.u16()?, r.u16()?]
            };
            block.fill(x, y, w, h, v)?;
        }
        self.put(head, block);
        Ok(())
    }

    pub(super) fn hextile(&mut self, r: &mut Reader<'_>, head: &RectHeader) -> Result<(), DecodeError> {
        const RAW: u8 = 1;
        const BACKGROUND: u8 = 2;
        const FOREGROUND: u8 = 4;
        const SUBRECTS: u8 = 8;
        const COLOURED: u8 = 16;
        let mut whole = Block::new(head.w, head.h);
        let (mut background, mut foreground) = (None, None);
        let mut hits = Vec::new();
        for (x, y, w, h) in head.tiles(16) {
            let mask = r.u8()?;
            let mut tile = Block::new(w, h);
            if mask & RAW != 0 {
                if mask != RAW {
                    return Err(DecodeError::Rule("a Hextile mask with Raw and other bits"));
                }
                for v in &mut tile.values {
                    *v = r.pixel(&self.format)?;
                }
                (background, foreground) = (None, None);
                hits.push("hextile raw");
            } else {
                if mask & !(BACKGROUND | FOREGROUND | SUBRECTS | COLOURED) != 0 {
                    return Err(DecodeError::Range { what: "Hextile mask", value: mask.into(), min: 0, max: 31 });
                }
                if mask & BACKGROUND != 0 {
                    background = Some(r.pixel(&self.format)?);
                }
                let Some(v) = background else {
                    return Err(DecodeError::Rule("a Hextile tile without a background"));
                };
                tile.fill(0, 0, w, h, v)?;
                if mask & FOREGROUND != 0 {
                    if mask & COLOURED != 0 {
                        return Err(DecodeError::Rule("a Hextile mask with a foreground and coloured subrectangles"));
                    }
                    foreground = Some(r.pixel(&self.format)?);
                }
                if mask & COLOURED != 0 {
                    foreground = None;
                }
                hits.push(match (mask & SUBRECTS, mask & COLOURED) {
                    (0, _) => "hextile solid",
                    (_, 0) => "hextile subrects",
                    _ => "hextile coloured",
                });
                let count = if mask & SUBRECTS != 0 { r.u8()? } else { 0 };
                for _ in 0..count {
                    let v = if mask & COLOURED != 0 { Some(r.pixel(&self.format)?) } else { foreground };
                    let Some(v) = v else {
                        return Err(DecodeError::Rule("a Hextile tile without a foreground"));
                    };
                    let (at, size) = (r.u8()?, r.u8()?);
                    let wide = |v: u8| u16::from(v);
                    tile.fill(wide(at >> 4), wide(at & 15), wide(size >> 4) + 1, wide(size & 15) + 1, v)?;
                }
            }
            whole.put(x, y, &tile);
        }
        self.put(head, whole);
        for hit in hits {
            self.hit(hit);
        }
        Ok(())
    }
}
