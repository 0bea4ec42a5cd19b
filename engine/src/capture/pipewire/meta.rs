//! What a buffer's metadata says: where the picture changed, where it lies in its buffer, how it is turned, and the pointer.
//!
//! The bytes are the source's and may change while they are read: each is copied out once, within the bounds of the metadata.
//! SOURCE: spa/buffer/meta.h: all fields are 32 bits wide (the header's times 64) in the machine's byte order.

use pipewire::spa::sys as spa;

use crate::geometry::{Point, Rect, Region, Size};

/// Bytes that are only copied out.
pub(super) trait Bytes {
    /// Copies bytes from `at` on into `out`; false when they do not all lie inside.
    fn read(&self, at: usize, out: &mut [u8]) -> bool;
}

/// The largest side of a pointer's image.
const MOST_CURSOR: u32 = 1024;
/// Damage rectangles that are looked at; a source that has more is not believed to have said where.
const MOST_DAMAGE: usize = 1024;

fn words<const N: usize>(bytes: &impl Bytes, at: usize) -> Option<[u32; N]> {
    let mut words = [0u32; N];
    for (i, word) in words.iter_mut().enumerate() {
        let mut four = [0; 4];
        if !bytes.read(at.checked_add(4 * i)?, &mut four) {
            return None;
        }
        *word = u32::from_ne_bytes(four);
    }
    Some(words)
}

/// A rectangle as SPA has it, clipped to `bounds`.
fn clipped([x, y, w, h]: [u32; 4], bounds: Rect) -> Rect {
    let side = |v: i64| v.clamp(0, i64::from(u16::MAX)) as u16;
    let (x, y) = (i64::from(x.cast_signed()), i64::from(y.cast_signed()));
    let (right, bottom) = (x + i64::from(w), y + i64::from(h));
    Rect::from_corners(side(x), side(y), side(right), side(bottom)).intersect(&bounds)
}

/// Whether the header says that the picture is not to be shown.
pub(super) fn is_corrupted(header: &impl Bytes) -> bool {
    words::<1>(header, 0).is_some_and(|[flags]| flags & spa::SPA_META_HEADER_FLAG_CORRUPTED != 0)
}

/// The number that the source gives its picture; sources that count none say 0 each time.
pub(super) fn number(header: &impl Bytes) -> Option<u64> {
    let [low, high] = words::<2>(header, 24)?;
    Some(u64::from_ne_bytes([low.to_ne_bytes(), high.to_ne_bytes()].concat().try_into().ok()?))
}

/// Where the source says that the picture changed; none when it does not say, which a list without a rectangle means too.
pub(super) fn damage(list: &impl Bytes, bounds: Rect) -> Option<Region> {
    let mut region = Region::new();
    for i in 0..MOST_DAMAGE {
        match words::<4>(list, 16 * i) {
            // the list ends with its room, or with a rectangle of no size
            None => return (i > 0).then_some(region),
            Some([_, _, w, h]) if w == 0 || h == 0 => return (i > 0).then_some(region),
            Some(rect) => region.add(&clipped(rect, bounds)),
        }
    }
    None
}

/// The part of the buffer that is the picture; none when it is all of it. A rectangle that reaches outside is an error.
pub(super) fn crop(meta: &impl Bytes, bounds: Rect) -> Result<Option<Rect>, String> {
    match words::<4>(meta, 0) {
        None | Some([_, _, 0, _] | [_, _, _, 0]) => Ok(None),
        Some(said @ [x, y, w, h]) => {
            let inside = |at: u32, len: u32, end: u16| at.checked_add(len).is_some_and(|last| last <= u32::from(end));
            if !inside(x, w, bounds.w) || !inside(y, h, bounds.h) {
                return Err(format!(
                    "a crop of {w}x{h} at {},{} in a picture of {}x{}",
                    x.cast_signed(),
                    y.cast_signed(),
                    bounds.w,
                    bounds.h
                ));
            }
            Ok(Some(clipped(said, bounds)))
        }
    }
}

/// How the picture lies in its buffer: SPA's number of a transformation, 0 for upright.
pub(super) fn transform(meta: &impl Bytes) -> u32 {
    words::<1>(meta, 0).map_or(0, |[transform]| transform)
}

/// What a buffer says of the pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pointer {
    /// Where it is in the picture; outside is told as it is said.
    pub(super) at: (i32, i32),
    /// Its shape, when that is told.
    pub(super) shape: Option<Shape>,
}

/// A pointer's shape as a source tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) size: Size,
    pub(super) hotspot: Point,
    /// R, G, B, A, premultiplied.
    pub(super) rgba: Vec<u8>,
}

/// Reads the pointer's metadata. None: nothing new. An image that does not lie inside the metadata is an error.
pub(super) fn pointer(meta: &impl Bytes) -> Result<Option<Pointer>, String> {
    let Some([id, _, x, y, hot_x, hot_y, bitmap]) = words::<7>(meta, 0) else { return Ok(None) };
    if id == 0 {
        return Ok(None);
    }
    let at = (x.cast_signed(), y.cast_signed());
    if bitmap == 0 {
        return Ok(Some(Pointer { at, shape: None }));
    }
    let start = bitmap as usize;
    let head = words::<5>(meta, start).filter(|_| bitmap >= 28);
    let Some([format, w, h, stride, offset]) = head else {
        return Err(format!("a pointer's image at byte {bitmap}, outside its metadata"));
    };
    if w == 0 || h == 0 {
        let none = Shape { size: Size::new(0, 0), hotspot: Point::new(0, 0), rgba: Vec::new() };
        return Ok(Some(Pointer { at, shape: Some(none) }));
    }
    if w > MOST_CURSOR || h > MOST_CURSOR {
        return Err(format!("a pointer's image of {w}x{h} (expected at most {MOST_CURSOR}x{MOST_CURSOR})"));
    }
    let order = order_of(format)
        .ok_or_else(|| format!("a pointer's image in format {format} (expected a 32-bit one with alpha)"))?;
    let stride = if stride == 0 { w * 4 } else { stride };
    if stride.cast_signed() < (w * 4).cast_signed() || offset < 20 {
        return Err(format!("a pointer's image of {w}x{h} with stride {} at {offset}", stride.cast_signed()));
    }
    let mut rgba = Vec::with_capacity(w as usize * h as usize * 4);
    let mut row = vec![0u8; w as usize * 4];
    for y in 0..h as usize {
        let at = start + offset as usize + y * stride as usize;
        if !meta.read(at, &mut row) {
            return Err(format!("a pointer's image of {w}x{h} with stride {stride}, longer than its metadata"));
        }
        rgba.extend(row.as_chunks::<4>().0.iter().flat_map(|p| order.map(|i| p[i])));
    }
    let hot = |v: u32, end: u32| v.cast_signed().clamp(0, end.cast_signed() - 1) as u16;
    let shape = Shape { size: Size::new(w as u16, h as u16), hotspot: Point::new(hot(hot_x, w), hot(hot_y, h)), rgba };
    Ok(Some(Pointer { at, shape: Some(shape) }))
}

/// Where R, G, B and A lie in the four bytes of a pixel.
fn order_of(format: u32) -> Option<[usize; 4]> {
    match format {
        spa::SPA_VIDEO_FORMAT_RGBA => Some([0, 1, 2, 3]),
        spa::SPA_VIDEO_FORMAT_BGRA => Some([2, 1, 0, 3]),
        spa::SPA_VIDEO_FORMAT_ARGB => Some([1, 2, 3, 0]),
        spa::SPA_VIDEO_FORMAT_ABGR => Some([3, 2, 1, 0]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Bytes for Vec<u8> {
        fn read(&self, at: usize, out: &mut [u8]) -> bool {
            let from = at.checked_add(out.len()).and_then(|end| self.get(at..end));
            from.is_some_and(|from| {
                out.copy_from_slice(from);
                true
            })
        }
    }

    fn bytes(words: &[i32]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_ne_bytes()).collect()
    }

    #[test]
    fn a_picture_s_number_stands_at_the_header_s_end() {
        let mut header = vec![0; 24];
        header.extend(0x0102_0304_0506_0708u64.to_ne_bytes());
        assert_eq!(number(&header), Some(0x0102_0304_0506_0708));
        assert_eq!(number(&vec![0; 32]), Some(0));
        assert_eq!(number(&vec![1; 31]), None);
    }

    const BOUNDS: Rect = Rect { x: 0, y: 0, w: 100, h: 50 };

    #[test]
    fn damage_is_what_stands_before_the_first_empty_rectangle() {
        let list = bytes(&[10, 10, 5, 5, 90, 40, 50, 50, 0, 0, 0, 0, 1, 1, 1, 1]);
        let mut want = Region::from(Rect::new(10, 10, 5, 5));
        want.add(&Rect::new(90, 40, 10, 10));
        assert_eq!(damage(&list, BOUNDS), Some(want));
        assert_eq!(damage(&bytes(&[0; 4]), BOUNDS), None, "nothing is said");
        assert_eq!(damage(&Vec::new(), BOUNDS), None);
        assert_eq!(damage(&bytes(&[-5, -5, 10, 10]), BOUNDS), Some(Region::from(Rect::new(0, 0, 5, 5))));
        assert_eq!(damage(&bytes(&[i32::MAX, i32::MIN, -1, -1]), BOUNDS).map(|r| r.area()), Some(0));
    }

    #[test]
    fn a_crop_outside_the_picture_is_refused() {
        assert_eq!(crop(&bytes(&[0, 0, 100, 50]), BOUNDS), Ok(Some(BOUNDS)));
        assert_eq!(crop(&bytes(&[0, 0, 0, 0]), BOUNDS), Ok(None));
        for wrong in [[1, 0, 100, 50], [0, 0, 101, 50], [-1, 0, 10, 10], [i32::MAX, 0, i32::MAX, 1]] {
            assert!(crop(&bytes(&wrong), BOUNDS).is_err(), "{wrong:?}");
        }
    }

    fn cursor(format: u32, w: i32, h: i32, stride: i32, offset: i32) -> Vec<u8> {
        let mut all = bytes(&[1, 0, 7, 8, 1, 1, 28, format as i32, w, h, stride, offset]);
        all.extend((0..16u8).collect::<Vec<_>>());
        all
    }

    #[test]
    fn a_shape_comes_in_red_green_blue_alpha_whatever_the_order_was() {
        let got = pointer(&cursor(spa::SPA_VIDEO_FORMAT_BGRA, 2, 2, 8, 20)).expect("a pointer").expect("is there");
        let shape = got.shape.expect("a shape");
        assert_eq!((got.at, shape.size, shape.hotspot), ((7, 8), Size::new(2, 2), Point::new(1, 1)));
        assert_eq!(shape.rgba[..8], [2, 1, 0, 3, 6, 5, 4, 7]);
        let argb = pointer(&cursor(spa::SPA_VIDEO_FORMAT_ARGB, 2, 2, 0, 20)).expect("a pointer").expect("is there");
        assert_eq!(argb.shape.expect("a shape").rgba[..4], [1, 2, 3, 0]);
    }

    #[test]
    fn no_image_keeps_the_shape_and_an_empty_one_hides_the_pointer() {
        assert_eq!(pointer(&bytes(&[0, 0, 7, 8, 1, 1, 28])), Ok(None));
        assert_eq!(pointer(&bytes(&[1, 0, 7, 8, 1, 1, 0])), Ok(Some(Pointer { at: (7, 8), shape: None })));
        let hidden = pointer(&cursor(0, 0, 0, 0, 0)).expect("a pointer").expect("is there");
        assert_eq!(hidden.shape.map(|s| s.size), Some(Size::new(0, 0)));
    }

    #[test]
    fn images_that_lie_about_their_size_are_refused() {
        let rgba = spa::SPA_VIDEO_FORMAT_RGBA;
        for wrong in [
            cursor(rgba, 3, 2, 12, 20),
            cursor(rgba, 2, 2, 8, 21),
            cursor(rgba, 2, 2, 7, 20),
            cursor(rgba, 2, 2, -8, 20),
        ] {
            assert!(pointer(&wrong).is_err());
        }
        assert!(pointer(&cursor(rgba, 100_000, 100_000, 0, 20)).is_err());
        assert!(pointer(&cursor(rgba, -1, 1, 0, 20)).is_err());
        assert!(pointer(&cursor(1, 2, 2, 8, 20)).is_err());
        assert!(pointer(&bytes(&[1, 0, 7, 8, 1, 1, 4])).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_are_read_outside(all in proptest::collection::vec(any::<u8>(), 0..200), small in proptest::collection::vec(0i32..40, 0..30)) {
            for bytes in [all, bytes(&small)] {
                let _ = pointer(&bytes);
                let _ = crop(&bytes, BOUNDS);
                let region = damage(&bytes, BOUNDS);
                prop_assert!(region.is_none_or(|r| BOUNDS.contains(&r.bounds()) || r.is_empty()));
                let _ = (is_corrupted(&bytes), transform(&bytes));
            }
        }
    }
}
