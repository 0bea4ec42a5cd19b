//! Open H.264: a context for each rectangle, decoded by OpenH264's decoder.

use openh264::decoder::Decoder as Codec;
use openh264::formats::YUVSource;
use openh264::nal_units;

use super::decoder::{Block, Decoder, RectHeader};
use super::{DecodeError, reader::Reader};

/// What viewers keep.
const MOST_CONTEXTS: usize = 64;

/// Longest payload.
const MAX_PAYLOAD: u32 = 16 << 20;

/// The contexts of a connection, oldest first.
#[derive(Default)]
pub(super) struct Contexts(Vec<Context>);

struct Context {
    /// Left, top, width, height.
    place: [u16; 4],
    codec: Codec,
    began: bool,
}

impl std::fmt::Debug for Contexts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|c| c.place)).finish()
    }
}

impl Decoder {
    pub(super) fn h264(&mut self, r: &mut Reader<'_>, head: &RectHeader) -> Result<(), DecodeError> {
        let (len, flags) = (r.u32()?, r.u32()?);
        if len > MAX_PAYLOAD {
            let (value, max) = (u64::from(len), u64::from(MAX_PAYLOAD));
            return Err(DecodeError::Range { what: "h264 payload", value, min: 0, max });
        }
        let payload = r.take(len as usize)?;
        let place = [head.x, head.y, head.w, head.h];
        match flags {
            0 => {}
            1 => self.h264.0.retain(|c| c.place != place),
            2 => self.h264.0.clear(),
            _ => return Err(DecodeError::Rule("flags of an h264 rectangle other than 0, 1 and 2")),
        }
        if payload.is_empty() {
            return Ok(());
        }
        let kinds = nal_kinds(payload)?;
        let mut context = match self.h264.0.iter().position(|c| c.place == place) {
            Some(at) => self.h264.0.remove(at),
            None => Context { place, codec: Codec::new().map_err(|e| fault(&e))?, began: false },
        };
        match (&kinds[..], context.began) {
            ([7, 8, 5], _) => context.began = true,
            ([1], true) => {}
            _ => return Err(DecodeError::H264(format!("NAL units {kinds:?} (expected 7, 8, 5 at first, then 1)"))),
        }
        let picture = context.codec.decode(payload).map_err(|e| fault(&e))?;
        let picture = picture.ok_or(DecodeError::Rule("an h264 payload that makes no picture"))?;
        let (w, h) = picture.dimensions();
        let [rw, rh] = [head.w, head.h].map(usize::from);
        // a picture smaller than its rectangle brings TigerVNC down
        if w < rw || h < rh || w > rw + 1 || h > rh + 1 {
            return Err(DecodeError::H264(format!("a picture of {w}x{h} for a rectangle of {rw}x{rh}")));
        }
        let (sy, su, sv) = picture.strides();
        let mut block = Block::new(head.w, head.h);
        for (i, value) in block.values.iter_mut().enumerate() {
            let (x, y) = (i % rw, i / rw);
            let at = |plane: &[u8], stride, x, y| f64::from(plane[y * stride + x]);
            let luma = (at(picture.y(), sy, x, y) - 16.0) * 255.0 / 219.0;
            let cb = (at(picture.u(), su, x / 2, y / 2) - 128.0) * 255.0 / 224.0;
            let cr = (at(picture.v(), sv, x / 2, y / 2) - 128.0) * 255.0 / 224.0;
            // BT.709
            let rgb = [luma + 1.5748 * cr, luma - 0.187_324 * cb - 0.468_124 * cr, luma + 1.8556 * cb];
            *value = self.format.value(rgb.map(|v| v.round().clamp(0.0, 255.0) as u8));
        }
        self.put(head, block);
        self.h264.0.push(context);
        if self.h264.0.len() > MOST_CONTEXTS {
            self.h264.0.remove(0);
        }
        Ok(())
    }
}

/// The kinds of a payload's NAL units, which must begin with a start code.
fn nal_kinds(payload: &[u8]) -> Result<Vec<u8>, DecodeError> {
    if !payload.starts_with(&[0, 0, 1]) && !payload.starts_with(&[0, 0, 0, 1]) {
        return Err(DecodeError::Rule("an h264 payload that does not begin with a start code"));
    }
    let kind = |nal: &[u8]| nal.iter().skip_while(|b| **b == 0).nth(1).map_or(0, |b| b & 31);
    Ok(nal_units(payload).map(kind).collect())
}

fn fault(error: &openh264::Error) -> DecodeError {
    DecodeError::H264(error.to_string())
}
