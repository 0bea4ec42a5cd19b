//! Whether a frame is one that the CPU can compare with a mirror.

use super::MirrorData;
use crate::frame::{Frame, Piece};
use crate::geometry::{Rect, Size};
use crate::pixel::{Fourcc, Modifier};

/// Why a frame cannot be compared with a mirror on the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The mirror is of another size.
    #[error("frame of {frame} for a mirror of {mirror}")]
    Size {
        /// The frame's.
        frame: Size,
        /// The mirror's.
        mirror: Size,
    },
    /// The mirror holds other pixels, or none can hold these.
    #[error("frame in {0:?}, which is not the mirror's format")]
    Format(Fourcc),
    /// The memory is tiled or compressed.
    #[error("frame with modifier {0:?} (expected linear)")]
    Tiled(Modifier),
    /// A piece covers pixels outside the output.
    #[error("piece {rect} outside the output of {size}")]
    Outside {
        /// The piece's pixels.
        rect: Rect,
        /// The output's size.
        size: Size,
    },
    /// A piece's rows overlap.
    #[error("stride {stride} of piece {rect} (expected at least {})", usize::from(.rect.w) * 4)]
    Stride {
        /// The piece's pixels.
        rect: Rect,
        /// Its stride.
        stride: usize,
    },
    /// A piece reaches past the end of the memory.
    #[error("piece {rect} at byte {offset} with stride {stride} in memory of {len} bytes")]
    Short {
        /// The piece's pixels.
        rect: Rect,
        /// Its offset.
        offset: usize,
        /// Its stride.
        stride: usize,
        /// Bytes of the memory.
        len: usize,
    },
    /// The memory is a device's, and the processor cannot read it.
    #[error("memory that the processor cannot read: {0}")]
    Unreadable(std::io::ErrorKind),
    /// The fence that says when the pixels may be read is broken.
    #[error("acquire fence cannot be waited for")]
    Fence,
}

/// Whether the CPU can compare a frame with a mirror: its pixels lie in rows inside its memory.
pub(super) fn check(frame: &Frame, data: &MirrorData) -> Result<(), FrameError> {
    fits(frame, data)?;
    if frame.modifier != Modifier::LINEAR {
        return Err(FrameError::Tiled(frame.modifier));
    }
    let len = frame.memory.len();
    for &Piece { rect, offset, stride } in frame.pieces.iter().filter(|p| !p.rect.is_empty()) {
        let row = usize::from(rect.w) * 4;
        if rect.h > 1 && stride < row {
            return Err(FrameError::Stride { rect, stride });
        }
        let end = stride.checked_mul(usize::from(rect.h - 1)).and_then(|n| n.checked_add(row)?.checked_add(offset));
        if end.is_none_or(|end| end > len) {
            return Err(FrameError::Short { rect, offset, stride, len });
        }
    }
    Ok(())
}

/// Whether a frame shows pixels of a mirror, wherever they lie.
pub(super) fn fits(frame: &Frame, data: &MirrorData) -> Result<(), FrameError> {
    let size = data.grid.size();
    if frame.size != size {
        return Err(FrameError::Size { frame: frame.size, mirror: size });
    }
    if frame.fourcc.layout() != Some(data.layout) {
        return Err(FrameError::Format(frame.fourcc));
    }
    for rect in frame.pieces.iter().map(|piece| piece.rect).filter(|rect| !rect.is_empty()) {
        let right = u32::from(rect.x) + u32::from(rect.w);
        let bottom = u32::from(rect.y) + u32::from(rect.h);
        if right > size.w.into() || bottom > size.h.into() {
            return Err(FrameError::Outside { rect, size });
        }
    }
    Ok(())
}
