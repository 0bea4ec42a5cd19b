//! What one client can do, from its SetEncodings list.

use farpane_engine::encode::h264::VideoStep;
use farpane_engine::encode::{self, Codec, JpegStep, number};
use farpane_engine::geometry::Rect;
use farpane_engine::pipeline::Film;
use farpane_rfb::encoding::Encoding;

/// How a client can show the pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorKind {
    /// CursorWithAlpha (-314).
    Alpha,
    /// VMware cursor with alpha (0x574d5664).
    Vmware,
    /// Cursor (-239).
    Rich,
    /// XCursor (-240): two colours.
    TwoColour,
}

/// What one client listed. Nothing that is not listed is ever sent to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Encoding family of its pixels.
    pub codec: Codec,
    /// Effort of compression it asked for, 0 to 9.
    pub compression: u8,
    /// Lossy rectangles, when it gave a quality level.
    pub jpeg: Option<JpegStep>,
    /// Films as H.264, at this quality at best: it listed Open H.264 and takes lossy pixels.
    pub h264: Option<VideoStep>,
    /// CopyRect.
    pub copy_rect: bool,
    /// How it shows the pointer; none: it has to be drawn into the picture.
    pub cursor: Option<CursorKind>,
    /// PointerPos (-232).
    pub pointer_pos: bool,
    /// VMware cursor position.
    pub vmware_pointer_pos: bool,
    /// DesktopSize (-223).
    pub desktop_size: bool,
    /// ExtendedDesktopSize (-308).
    pub extended_desktop_size: bool,
    /// DesktopName (-307).
    pub desktop_name: bool,
    /// Fence (-312).
    pub fence: bool,
    /// ContinuousUpdates (-313).
    pub continuous_updates: bool,
    /// QEMU extended key events (-258).
    pub qemu_keys: bool,
    /// Extended mouse buttons (-316).
    pub mouse_buttons: bool,
    /// LED state (-261).
    pub leds: bool,
    /// VMware LED state.
    pub vmware_leds: bool,
    /// Extended clipboard.
    pub extended_clipboard: bool,
}

impl Default for Caps {
    fn default() -> Self {
        Self::from_encodings(&[], None)
    }
}

impl Caps {
    /// Reads a client's list. `stream` is the zlib-based family (6 or 16) that this connection has already used: some
    /// clients keep one inflater for both, so a connection never uses the other one afterwards.
    pub fn from_encodings(list: &[i32], stream: Option<Codec>) -> Self {
        let has = |e: Encoding| list.contains(&e.0);
        let cursor = [
            (Encoding::CURSOR_WITH_ALPHA, CursorKind::Alpha),
            (Encoding::VMWARE_CURSOR, CursorKind::Vmware),
            (Encoding::CURSOR, CursorKind::Rich),
            (Encoding::X_CURSOR, CursorKind::TwoColour),
        ];
        let barred = match stream {
            Some(Codec::Zlib) => Some(number::ZRLE),
            Some(Codec::Zrle) => Some(number::ZLIB),
            _ => None,
        };
        let allowed: Vec<i32> = list.iter().copied().filter(|e| Some(*e) != barred).collect();
        Caps {
            codec: encode::codec(&allowed),
            compression: encode::compression(list),
            jpeg: encode::jpeg_step(list),
            h264: h264(list),
            copy_rect: has(Encoding::COPY_RECT),
            cursor: cursor.into_iter().find(|(e, _)| has(*e)).map(|(_, kind)| kind),
            pointer_pos: has(Encoding::POINTER_POS),
            vmware_pointer_pos: has(Encoding::VMWARE_CURSOR_POSITION),
            desktop_size: has(Encoding::DESKTOP_SIZE),
            extended_desktop_size: has(Encoding::EXTENDED_DESKTOP_SIZE),
            desktop_name: has(Encoding::DESKTOP_NAME),
            fence: has(Encoding::FENCE),
            continuous_updates: has(Encoding::CONTINUOUS_UPDATES),
            qemu_keys: has(Encoding::QEMU_KEY),
            mouse_buttons: has(Encoding::EXTENDED_MOUSE_BUTTONS),
            leds: has(Encoding::LED_STATE),
            vmware_leds: has(Encoding::VMWARE_LED_STATE),
            extended_clipboard: has(Encoding::EXTENDED_CLIPBOARD),
        }
    }

    /// How pixels are sent to it, in words for people.
    pub fn told(&self) -> String {
        let family = format!("{:?}", self.codec).to_lowercase();
        if self.jpeg.is_some() { format!("{family} with jpeg") } else { family }
    }

    /// The same with what it gets of `films`, and why none go as video.
    pub fn told_with_films(&self, films: &[Film], allowed: bool) -> String {
        let how = match (films, self.h264) {
            (_, None) => return format!("{}, no h264: the viewer does not list it", self.told()),
            _ if !allowed => return format!("{}, no h264: turned off", self.told()),
            ([], _) => return format!("{}, h264 when something moves", self.told()),
            (films, _) => films,
        };
        let list = |is_video: bool, before: &str, after: &str| {
            let at = |Rect { x, y, w, h }: Rect| format!("{w}x{h} at {x},{y}");
            let places: Vec<_> = how.iter().filter(|f| f.is_video == is_video).map(|f| at(f.rect)).collect();
            if places.is_empty() { String::new() } else { format!(", {before}{}{after}", places.join(" and ")) }
        };
        self.told() + &list(true, "h264 of ", "") + &list(false, "no h264 of ", ": its encoder failed")
    }

    /// Whether the client can be told of another canvas size.
    pub fn resizable(&self) -> bool {
        self.desktop_size || self.extended_desktop_size
    }
}

/// The best quality of films for a client with this list. One that lists no JPEG quality wants exact pixels, unless H.264 is what it lists
/// first.
fn h264(list: &[i32]) -> Option<VideoStep> {
    let at = |n: i32| list.iter().position(|e| *e == n);
    let h264 = at(Encoding::OPEN_H264.0)?;
    let first = Codec::ALL.into_iter().all(|codec| at(codec.number()).is_none_or(|other| other > h264));
    match encode::jpeg_step(list) {
        Some(step) => Some(VideoStep::for_quality(step.quality)),
        None => first.then(|| VideoStep::for_quality(92)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_keeps_to_one_shared_inflater() {
        let list = [number::ZLIB, number::ZRLE, number::RAW];
        assert_eq!(Caps::from_encodings(&list, None).codec, Codec::Zlib);
        assert_eq!(Caps::from_encodings(&list, Some(Codec::Zrle)).codec, Codec::Zrle);
        let swapped = [number::ZRLE, number::ZLIB];
        assert_eq!(Caps::from_encodings(&swapped, Some(Codec::Zlib)).codec, Codec::Zlib);
    }

    #[test]
    fn zstd_has_no_streams_that_bar_others() {
        let ultravnc = [number::ZSTD_RLE, number::ZSTD, number::ZLIB, number::ZRLE];
        assert_eq!(Caps::from_encodings(&ultravnc, Some(Codec::Zlib)).codec, Codec::ZstdRle);
        assert_eq!(Caps::from_encodings(&ultravnc[1..], Some(Codec::Zrle)).codec, Codec::Zstd);
        assert_eq!(Caps::from_encodings(&[number::TIGHT, number::TIGHT_ZSTD], None).codec, Codec::Tight);
    }

    #[test]
    fn nothing_listed_means_nothing_but_raw() {
        let caps = Caps::default();
        assert_eq!((caps.codec, caps.cursor, caps.jpeg), (Codec::Raw, None, None));
        assert!(!caps.copy_rect && !caps.fence && !caps.resizable());
    }

    #[test]
    fn films_go_to_those_who_list_h264_and_take_lossy_pixels() {
        let h264 = |list: &[i32]| Caps::from_encodings(list, None).h264;
        assert_eq!(h264(&[7, 50, -24]), Some(VideoStep::for_quality(92)));
        assert_eq!(h264(&[7, 50, -32]), Some(VideoStep::for_quality(30)));
        assert_eq!(h264(&[7, 16, -24]), None);
        assert_eq!(h264(&[7, 50, 16]), None, "no quality: exact pixels");
        assert_eq!(h264(&[1, 50, 7, 16]), Some(VideoStep::for_quality(92)), "preferred by its user");
        let caps = Caps::from_encodings(&[7, 50, -24], None);
        let video = Film { rect: Rect::new(300, 200, 1280, 720), is_video: true };
        let failed = Film { rect: Rect::new(0, 1000, 640, 360), is_video: false };
        let films = [video];
        assert_eq!(caps.told_with_films(&films, true), "tight with jpeg, h264 of 1280x720 at 300,200");
        assert_eq!(
            caps.told_with_films(&[failed, video], true),
            "tight with jpeg, h264 of 1280x720 at 300,200, no h264 of 640x360 at 0,1000: its encoder failed"
        );
        assert_eq!(caps.told_with_films(&[], true), "tight with jpeg, h264 when something moves");
        assert_eq!(caps.told_with_films(&films, false), "tight with jpeg, no h264: turned off");
        let none = Caps::from_encodings(&[7, -24], None);
        assert_eq!(none.told_with_films(&[], true), "tight with jpeg, no h264: the viewer does not list it");
    }

    #[test]
    fn the_best_pointer_wins_whatever_the_order() {
        let caps = Caps::from_encodings(&[-239, 0x574d_5664, -314], None);
        assert_eq!(caps.cursor, Some(CursorKind::Alpha));
    }
}
