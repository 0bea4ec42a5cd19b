//! H.264 of what moves: Open H.264 (encoding 50), one context per rectangle.
//!
//! A [`VideoEncoder`] is a chain of pictures of one size: what it makes of one refers to those before, so whoever shows the
//! chain needs all of them from a key picture on. Pictures are planes of 4:2:0 by BT.709 in its limited range, and the stream says so.

#[cfg(feature = "h264")]
mod ffi;
mod picture;

pub use picture::I420;

use crate::geometry::Rect;

/// The context is to be made anew before this payload is decoded.
pub const RESET_CONTEXT: u32 = 1;
/// All contexts of the connection go before this payload is decoded.
pub const RESET_ALL_CONTEXTS: u32 = 2;

/// The smallest side of a picture.
pub const MIN_SIDE: u16 = 16;
/// The longer and the shorter side of the largest picture that the encoder takes.
pub const MAX_SIDES: [u16; 2] = [3840, 2160];

/// Quantisers, best first. Few and fixed, so that clients with nearly the same wishes share a stream.
const QUANTISERS: [u8; 8] = [18, 21, 24, 27, 30, 33, 36, 39];

/// A step of the quality ladder: 0 is the best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VideoStep(u8);

impl VideoStep {
    /// The coarsest that is ever sent: the floor.
    pub const COARSEST: Self = Self(QUANTISERS.len() as u8 - 1);

    /// The finest step that a client with this JPEG quality gets: the ceiling.
    ///
    /// ```
    /// use farpane_engine::encode::h264::VideoStep;
    /// assert!(VideoStep::for_quality(95) < VideoStep::for_quality(30));
    /// assert_eq!(VideoStep::for_quality(92).quantiser(), 21);
    /// ```
    pub const fn for_quality(jpeg: u8) -> Self {
        Self(match jpeg {
            95.. => 0,
            92.. => 1,
            80.. => 2,
            70.. => 3,
            50.. => 4,
            _ => 5,
        })
    }

    /// The quantiser of every picture at this step, 0 to 51.
    pub const fn quantiser(self) -> u8 {
        QUANTISERS[self.0 as usize]
    }

    /// The next coarser step.
    pub fn coarser(self) -> Self {
        Self(self.0 + 1).min(Self::COARSEST)
    }

    /// The next finer step.
    pub const fn finer(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// Why a picture was not encoded.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {
    /// The codec refused.
    #[error("{0}")]
    Codec(String),
    /// A picture of another size than the first, or of one that the codec does not take.
    #[error("a picture of {0}x{1} (expected the first one's size, 16 to 3840x2160, both sides even)")]
    Size(u16, u16),
}

/// Encodes a chain of pictures. A hardware encoder has the same shape.
pub trait VideoEncoder: Send {
    /// Appends the access unit of `picture`: Annex B, one slice, SPS and PPS in front of a key picture. Returns whether it is a
    /// key picture, which it is whenever `key` is set.
    ///
    /// # Errors
    /// When the codec fails; the chain is broken then, and the encoder must be dropped.
    fn encode(&mut self, picture: &I420, key: bool, step: VideoStep, out: &mut Vec<u8>) -> Result<bool, VideoError>;

    /// What encodes, for people.
    fn name(&self) -> &'static str;
}

/// Makes encoders; none where it cannot.
pub type MakeEncoder = dyn Fn() -> Option<Box<dyn VideoEncoder>> + Send + Sync;

/// An encoder in software; none when this build has none.
pub fn software() -> Option<Box<dyn VideoEncoder>> {
    #[cfg(feature = "h264")]
    return Some(Box::<ffi::OpenH264>::default());
    #[cfg(not(feature = "h264"))]
    None
}

/// The parts of a rectangle that encoders take: itself, or it cut along its longer side.
pub fn parts(rect: Rect) -> Vec<Rect> {
    let [long, short] = MAX_SIDES;
    if rect.w.max(rect.h) <= long && rect.w.min(rect.h) <= short {
        return vec![rect];
    }
    // even, so that chroma needs no repeated pixels inside
    let half = |side: u16| (side / 2 + 1) & !1;
    let (a, b) = if rect.w >= rect.h {
        let middle = rect.x + half(rect.w);
        (
            Rect::from_corners(rect.x, rect.y, middle, rect.bottom()),
            Rect::from_corners(middle, rect.y, rect.right(), rect.bottom()),
        )
    } else {
        let middle = rect.y + half(rect.h);
        (
            Rect::from_corners(rect.x, rect.y, rect.right(), middle),
            Rect::from_corners(rect.x, middle, rect.right(), rect.bottom()),
        )
    };
    [parts(a), parts(b)].concat()
}

#[cfg(all(test, feature = "h264"))]
mod tests;
