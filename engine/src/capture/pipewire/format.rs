//! What is agreed on with a source: formats that we take, sizes, kinds of memory, metadata.

use std::io::Cursor;

use pipewire::spa::param::ParamType;
use pipewire::spa::param::format::{FormatProperties, MediaSubtype, MediaType};
use pipewire::spa::param::format_utils::parse_format;
use pipewire::spa::param::video::{VideoFormat, VideoInfoRaw};
use pipewire::spa::pod::serialize::PodSerializer;
use pipewire::spa::pod::{ChoiceValue, Object, Pod, Property, PropertyFlags, Value, property};
use pipewire::spa::sys as spa;
use pipewire::spa::utils::{Choice, ChoiceEnum, ChoiceFlags, Id, Rectangle, SpaTypes};

use crate::geometry::Size;
use crate::pixel::Fourcc;

/// Formats that a mirror can hold, by SPA's name (bytes in memory) and DRM's (a little-endian word), best first.
const FORMATS: [(VideoFormat, Fourcc); 8] = [
    (VideoFormat::BGRx, Fourcc::XRGB8888),
    (VideoFormat::BGRA, Fourcc::ARGB8888),
    (VideoFormat::RGBx, Fourcc::XBGR8888),
    (VideoFormat::RGBA, Fourcc::ABGR8888),
    (VideoFormat::xRGB_210LE, Fourcc::XRGB2101010),
    (VideoFormat::xBGR_210LE, Fourcc::XBGR2101010),
    (VideoFormat::ARGB_210LE, Fourcc::XRGB2101010),
    (VideoFormat::ABGR_210LE, Fourcc::XBGR2101010),
];

/// The largest picture that is asked for and taken: what the protocol's 16 bits hold.
const MOST: u32 = u16::MAX as u32;
/// What a source of any size is asked for.
const USUAL: Size = Size::new(1920, 1080);
/// Buffers: one that the source fills, one that waits, one that is read, one to spare.
const BUFFERS: [i32; 3] = [4, 3, 8];
/// The largest image of a pointer that there is to be room for, and the usual one.
const CURSOR_SIDES: [i32; 2] = [64, 1024];
/// Damage rectangles that there is to be room for.
const DAMAGE_RECTS: [i32; 3] = [16, 1, 64];

/// The modifier of plain rows, which this machine's processor can read.
const LINEAR: i64 = 0;

/// What was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Negotiated {
    pub(super) size: Size,
    pub(super) fourcc: Fourcc,
    /// Pictures lie in dma-bufs.
    pub(super) dma_buf: bool,
}

/// A parameter, as libpipewire takes it.
pub(super) struct Param(Vec<u8>);

impl Param {
    fn new(kind: SpaTypes, id: ParamType, properties: Vec<Property>) -> Self {
        let object = Value::Object(Object { type_: kind.as_raw(), id: id.as_raw(), properties });
        let written = PodSerializer::serialize(Cursor::new(Vec::new()), &object);
        debug_assert!(written.is_ok(), "memory takes all that is written");
        Self(written.map(|(cursor, _)| cursor.into_inner()).unwrap_or_default())
    }

    /// For libpipewire; none only if it could not be written.
    pub(super) fn pod(&self) -> Option<&Pod> {
        Pod::from_bytes(&self.0)
    }
}

/// The formats that we take, best first: of any size, or of the one that a virtual monitor is to have.
pub(super) fn formats(size: Option<Size>, dma_bufs: bool) -> Vec<Param> {
    let memory = formats_in(size, None);
    match dma_bufs {
        true => vec![formats_in(size, Some(LINEAR)), memory],
        false => vec![memory],
    }
}

/// The same in dma-bufs of a modifier, or in shared memory.
fn formats_in(size: Option<Size>, modifier: Option<i64>) -> Param {
    let known = FORMATS.map(|(format, _)| Id(format.as_raw()));
    let format = ChoiceEnum::Enum { default: known[0], alternatives: known.to_vec() };
    let rectangle = |size: Size| Rectangle { width: size.w.into(), height: size.h.into() };
    let size = match size {
        Some(size) => Value::Rectangle(rectangle(size)),
        None => {
            let (min, max) = (Rectangle { width: 1, height: 1 }, Rectangle { width: MOST, height: MOST });
            let range = ChoiceEnum::Range { default: rectangle(USUAL), min, max };
            Value::Choice(ChoiceValue::Rectangle(Choice(ChoiceFlags::empty(), range)))
        }
    };
    let mut properties = vec![
        property!(FormatProperties::MediaType, Id, MediaType::Video),
        property!(FormatProperties::MediaSubtype, Id, MediaSubtype::Raw),
        Property::new(
            FormatProperties::VideoFormat.as_raw(),
            Value::Choice(ChoiceValue::Id(Choice(ChoiceFlags::empty(), format))),
        ),
        Property::new(FormatProperties::VideoSize.as_raw(), size),
    ];
    // mandatory: whoever has no modifiers is to take the next format
    properties.extend(modifier.map(|modifier| Property {
        key: FormatProperties::VideoModifier.as_raw(),
        flags: PropertyFlags::MANDATORY,
        value: Value::Long(modifier),
    }));
    Param::new(SpaTypes::ObjectParamFormat, ParamType::EnumFormat, properties)
}

/// Buffers that this machine's processor reads, and the metadata that we want in them.
pub(super) fn buffers(dma_buf: bool) -> Vec<Param> {
    let kinds = match dma_buf {
        true => 1 << spa::SPA_DATA_DmaBuf,
        false => (1 << spa::SPA_DATA_MemFd) | (1 << spa::SPA_DATA_MemPtr),
    };
    let kinds = ChoiceEnum::Flags { default: kinds, flags: vec![] };
    let mut all = vec![Param::new(
        SpaTypes::ObjectParamBuffers,
        ParamType::Buffers,
        vec![
            range(spa::SPA_PARAM_BUFFERS_buffers, BUFFERS),
            Property::new(
                spa::SPA_PARAM_BUFFERS_dataType,
                Value::Choice(ChoiceValue::Int(Choice(ChoiceFlags::empty(), kinds))),
            ),
        ],
    )];
    let cursor = |side: i32| 28 + 20 + side * side * 4;
    let [usual, most] = CURSOR_SIDES;
    let [rects, least, many] = DAMAGE_RECTS;
    for (kind, size) in [
        (spa::SPA_META_Header, [32; 3]),
        (spa::SPA_META_VideoDamage, [16 * rects, 16 * least, 16 * many]),
        (spa::SPA_META_Cursor, [cursor(usual), cursor(1), cursor(most)]),
        (spa::SPA_META_VideoCrop, [16; 3]),
        (spa::SPA_META_VideoTransform, [4; 3]),
    ] {
        let properties =
            vec![Property::new(spa::SPA_PARAM_META_type, Value::Id(Id(kind))), range(spa::SPA_PARAM_META_size, size)];
        all.push(Param::new(SpaTypes::ObjectParamMeta, ParamType::Meta, properties));
    }
    all
}

fn range(key: u32, [default, min, max]: [i32; 3]) -> Property {
    let value = match min == max {
        true => Value::Int(default),
        false => {
            let range = ChoiceEnum::Range { default, min, max };
            Value::Choice(ChoiceValue::Int(Choice(ChoiceFlags::empty(), range)))
        }
    };
    Property { key, flags: PropertyFlags::empty(), value }
}

/// What the source and PipeWire settled on.
///
/// # Errors
/// When it is none of what we offered; the text says what it is.
pub(super) fn negotiated(pod: &Pod) -> Result<Negotiated, String> {
    let unreadable = |_| "a format that cannot be read".to_owned();
    let (media, sub) = parse_format(pod).map_err(unreadable)?;
    if (media, sub) != (MediaType::Video, MediaSubtype::Raw) {
        return Err(format!("{media:?} {sub:?} (expected raw video)"));
    }
    let mut info = VideoInfoRaw::new();
    info.parse(pod).map_err(unreadable)?;
    let known = FORMATS.iter().find(|(format, _)| *format == info.format());
    let (_, fourcc) = known.ok_or_else(|| format!("pixels in {:?} (expected a 32-bit RGB format)", info.format()))?;
    let dma_buf = info.flags().bits() & spa::SPA_VIDEO_FLAG_MODIFIER != 0;
    if dma_buf && info.modifier() != LINEAR as u64 {
        return Err(format!("pictures with modifier {:#x} (expected {LINEAR}, plain rows)", info.modifier()));
    }
    let Rectangle { width, height } = info.size();
    let side = |v: u32| u16::try_from(v).ok().filter(|v| *v > 0);
    match (side(width), side(height)) {
        (Some(w), Some(h)) => Ok(Negotiated { size: Size::new(w, h), fourcc: *fourcc, dma_buf }),
        _ => Err(format!("a picture of {width}x{height} (expected 1x1 to {MOST}x{MOST})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(properties: Vec<Property>) -> Param {
        Param::new(SpaTypes::ObjectParamFormat, ParamType::Format, properties)
    }

    fn video(format_: VideoFormat, width: u32, height: u32) -> Param {
        format(vec![
            property!(FormatProperties::MediaType, Id, MediaType::Video),
            property!(FormatProperties::MediaSubtype, Id, MediaSubtype::Raw),
            property!(FormatProperties::VideoFormat, Id, format_),
            property!(FormatProperties::VideoSize, Rectangle, Rectangle { width, height }),
        ])
    }

    fn agreed(param: &Param) -> Result<Negotiated, String> {
        negotiated(param.pod().expect("a pod"))
    }

    #[test]
    fn every_format_that_is_offered_is_understood_and_fits_a_mirror() {
        for (format, fourcc) in FORMATS {
            let got = agreed(&video(format, 640, 480)).expect("is offered");
            assert_eq!(got, Negotiated { size: Size::new(640, 480), fourcc, dma_buf: false });
            assert!(fourcc.layout().is_some());
        }
    }

    #[test]
    fn what_was_not_offered_is_refused_by_name() {
        assert!(agreed(&video(VideoFormat::NV12, 640, 480)).expect_err("is not offered").contains("NV12"));
        for (w, h) in [(0, 480), (640, 0), (65_536, 1), (u32::MAX, u32::MAX)] {
            let said = agreed(&video(VideoFormat::BGRx, w, h)).expect_err("no such picture");
            assert!(said.contains(&format!("{w}x{h}")), "{said}");
        }
        let audio = vec![
            property!(FormatProperties::MediaType, Id, MediaType::Audio),
            property!(FormatProperties::MediaSubtype, Id, MediaSubtype::Raw),
        ];
        assert!(agreed(&format(audio)).is_err());
        assert!(agreed(&format(Vec::new())).is_err());
    }

    #[test]
    fn parameters_can_be_read_back() {
        for dma_bufs in [false, true] {
            let offered = [formats(None, dma_bufs), formats(Some(Size::new(640, 480)), dma_bufs), buffers(dma_bufs)];
            assert!(offered.iter().flatten().all(|p| p.pod().is_some_and(|p| p.is_object())));
            assert_eq!(offered[0].len(), if dma_bufs { 2 } else { 1 });
        }
    }

    #[test]
    fn a_modifier_means_dma_bufs_and_others_than_plain_rows_are_refused() {
        let with = |modifier: i64| {
            let mut properties = vec![
                property!(FormatProperties::MediaType, Id, MediaType::Video),
                property!(FormatProperties::MediaSubtype, Id, MediaSubtype::Raw),
                property!(FormatProperties::VideoFormat, Id, VideoFormat::BGRx),
                property!(FormatProperties::VideoSize, Rectangle, Rectangle { width: 64, height: 48 }),
            ];
            properties.push(Property::new(FormatProperties::VideoModifier.as_raw(), Value::Long(modifier)));
            agreed(&format(properties))
        };
        assert!(with(LINEAR).is_ok_and(|agreed| agreed.dma_buf));
        let said = with(0x0100_0000_0000_0001).expect_err("tiles");
        assert!(said.contains("modifier 0x100000000000001"), "{said}");
    }
}
