//! Tight and its zstd twin: fill, JPEG, and palette, gradient or plain pixels through four streams.

use super::decoder::{Block, Decoder, RectHeader};
use super::reader::{Reader, tpixel_bytes};
use super::{DecodeError, encoding};
use crate::pixel::ClientFormat;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Widest rectangle that every client takes.
const MAX_WIDTH: u16 = 2048;
/// Largest area that TightVNC and UltraVNC clients take.
const MAX_AREA: usize = 65_536;
/// Filtered data shorter than this is sent as it is.
const MIN_TO_COMPRESS: usize = 12;

/// How the data after the filter byte is laid out.
enum Filter {
    Copy,
    Palette(Vec<u32>),
    Gradient,
}

impl Decoder {
    pub(super) fn tight(&mut self, r: &mut Reader<'_>, head: &RectHeader) -> Result<(), DecodeError> {
        let range = |what, value, max| DecodeError::Range { what, value, min: 1, max };
        if !(1..=MAX_WIDTH).contains(&head.w) {
            return Err(range("Tight width", head.w.into(), MAX_WIDTH.into()));
        }
        if !(1..=MAX_AREA).contains(&head.area()) {
            return Err(range("Tight area", head.area() as u64, MAX_AREA as u64));
        }
        let f = self.format;
        let control = r.u8()?;
        let resets = control & 15;
        if head.encoding == encoding::TIGHT_ZSTD && resets != 0 {
            // UltraVNC's viewer does not reset its zstd decoder
            return Err(DecodeError::Rule("a stream reset in Tight with zstd"));
        }
        let (block, hit) = match control >> 4 {
            8 => {
                let v = r.tpixel(&f)?;
                self.reset(resets);
                (Block { w: head.w, h: head.h, values: vec![v; head.area()] }, "tight fill")
            }
            9 => {
                let len = compact(r)?;
                let bytes = r.take(len)?;
                self.reset(resets);
                (jpeg(bytes, head, &f)?, "tight jpeg")
            }
            0..=7 => self.basic(r, head, control)?,
            kind => return Err(range("Tight compression control", kind.into(), 9)),
        };
        if resets != 0 {
            self.hit("tight reset");
        }
        self.hit(hit);
        self.put(head, block);
        Ok(())
    }

    fn reset(&mut self, resets: u8) {
        for (i, stream) in self.tight.iter_mut().enumerate() {
            if resets >> i & 1 != 0 {
                stream.reset();
            }
        }
    }

    fn basic(
        &mut self,
        r: &mut Reader<'_>,
        head: &RectHeader,
        control: u8,
    ) -> Result<(Block, &'static str), DecodeError> {
        let f = self.format;
        let (w, h) = (usize::from(head.w), usize::from(head.h));
        let filter = if control & 0x40 != 0 { r.u8()? } else { 0 };
        let filter = match filter {
            0 => Filter::Copy,
            1 => {
                let n = u16::from(r.u8()?) + 1;
                if n < 2 {
                    return Err(DecodeError::Range { what: "Tight palette", value: n.into(), min: 2, max: 256 });
                }
                Filter::Palette((0..n).map(|_| r.tpixel(&f)).collect::<Result<_, _>>()?)
            }
            2 if f.bpp == 8 || !f.true_colour => {
                return Err(DecodeError::Rule("a Tight gradient in an 8-bit format"));
            }
            2 => Filter::Gradient,
            n => return Err(DecodeError::Range { what: "Tight filter", value: n.into(), min: 0, max: 2 }),
        };
        let row = match &filter {
            Filter::Palette(p) if p.len() == 2 => w.div_ceil(8),
            Filter::Palette(_) => w,
            _ => w * tpixel_bytes(&f),
        };
        let size = row * h;
        let plain;
        let data = if size < MIN_TO_COMPRESS {
            let data = r.take(size)?;
            self.reset(control & 15);
            self.hit("tight uncompressed");
            data
        } else {
            let len = compact(r)?;
            let chunk = r.take(len)?;
            self.reset(control & 15);
            let stream = usize::from(control >> 4 & 3);
            self.hit(["tight stream 0", "tight stream 1", "tight stream 2", "tight stream 3"][stream]);
            let streams = if head.encoding == encoding::TIGHT_ZSTD { &mut self.tight_zstd } else { &mut self.tight };
            plain = streams[stream].inflate_exact(chunk, size)?;
            &plain[..]
        };
        let mut block = Block::new(head.w, head.h);
        let mut r = Reader::chunk(data, "tight pixels");
        let hit = match filter {
            Filter::Copy => {
                for v in &mut block.values {
                    *v = r.tpixel(&f)?;
                }
                "tight copy"
            }
            Filter::Palette(p) if p.len() == 2 => {
                for line in block.values.chunks_mut(w) {
                    let bits = r.take(row)?;
                    for (x, v) in line.iter_mut().enumerate() {
                        *v = p[usize::from(bits[x / 8] >> (7 - x % 8) & 1)];
                    }
                }
                "tight mono"
            }
            Filter::Palette(p) => {
                for v in &mut block.values {
                    let i = r.u8()?;
                    *v = *p.get(usize::from(i)).ok_or(DecodeError::Range {
                        what: "palette index",
                        value: i.into(),
                        min: 0,
                        max: p.len() as u64 - 1,
                    })?;
                }
                "tight indexed"
            }
            Filter::Gradient => {
                gradient(&mut r, &mut block, &f)?;
                "tight gradient"
            }
        };
        r.finish()?;
        Ok((block, hit))
    }
}

/// Undoes the prediction of each channel from its left, upper and upper left neighbours.
fn gradient(r: &mut Reader<'_>, block: &mut Block, f: &ClientFormat) -> Result<(), DecodeError> {
    let w = usize::from(block.w);
    let channels = [(f.r_max, f.r_shift), (f.g_max, f.g_shift), (f.b_max, f.b_shift)];
    for i in 0..block.values.len() {
        let sent = r.tpixel(f)?;
        let (left, up) = (i % w > 0, i >= w);
        let mut out = 0;
        for (max, shift) in channels {
            let at = |known: bool, back: usize| {
                if known { (block.values[i - back] >> shift & u32::from(max)) as i32 } else { 0 }
            };
            let guess = at(left, 1) + at(up, w) - at(left && up, w + 1);
            let guess = guess.clamp(0, max.into()) as u32;
            out |= ((sent >> shift).wrapping_add(guess) & u32::from(max)) << shift;
        }
        block.values[i] = out;
    }
    Ok(())
}

/// A compact length: 7, 7 and 8 bits, lowest first; never zero.
fn compact(r: &mut Reader<'_>) -> Result<usize, DecodeError> {
    let mut len = 0;
    for (shift, more) in [(0, true), (7, true), (14, false)] {
        let b = usize::from(r.u8()?);
        len |= if more { b & 127 } else { b } << shift;
        if b & 128 == 0 {
            break;
        }
    }
    if len == 0 {
        return Err(DecodeError::Range { what: "Tight length", value: 0, min: 1, max: 4_194_303 });
    }
    Ok(len)
}

fn jpeg(bytes: &[u8], head: &RectHeader, f: &ClientFormat) -> Result<Block, DecodeError> {
    if f.bpp == 8 || !f.true_colour {
        return Err(DecodeError::Rule("a JPEG in an 8-bit format"));
    }
    let fault = |e: &dyn std::fmt::Display| DecodeError::Jpeg(e.to_string());
    let options = DecoderOptions::default()
        .set_max_width(MAX_WIDTH.into())
        .set_max_height(MAX_AREA)
        .set_strict_mode(true)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| fault(&e))?;
    let (w, h) = decoder.dimensions().ok_or_else(|| fault(&"no size"))?;
    if (w, h) != (head.w.into(), head.h.into()) {
        return Err(DecodeError::Jpeg(format!("size {w}x{h} in a rectangle of {}x{}", head.w, head.h)));
    }
    let rgb = decoder.decode().map_err(|e| fault(&e))?;
    if rgb.len() != head.area() * 3 {
        return Err(DecodeError::Jpeg(format!("{} bytes for {w}x{h} pixels", rgb.len())));
    }
    let values = rgb.chunks_exact(3).map(|p| f.value([p[0], p[1], p[2]])).collect();
    Ok(Block { w: head.w, h: head.h, values })
}
