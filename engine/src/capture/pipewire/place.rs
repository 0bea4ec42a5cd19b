//! Where a picture lies in its buffer, and whether it can: everything that a source says about it is checked here, purely.

use super::ffi::Chunk;
use super::format::Negotiated;
use crate::geometry::{Rect, Size};
use crate::pixel::Modifier;

/// A picture inside a memory area: row `y` begins at `offset + y * stride`, and all rows lie inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: usize,
    pub(super) stride: usize,
    pub(super) size: Size,
}

/// Finds the picture of the agreed size in an area of `max_size` bytes; `crop` is the part of it that counts.
///
/// # Errors
/// When it does not lie inside; one line that says how.
pub(super) fn place(agreed: &Negotiated, chunk: &Chunk, max_size: usize, crop: Option<Rect>) -> Result<Place, String> {
    let size = agreed.size;
    let row = usize::from(size.w) * 4;
    // a source that does not say packs its rows
    let stride = if chunk.stride == 0 { Some(row) } else { usize::try_from(chunk.stride).ok() };
    let stride = stride
        .filter(|stride| *stride >= row)
        .ok_or_else(|| format!("stride {} (expected at least {row} for {size})", chunk.stride))?;
    let offset = chunk.offset as usize;
    // only a driver knows where pixels lie in other forms than rows: all of them are handed on
    if agreed.modifier.is_some_and(|modifier| modifier != Modifier::LINEAR) {
        return match crop.filter(|part| *part != size.rect()) {
            Some(part) => Err(format!("a part ({part}) of a picture that does not lie in rows")),
            None => Ok(Place { offset, stride, size }),
        };
    }
    let len = stride.checked_mul(usize::from(size.h) - 1).and_then(|n| n.checked_add(row));
    let end = len.and_then(|len| len.checked_add(offset));
    let (Some(len), Some(end)) = (len, end) else {
        return Err(format!("stride {stride} for {size}, more than can be addressed"));
    };
    if end > max_size {
        return Err(format!("{size} with stride {stride} at byte {offset} in a buffer of {max_size} bytes"));
    }
    // sources say anything there of dma-bufs, whose own size counts
    if agreed.modifier.is_none() && (chunk.size as usize) < len {
        return Err(format!(
            "{} bytes of picture (expected at least {len} for {size} with stride {stride})",
            chunk.size
        ));
    }
    let part = crop.unwrap_or(size.rect());
    let start = offset + usize::from(part.y) * stride + usize::from(part.x) * 4;
    Ok(Place { offset: start, stride, size: part.size() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::Fourcc;
    use proptest::prelude::*;

    fn agreed(w: u16, h: u16) -> Negotiated {
        Negotiated { size: Size::new(w, h), fourcc: Fourcc::XRGB8888, modifier: None }
    }

    fn chunk(offset: u32, size: u32, stride: i32) -> Chunk {
        Chunk { offset, size, stride, corrupted: false }
    }

    #[test]
    fn no_stride_means_packed_rows() {
        let got = place(&agreed(10, 3), &chunk(0, 120, 0), 120, None);
        assert_eq!(got, Ok(Place { offset: 0, stride: 40, size: Size::new(10, 3) }));
    }

    #[test]
    fn the_last_row_needs_no_padding_and_a_crop_starts_inside() {
        let got = place(&agreed(10, 3), &chunk(8, 140, 50), 148, Some(Rect::new(2, 1, 5, 2)));
        assert_eq!(got, Ok(Place { offset: 8 + 50 + 8, stride: 50, size: Size::new(5, 2) }));
    }

    #[test]
    fn each_lie_is_refused_and_named() {
        for (c, max, part) in [
            (chunk(0, 120, 39), 120, "stride 39 (expected at least 40"),
            (chunk(0, 120, -40), 120, "stride -40"),
            (chunk(0, 120, i32::MIN), 120, "stride -2147483648"),
            (chunk(1, 120, 40), 120, "at byte 1 in a buffer of 120"),
            (chunk(u32::MAX, 120, 40), 120, "at byte 4294967295"),
            (chunk(0, 120, i32::MAX), 120, "stride 2147483647"),
            (chunk(0, 119, 40), 120, "119 bytes of picture (expected at least 120"),
        ] {
            let said = place(&agreed(10, 3), &c, max, None).expect_err(part);
            assert!(said.contains(part), "{said}");
        }
    }

    proptest! {
        #[test]
        fn a_picture_that_is_taken_lies_inside(
            (w, h) in (1u16..64, 1u16..64), offset in 0u32..4096, size in 0u32..20_000, stride in -4i32..400, max in 0usize..20_000
        ) {
            if let Ok(p) = place(&agreed(w, h), &chunk(offset, size, stride), max, None) {
                prop_assert!(p.stride >= usize::from(w) * 4);
                prop_assert!(p.offset + p.stride * usize::from(h - 1) + usize::from(w) * 4 <= max);
            }
        }
    }
}
