//! What is agreed on with a source: formats that we take, sizes, kinds of memory, metadata.

use std::io::Cursor;

use pipewire::spa::param::ParamType;
use pipewire::spa::param::format::{FormatProperties, MediaSubtype, MediaType};
use pipewire::spa::param::format_utils::parse_format;
use pipewire::spa::param::video::{VideoFormat, VideoInfoRaw};
use pipewire::spa::pod::serialize::PodSerializer;
use pipewire::spa::pod::{ChoiceValue, Object, Pod, PodPropFlags, Property, PropertyFlags, Value, property};
use pipewire::spa::sys as spa;
use pipewire::spa::utils::{Choice, ChoiceEnum, ChoiceFlags, Id, Rectangle, SpaTypes};

use crate::frame::DmaBufs;
use crate::geometry::Size;
use crate::pixel::{Fourcc, Modifier};

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

/// What was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Negotiated {
    pub(super) size: Size,
    pub(super) fourcc: Fourcc,
    /// Pictures lie in dma-bufs, in this form.
    pub(super) modifier: Option<Modifier>,
}

/// Which dma-bufs are offered to a source: formats, by their places in the table, that come in the same forms.
#[derive(Debug, Default)]
pub(super) struct Offer(Vec<(Vec<usize>, Vec<Modifier>)>);

impl Offer {
    /// What can be taken now.
    pub(super) fn new(wanted: &DmaBufs) -> Self {
        let mut groups: Vec<(Vec<usize>, Vec<Modifier>)> = Vec::new();
        for (at, (_, fourcc)) in FORMATS.iter().enumerate() {
            let modifiers = wanted.modifiers(*fourcc);
            match groups.iter_mut().find(|(_, known)| *known == modifiers) {
                Some((formats, _)) => formats.push(at),
                None if modifiers.is_empty() => {}
                None => groups.push((vec![at], modifiers)),
            }
        }
        Self(groups)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn holds(&self, format: VideoFormat, modifier: Modifier) -> bool {
        let of = |at: &usize| FORMATS.get(*at).is_some_and(|(known, _)| *known == format);
        self.0.iter().any(|(formats, modifiers)| formats.iter().any(of) && modifiers.contains(&modifier))
    }
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
pub(super) fn formats(size: Option<Size>, offer: &Offer) -> Vec<Param> {
    let all: Vec<usize> = (0..FORMATS.len()).collect();
    let dma_bufs = offer.0.iter().map(|(formats, modifiers)| formats_in(size, formats, modifiers));
    dma_bufs.chain([formats_in(size, &all, &[])]).collect()
}

/// Some of them in dma-bufs of these forms, or in shared memory where there are none.
fn formats_in(size: Option<Size>, formats: &[usize], modifiers: &[Modifier]) -> Param {
    let known: Vec<Id> = formats.iter().filter_map(|at| FORMATS.get(*at)).map(|(f, _)| Id(f.as_raw())).collect();
    let default = known.first().copied().unwrap_or(Id(0));
    let format = ChoiceEnum::Enum { default, alternatives: known };
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
    let all: Vec<i64> = modifiers.iter().map(|modifier| modifier.0 as i64).collect();
    let modifier = match all[..] {
        [] => None,
        [one] => Some((PropertyFlags::MANDATORY, Value::Long(one))),
        // the source, which knows what it can draw into, chooses
        [default, ..] => {
            let several = ChoiceEnum::Enum { default, alternatives: all };
            let value = Value::Choice(ChoiceValue::Long(Choice(ChoiceFlags::empty(), several)));
            Some((PropertyFlags::MANDATORY | PropertyFlags::DONT_FIXATE, value))
        }
    };
    let key = FormatProperties::VideoModifier.as_raw();
    properties.extend(modifier.map(|(flags, value)| Property { key, flags, value }));
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

/// What the source and PipeWire settled on; none while the source has yet to choose a form.
///
/// # Errors
/// When it is none of what we offered; the text says what it is.
pub(super) fn negotiated(pod: &Pod, offer: &Offer) -> Result<Option<Negotiated>, String> {
    let unreadable = |_| "a format that cannot be read".to_owned();
    let (media, sub) = parse_format(pod).map_err(unreadable)?;
    if (media, sub) != (MediaType::Video, MediaSubtype::Raw) {
        return Err(format!("{media:?} {sub:?} (expected raw video)"));
    }
    let mut info = VideoInfoRaw::new();
    info.parse(pod).map_err(unreadable)?;
    let known = FORMATS.iter().find(|(format, _)| *format == info.format());
    let (_, fourcc) = known.ok_or_else(|| format!("pixels in {:?} (expected a 32-bit RGB format)", info.format()))?;
    let key = Id(FormatProperties::VideoModifier.as_raw());
    let told = pod.as_object().ok().and_then(|object| object.find_prop(key).map(|p| p.flags()));
    if told.is_some_and(|flags| flags.contains(PodPropFlags::DONT_FIXATE)) {
        return Ok(None);
    }
    let modifier = told.map(|_| Modifier(info.modifier()));
    if let Some(modifier) = modifier.filter(|modifier| !offer.holds(info.format(), *modifier)) {
        return Err(format!("pictures with modifier {:#x}, which was not asked for", modifier.0));
    }
    let Rectangle { width, height } = info.size();
    let side = |v: u32| u16::try_from(v).ok().filter(|v| *v > 0);
    match (side(width), side(height)) {
        (Some(w), Some(h)) => Ok(Some(Negotiated { size: Size::new(w, h), fourcc: *fourcc, modifier })),
        _ => Err(format!("a picture of {width}x{height} (expected 1x1 to {MOST}x{MOST})")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::frame::Importer;

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
        agreed_of(param, &DmaBufs::Plain)
    }

    fn agreed_of(param: &Param, wanted: &DmaBufs) -> Result<Negotiated, String> {
        let agreed = negotiated(param.pod().expect("a pod"), &Offer::new(wanted))?;
        Ok(agreed.expect("nothing is left to choose"))
    }

    #[test]
    fn every_format_that_is_offered_is_understood_and_fits_a_mirror() {
        for (format, fourcc) in FORMATS {
            let got = agreed(&video(format, 640, 480)).expect("is offered");
            assert_eq!(got, Negotiated { size: Size::new(640, 480), fourcc, modifier: None });
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
        for (wanted, count) in [(DmaBufs::None, 1), (DmaBufs::Plain, 2), (taken(), 3)] {
            let offer = Offer::new(&wanted);
            let offered = [formats(None, &offer), formats(Some(Size::new(640, 480)), &offer), buffers(count > 1)];
            assert!(offered.iter().flatten().all(|p| p.pod().is_some_and(|p| p.is_object())));
            assert_eq!(offered[0].len(), count, "{wanted:?}");
        }
    }

    const TILES: Modifier = Modifier(0x0100_0000_0000_0001);

    /// A device that takes tiles of one format, and rows of that and another.
    struct Device;

    impl Importer for Device {
        fn modifiers(&self, fourcc: Fourcc) -> Vec<Modifier> {
            match fourcc {
                Fourcc::XRGB8888 | Fourcc::ARGB8888 => vec![TILES, Modifier::LINEAR],
                Fourcc::XBGR2101010 => vec![Modifier::LINEAR],
                _ => Vec::new(),
            }
        }
    }

    fn taken() -> DmaBufs {
        DmaBufs::Taken(Arc::new(Device))
    }

    /// What a source makes of an offer: this format in this form, chosen or left to choose.
    fn answer(format_: VideoFormat, modifier: Modifier, chosen: bool) -> Param {
        let flags =
            if chosen { PropertyFlags::MANDATORY } else { PropertyFlags::MANDATORY | PropertyFlags::DONT_FIXATE };
        let key = FormatProperties::VideoModifier.as_raw();
        format(vec![
            property!(FormatProperties::MediaType, Id, MediaType::Video),
            property!(FormatProperties::MediaSubtype, Id, MediaSubtype::Raw),
            property!(FormatProperties::VideoFormat, Id, format_),
            property!(FormatProperties::VideoSize, Rectangle, Rectangle { width: 64, height: 48 }),
            Property { key, flags, value: Value::Long(modifier.0 as i64) },
        ])
    }

    #[test]
    fn forms_that_a_device_takes_are_agreed_on_format_by_format() {
        let offer = Offer::new(&taken());
        let said =
            |format, modifier| agreed_of(&answer(format, modifier, true), &taken()).map(|agreed| agreed.modifier);
        assert_eq!(said(VideoFormat::BGRx, TILES), Ok(Some(TILES)));
        assert_eq!(said(VideoFormat::BGRA, Modifier::LINEAR), Ok(Some(Modifier::LINEAR)));
        assert_eq!(said(VideoFormat::xBGR_210LE, Modifier::LINEAR), Ok(Some(Modifier::LINEAR)));
        for (format, modifier) in [
            (VideoFormat::xBGR_210LE, TILES),
            (VideoFormat::RGBx, Modifier::LINEAR),
            (VideoFormat::BGRx, Modifier(TILES.0 + 1)),
        ] {
            let refused = said(format, modifier).expect_err("not asked for");
            assert!(refused.contains("not asked for"), "{refused}");
        }
        let open = answer(VideoFormat::BGRx, TILES, false);
        assert_eq!(negotiated(open.pod().expect("a pod"), &offer), Ok(None), "the source has yet to choose");
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
        assert!(with(0).is_ok_and(|agreed| agreed.modifier == Some(Modifier::LINEAR)));
        let said = with(0x0100_0000_0000_0001).expect_err("tiles");
        assert!(said.contains("modifier 0x100000000000001"), "{said}");
    }
}
