//! Big-endian reading and writing, checked.

use crate::error::ProtocolError;
use crate::limits;

/// Reads big-endian values from a slice; every read is checked and `None` means that the bytes are not there.
///
/// ```
/// use farpane_rfb::wire::Reader;
/// let mut r = Reader::new(&[0, 5, 9]);
/// assert_eq!(r.u16(), Some(5));
/// assert_eq!(r.u32(), None);
/// assert_eq!(r.u8(), Some(9));
/// assert_eq!(r.used(), 3);
/// ```
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    used: usize,
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, used: 0 }
    }

    /// Bytes read so far.
    pub fn used(&self) -> usize {
        self.used
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `n` bytes. A failed read moves nothing.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(n)?;
        self.rest = tail;
        self.used = self.used.saturating_add(n);
        Some(head)
    }

    /// The next `N` bytes by value.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// Passes over `n` bytes of padding.
    pub fn pad(&mut self, n: usize) -> Option<()> {
        self.take(n).map(|_| ())
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[b]| b)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Four bytes, signed.
    pub fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    /// A rectangle's x, y, width and height.
    pub fn area(&mut self) -> Option<Area> {
        Some(Area { x: self.u16()?, y: self.u16()?, width: self.u16()?, height: self.u16()? })
    }

    /// A `u32` length and that many bytes of text, made printable; `None` when incomplete.
    ///
    /// # Errors
    ///
    /// A length above [`limits::TEXT_WIRE`].
    pub fn text(&mut self) -> Result<Option<String>, ProtocolError> {
        let mut ahead = self.clone();
        let Some(length) = ahead.u32() else { return Ok(None) };
        let wanted = usize::try_from(length).unwrap_or(usize::MAX);
        if wanted > limits::TEXT_WIRE {
            return Err(ProtocolError::TextTooLong { length });
        }
        let Some(bytes) = ahead.take(wanted) else { return Ok(None) };
        *self = ahead;
        Ok(Some(printable(&String::from_utf8_lossy(bytes))))
    }
}

/// Appends big-endian values to a buffer.
///
/// ```
/// use farpane_rfb::wire::Put;
/// let mut out = Vec::new();
/// out.put_u16(0x0102);
/// out.put_text("ok");
/// assert_eq!(out, [1, 2, 0, 0, 0, 2, b'o', b'k']);
/// ```
pub trait Put {
    /// Bytes as they are.
    fn put(&mut self, bytes: &[u8]);
    /// One byte.
    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }
    /// Two bytes.
    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }
    /// Four bytes.
    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }
    /// Four bytes, signed.
    fn put_i32(&mut self, value: i32) {
        self.put(&value.to_be_bytes());
    }
    /// A rectangle's x, y, width and height.
    fn put_area(&mut self, area: Area) {
        self.put_u16(area.x);
        self.put_u16(area.y);
        self.put_u16(area.width);
        self.put_u16(area.height);
    }
    /// A `u32` length and the text, without control characters and cut to [`limits::TEXT`] bytes.
    fn put_text(&mut self, text: &str) {
        let clean = printable(text);
        self.put_u32(u32::try_from(clean.len()).unwrap_or(0));
        self.put(clean.as_bytes());
    }
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// `text` without control characters, cut to at most [`limits::TEXT`] bytes at a character's edge.
///
/// Names and reasons are a peer's data and end in logs, titles and web pages.
pub fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len().min(limits::TEXT));
    for c in text.chars().filter(|c| !c.is_control()) {
        if clean.len().saturating_add(c.len_utf8()) > limits::TEXT {
            break;
        }
        clean.push(c);
    }
    clean
}

/// A rectangle as it is on the wire: any position, any size, even beyond 65,535 together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Area {
    /// Left column.
    pub x: u16,
    /// Top row.
    pub y: u16,
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

impl Area {
    /// The whole of a framebuffer.
    pub const fn whole(width: u16, height: u16) -> Self {
        Self { x: 0, y: 0, width, height }
    }

    /// The part inside a framebuffer of the given size; `None` when nothing is left.
    ///
    /// ```
    /// use farpane_rfb::Area;
    /// let wild = Area { x: 90, y: 0, width: 65_535, height: 10 };
    /// assert_eq!(wild.clip(100, 100), Some(Area { x: 90, y: 0, width: 10, height: 10 }));
    /// assert_eq!(Area { x: 100, ..wild }.clip(100, 100), None);
    /// ```
    pub fn clip(self, width: u16, height: u16) -> Option<Self> {
        let width = self.width.min(width.checked_sub(self.x)?);
        let height = self.height.min(height.checked_sub(self.y)?);
        (width > 0 && height > 0).then_some(Self { width, height, ..self })
    }

    /// Pixels inside.
    pub fn pixels(self) -> u64 {
        u64::from(self.width).saturating_mul(u64::from(self.height))
    }

    /// Whether all of it lies inside a framebuffer of the given size.
    pub fn fits(self, width: u16, height: u16) -> bool {
        let right = u32::from(self.x).saturating_add(u32::from(self.width));
        let bottom = u32::from(self.y).saturating_add(u32::from(self.height));
        right <= u32::from(width) && bottom <= u32::from(height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_failed_read_moves_nothing() {
        let mut r = Reader::new(&[0, 0, 0, 9, b'a', b'b']);
        assert_eq!(r.text(), Ok(None));
        assert_eq!((r.used(), r.rest().len()), (0, 6));
        assert_eq!(r.take(usize::MAX), None);
        assert_eq!(r.array::<7>(), None);
        assert_eq!(r.u32(), Some(9));
    }

    #[test]
    fn text_is_refused_by_its_length_before_it_comes() {
        let at_cap = u32::try_from(limits::TEXT_WIRE).unwrap();
        assert_eq!(Reader::new(&at_cap.to_be_bytes()).text(), Ok(None));
        let length = at_cap + 1;
        assert_eq!(Reader::new(&length.to_be_bytes()).text(), Err(ProtocolError::TextTooLong { length }));
    }

    proptest! {
        #[test]
        fn a_clipped_area_is_what_both_have_in_common(x: u16, y: u16, width: u16, height: u16, w: u16, h: u16) {
            let area = Area { x, y, width, height };
            let right = (u32::from(x) + u32::from(width)).min(w.into());
            let bottom = (u32::from(y) + u32::from(height)).min(h.into());
            match area.clip(w, h) {
                Some(clipped) => {
                    prop_assert!(clipped.fits(w, h) && clipped.pixels() > 0);
                    prop_assert_eq!((clipped.x, clipped.y), (x, y));
                    prop_assert_eq!(u32::from(clipped.x) + u32::from(clipped.width), right);
                    prop_assert_eq!(u32::from(clipped.y) + u32::from(clipped.height), bottom);
                }
                None => prop_assert!(right <= u32::from(x) || bottom <= u32::from(y)),
            }
            if area.fits(w, h) && area.pixels() > 0 {
                prop_assert_eq!(area.clip(w, h), Some(area));
            }
        }

        #[test]
        fn what_is_shown_is_short_and_has_no_controls(text in ".{0,600}") {
            let shown = printable(&text);
            prop_assert!(shown.len() <= limits::TEXT && !shown.chars().any(char::is_control));
            prop_assert_eq!(printable(&shown), shown);
        }
    }
}
