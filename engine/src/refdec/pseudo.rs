//! Rectangles that carry no pixels of the picture: pointer shapes, sizes, names, acknowledgements.

use super::decoder::{CursorShape, Decoder, RectHeader, Screen};
use super::reader::Reader;
use super::{DecodeError, encoding};
use crate::geometry::{Point, Size};

/// Largest pointer side that TigerVNC takes.
const MAX_CURSOR: u16 = 256;
/// Longest desktop name taken.
const MAX_NAME: u32 = 1 << 20;

impl Decoder {
    pub(super) fn pseudo_rect(&mut self, r: &mut Reader<'_>, head: &RectHeader) -> Result<&'static str, DecodeError> {
        let here = Point::new(head.x, head.y);
        let name = match head.encoding {
            encoding::CURSOR => {
                self.rich_cursor(r, head)?;
                "cursor"
            }
            encoding::X_CURSOR => {
                self.x_cursor(r, head)?;
                "x cursor"
            }
            encoding::CURSOR_WITH_ALPHA => {
                self.alpha_cursor(r, head)?;
                "alpha cursor"
            }
            encoding::VMWARE_CURSOR => {
                self.vmware_cursor(r, head)?;
                "vmware cursor"
            }
            encoding::VMWARE_CURSOR_POSITION => {
                self.pointer = Some(here);
                "vmware cursor position"
            }
            encoding::POINTER_POS => {
                self.pointer = Some(here);
                "pointer position"
            }
            encoding::DESKTOP_SIZE => {
                self.resize(Size::new(head.w, head.h))?;
                "desktop size"
            }
            encoding::EXTENDED_DESKTOP_SIZE => {
                self.extended_desktop_size(r, head)?;
                "extended desktop size"
            }
            encoding::DESKTOP_NAME => {
                self.desktop_name(r, head)?;
                "desktop name"
            }
            encoding::LED_STATE => {
                self.led_state = Some(r.u8()?.into());
                "led state"
            }
            encoding::VMWARE_LED_STATE => {
                self.led_state = Some(r.u32()?);
                "vmware led state"
            }
            encoding::QEMU_POINTER_MODE => {
                self.pointer_absolute = Some(head.x != 0);
                "qemu pointer mode"
            }
            encoding::QEMU_KEY | encoding::QEMU_AUDIO | encoding::EXTENDED_MOUSE_BUTTONS => {
                self.acknowledged.insert(head.encoding);
                "acknowledgement"
            }
            other => return Err(DecodeError::UnknownEncoding(other)),
        };
        Ok(name)
    }

    fn set_cursor(&mut self, head: &RectHeader, rgba: Vec<u8>, premultiplied: bool) {
        self.cursor = Some(CursorShape {
            encoding: head.encoding,
            size: Size::new(head.w, head.h),
            hotspot: Point::new(head.x, head.y),
            rgba,
            premultiplied,
        });
    }

    fn rich_cursor(&mut self, r: &mut Reader<'_>, head: &RectHeader) -> Result<(), DecodeError> {
        check_cursor(head)?;
        let mut colours = Vec::new();
        for _ in 0..head.area() {
            let v = r.pixel(&self.format)?;
            colours.push(self.colour(v));
        }
        let opaque = bits(r, head)?;
        let rgba = colours.iter().zip(opaque).flat_map(|(c, o)| pixel(*c, o)).collect();
        self.set_cursor(head, rgba, true);
        Ok(())
    }

    fn x_cursor(&mut self, r: &mut Reader<'_>, head: &RectHeader) -> Result<(), DecodeError> {
        check_cursor(head)?;
        let mut rgba = Vec::new();
        if head.area() > 0 {
            let fore = [r.u8()?, r.u8()?, r.u8()?];
            let back = [r.u8()?, r.u8()?, r.u8()?];
            let shape = bits(r, head)?;
            let opaque = bits(r, head)?;
            rgba = shape.iter().zip(opaque).flat_map(|(&s, o)| pixel(if s { fore } else { back }, o)).collect();
        }
        self.set_cursor(head, rgba, true);
        Ok(())
    }

    fn alpha_cursor(&mut self, r: &mut Reader<'_>, head: &RectHeader) -> Result<(), DecodeError> {
        check_cursor(head)?;
        let inner = r.i32()?;
        if inner != encoding::RAW {
            return Err(DecodeError::UnknownEncoding(inner));
        }
        let rgba = r.take(head.area() * 4)?.to_vec();
        if rgba.chunks_exact(4).any(|p| p[..3].iter().any(|c| *c > p[3])) {
            return Err(DecodeError::Rule("an alpha cursor whose colours are not multiplied by alpha"));
        }
        self.set_cursor(head, rgba, true);
        Ok(())
    }

    fn vmware_cursor(&mut self, r: &mut Reader<'_>, head: &RectHeader) -> Result<(), DecodeError> {
        check_cursor(head)?;
        let kind = r.u8()?;
        r.u8()?;
        let rgba = match kind {
            0 => {
                let mut masks = [Vec::new(), Vec::new()];
                for mask in &mut masks {
                    for _ in 0..head.area() {
                        mask.push(r.pixel(&self.format)?);
                    }
                }
                let [and, xor] = masks;
                // AND 0: the XOR colour; AND 1 with XOR 0: the screen; else an inverted screen, shown black
                let show = |(and, xor): (&u32, &u32)| match (*and, *xor) {
                    (0, v) => pixel(self.colour(v), true),
                    (_, 0) => pixel([0; 3], false),
                    _ => pixel([0; 3], true),
                };
                and.iter().zip(&xor).flat_map(show).collect()
            }
            1 => r.take(head.area() * 4)?.to_vec(),
            _ => return Err(DecodeError::Range { what: "VMware cursor type", value: kind.into(), min: 0, max: 1 }),
        };
        self.set_cursor(head, rgba, kind == 0);
        Ok(())
    }

    fn extended_desktop_size(&mut self, r: &mut Reader<'_>, head: &RectHeader) -> Result<(), DecodeError> {
        let (reason, status) = (head.x, head.y);
        for (what, value, max) in [("resize reason", reason, 2), ("resize status", status, 4)] {
            if value > max {
                return Err(DecodeError::Range { what, value: value.into(), min: 0, max: max.into() });
            }
        }
        let count = r.u8()?;
        r.take(3)?;
        let mut layout: Vec<Screen> = Vec::new();
        for _ in 0..count {
            layout.push(Screen { id: r.u32()?, x: r.u16()?, y: r.u16()?, w: r.u16()?, h: r.u16()?, flags: r.u32()? });
        }
        if status == 0 {
            let size = Size::new(head.w, head.h);
            if layout.is_empty() {
                return Err(DecodeError::Rule("a layout without screens"));
            }
            for (i, s) in layout.iter().enumerate() {
                let place = RectHeader { x: s.x, y: s.y, w: s.w, h: s.h, encoding: 0 };
                place.check_inside(size, "screen")?;
                if place.area() == 0 {
                    return Err(DecodeError::Rule("an empty screen"));
                }
                if layout[..i].iter().any(|t| t.id == s.id) {
                    return Err(DecodeError::Rule("two screens of one number"));
                }
            }
            self.resize(size)?;
            self.layout = layout;
        }
        self.resize_answers.push((reason, status));
        Ok(())
    }

    fn desktop_name(&mut self, r: &mut Reader<'_>, head: &RectHeader) -> Result<(), DecodeError> {
        if [head.x, head.y, head.w, head.h] != [0; 4] {
            return Err(DecodeError::Rule("a desktop name with a place"));
        }
        let len = r.u32()?;
        if len > MAX_NAME {
            return Err(DecodeError::Range { what: "name length", value: len.into(), min: 0, max: MAX_NAME.into() });
        }
        let text = std::str::from_utf8(r.take(len as usize)?);
        self.name = Some(text.map_err(|_| DecodeError::Rule("a desktop name that is not UTF-8"))?.to_owned());
        Ok(())
    }
}

fn check_cursor(head: &RectHeader) -> Result<(), DecodeError> {
    for (what, side) in [("cursor width", head.w), ("cursor height", head.h)] {
        if side > MAX_CURSOR {
            return Err(DecodeError::Range { what, value: side.into(), min: 0, max: MAX_CURSOR.into() });
        }
    }
    if head.area() > 0 && (head.x >= head.w || head.y >= head.h) {
        return Err(DecodeError::Rule("a hotspot outside its cursor"));
    }
    Ok(())
}

/// One bit for each pixel, rows padded to bytes, most significant bit left.
fn bits(r: &mut Reader<'_>, head: &RectHeader) -> Result<Vec<bool>, DecodeError> {
    let mut out = Vec::new();
    for _ in 0..head.h {
        let row = r.take(usize::from(head.w).div_ceil(8))?;
        out.extend((0..usize::from(head.w)).map(|x| row[x / 8] >> (7 - x % 8) & 1 == 1));
    }
    Ok(out)
}

fn pixel([r, g, b]: [u8; 3], opaque: bool) -> [u8; 4] {
    if opaque { [r, g, b, 255] } else { [0; 4] }
}
