//! Baseline JPEG of photographic parts, straight from the mirror's words.

use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

use super::{JpegStep, Subsampling};
use crate::pixel::Layout;

/// A thread's compressor, made when first used.
#[derive(Default)]
pub(super) struct Jpeg {
    compressor: Option<Compressor>,
    buffer: Vec<u8>,
}

/// libjpeg-turbo's name for a layout of eight bits a channel.
pub(super) fn pixel_format(layout: Layout) -> Option<PixelFormat> {
    match layout {
        Layout::BGRX => Some(PixelFormat::BGRX),
        Layout::RGBX => Some(PixelFormat::RGBX),
        _ => None,
    }
}

impl Jpeg {
    /// Compresses `height` rows of `width` words, each row `stride` words after the one before; none when the codec refuses.
    pub(super) fn compress(
        &mut self,
        words: &[u32],
        [width, height, stride]: [usize; 3],
        format: PixelFormat,
        step: JpegStep,
    ) -> Option<&[u8]> {
        if self.compressor.is_none() {
            self.compressor = Compressor::new().ok();
        }
        let compressor = self.compressor.as_mut()?;
        compressor.set_quality(step.quality.clamp(1, 100).into()).ok()?;
        let subsamp = match step.subsampling {
            Subsampling::None => Subsamp::None,
            Subsampling::Half => Subsamp::Sub2x1,
            Subsampling::Quarter => Subsamp::Sub2x2,
            Subsampling::Grey => Subsamp::Gray,
        };
        compressor.set_subsamp(subsamp).ok()?;
        let bound = compressor.buf_len(width, height).ok()?;
        if self.buffer.len() < bound {
            self.buffer.resize(bound, 0);
        }
        let pixels: &[u8] = bytemuck::cast_slice(words);
        let image = Image { pixels, width, pitch: stride * 4, height, format };
        let len = compressor.compress_to_slice(image, &mut self.buffer).ok()?;
        self.buffer.get(..len)
    }
}
