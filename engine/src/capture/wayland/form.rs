//! What a buffer has to look like, judged before any memory is shared.

use std::sync::Arc;

use wayland_client::protocol::wl_shm;

use super::dma_buf::Forms;
use crate::capture::SourceError;
use crate::frame::DmaBufs;
use crate::geometry::Size;
use crate::pixel::{Fourcc, Modifier};

/// The longest side of a picture.
const MAX_SIDE: u32 = 16_384;
/// Bytes of one buffer, at most.
const MAX_BYTES: u64 = 1 << 30;

/// The formats that a mirror can hold, the likeliest first.
const FORMATS: [wl_shm::Format; 6] = [
    wl_shm::Format::Xrgb8888,
    wl_shm::Format::Argb8888,
    wl_shm::Format::Xbgr8888,
    wl_shm::Format::Abgr8888,
    wl_shm::Format::Xrgb2101010,
    wl_shm::Format::Xbgr2101010,
];

/// A form that can be read: its pixels lie inside its bytes, and a mirror can hold them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// As the compositor writes it, before any turn.
    pub(super) size: Size,
    pub(super) fourcc: Fourcc,
    pub(super) kind: Kind,
}

/// What memory a buffer is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rows of shared memory, which are `stride` bytes apart.
    Shm { stride: u32, format: wl_shm::Format },
    /// A dma-buf with one of these modifiers.
    DmaBuf(Arc<[Modifier]>),
}

/// Whether a format is one that a mirror can hold.
pub(super) fn is_known(wanted: Fourcc) -> bool {
    FORMATS.into_iter().any(|f| fourcc(f.into()) == wanted)
}

/// A size that the compositor says.
fn checked(width: u32, height: u32) -> Result<Size, SourceError> {
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        return Err(unsupported(format!(
            "the compositor says that its picture is {width}x{height} (expected 1x1 to {MAX_SIDE}x{MAX_SIDE})"
        )));
    }
    // both sides are at most 16,384
    Ok(Size::new(width as u16, height as u16))
}

/// The format's code in DRM's numbers; two formats of `wl_shm` have numbers of their own.
fn fourcc(format: u32) -> Fourcc {
    match format {
        0 => Fourcc::ARGB8888,
        1 => Fourcc::XRGB8888,
        other => Fourcc(other),
    }
}

fn unsupported(text: String) -> SourceError {
    SourceError::Unsupported(text)
}

impl Form {
    /// The form that a compositor prescribes.
    ///
    /// # Errors
    /// When it cannot be read; the text says what the compositor said.
    pub(super) fn prescribed(format: u32, width: u32, height: u32, stride: u32) -> Result<Self, SourceError> {
        let known = FORMATS.into_iter().find(|f| u32::from(*f) == format);
        let known = known.ok_or_else(|| refused(&[format]))?;
        let size = checked(width, height)?;
        if stride < width * 4 || !stride.is_multiple_of(4) || u64::from(stride) * u64::from(height) > MAX_BYTES {
            return Err(unsupported(format!(
                "the compositor says that rows of {width} pixels are {stride} bytes apart (expected a multiple of 4 from {} on, \
                 and at most {MAX_BYTES} bytes in {height} rows)",
                width * 4
            )));
        }
        Ok(Self { size, fourcc: fourcc(format), kind: Kind::Shm { stride, format: known } })
    }

    /// The form for a picture of that size, in the likeliest of the formats that a compositor lets us choose from.
    ///
    /// # Errors
    /// When none of them can be read, or the size is out of range.
    pub(super) fn chosen(formats: &[u32], width: u32, height: u32) -> Result<Self, SourceError> {
        let best = FORMATS.into_iter().map(u32::from).find(|f| formats.contains(f)).ok_or_else(|| refused(formats))?;
        Self::prescribed(best, width, height, width.saturating_mul(4))
    }

    /// The form of a dma-buf that the compositor draws into and a device takes; none when they have none in common.
    pub(super) fn common(forms: &Forms, dma_bufs: &DmaBufs, width: u32, height: u32) -> Option<Self> {
        let size = checked(width, height).ok().filter(|size| size.area() * 4 <= MAX_BYTES)?;
        FORMATS.into_iter().find_map(|format| {
            let fourcc = fourcc(format.into());
            let among = forms.common(fourcc, dma_bufs);
            (!among.is_empty()).then(|| Self { size, fourcc, kind: Kind::DmaBuf(among.into()) })
        })
    }

    /// The form for a pointer's shape of that size.
    ///
    /// # Errors
    /// When no format with alpha is offered, or the size is out of range.
    pub(super) fn with_alpha(formats: &[u32], width: u32, height: u32) -> Result<Self, SourceError> {
        let alpha = [wl_shm::Format::Argb8888, wl_shm::Format::Abgr8888].map(u32::from);
        let offered: Vec<u32> = formats.iter().copied().filter(|f| alpha.contains(f)).collect();
        Self::chosen(&offered, width, height)
    }
}

fn refused(formats: &[u32]) -> SourceError {
    let ours: Vec<_> = FORMATS.iter().map(|f| format!("{:?}", fourcc(u32::from(*f)))).collect();
    let ours = ours.join(", ");
    if formats.is_empty() {
        return unsupported(
            "the compositor hands its pictures out as dma-bufs only, which farpane cannot read (expected shared memory)".to_owned(),
        );
    }
    let theirs: Vec<_> = formats.iter().take(8).map(|f| format!("{:?}", fourcc(*f))).collect();
    unsupported(format!(
        "pixel formats {} of the compositor cannot be read (expected one of {ours})",
        theirs.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(result: Result<Form, SourceError>) -> String {
        result.expect_err("cannot be read").to_string()
    }

    #[test]
    fn odd_strides_are_taken_and_impossible_ones_refused() {
        let form = Form::prescribed(1, 5, 3, 28).expect("padding is fine");
        let kind = Kind::Shm { stride: 28, format: wl_shm::Format::Xrgb8888 };
        assert_eq!(form, Form { size: Size::new(5, 3), fourcc: Fourcc::XRGB8888, kind });
        for stride in [0, 19, 21, u32::MAX - 3] {
            assert!(said(Form::prescribed(1, 5, 3, stride)).contains(&format!("{stride} bytes apart")), "{stride}");
        }
    }

    #[test]
    fn impossible_sizes_are_refused_with_the_range() {
        for (w, h) in [(0, 4), (4, 0), (16_385, 4), (4, u32::MAX), (u32::MAX, u32::MAX)] {
            let text = said(Form::prescribed(0, w, h, w.saturating_mul(4)));
            assert!(text.contains("16384x16384"), "{text}");
            assert!(said(Form::chosen(&[0], w, h)).contains("16384x16384"));
        }
    }

    #[test]
    fn the_likeliest_format_is_chosen_and_unreadable_ones_are_named() {
        let xb24 = u32::from(wl_shm::Format::Xbgr8888);
        let rg16 = u32::from(wl_shm::Format::Rgb565);
        assert_eq!(Form::chosen(&[rg16, xb24, 0], 4, 4).expect("two of them").fourcc, Fourcc::ARGB8888);
        assert_eq!(Form::chosen(&[rg16, xb24], 4, 4).expect("one of them").fourcc, Fourcc::XBGR8888);
        let text = said(Form::chosen(&[rg16], 4, 4));
        assert!(text.contains("RG16") && text.contains("XR24"), "{text}");
        assert!(said(Form::chosen(&[], 4, 4)).contains("dma-buf"));
        assert!(FORMATS.iter().all(|f| fourcc(u32::from(*f)).layout().is_some()));
    }
}
