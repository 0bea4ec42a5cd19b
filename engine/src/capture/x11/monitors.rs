//! The monitors of a screen.

use x11rb::protocol::{randr, xproto};
use x11rb::rust_connection::RustConnection;

use super::{Monitor, X11Error};
use crate::geometry::{Rect, Size};

/// Times that a screen is looked at again because its size changed meanwhile; the event of that change will have it looked at anyway.
const LOOKS: usize = 8;

/// The screen's size and its monitors; one called `screen` when RandR knows none.
///
/// The server answers size and monitors one after the other: a size that is the same before and after belongs to the monitors.
pub(super) fn query(c: &RustConnection, root: u32, randr: bool) -> Result<(Size, Vec<Monitor>), X11Error> {
    let read_size = || -> Result<Size, X11Error> {
        let geometry = xproto::get_geometry(c, root)?.reply()?;
        Ok(Size::new(geometry.width, geometry.height))
    };
    let mut size = read_size()?;
    let mut found = Vec::new();
    if randr {
        let mut infos = randr::get_monitors(c, root, true)?.reply()?.monitors;
        for _ in 0..LOOKS {
            let after = read_size()?;
            if after == size {
                break;
            }
            size = after;
            infos = randr::get_monitors(c, root, true)?.reply()?.monitors;
        }
        let names: Vec<_> = infos.iter().map(|m| xproto::get_atom_name(c, m.name)).collect::<Result<_, _>>()?;
        for (info, name) in infos.iter().zip(names) {
            let name = String::from_utf8_lossy(&name.reply()?.name).into_owned();
            let rect = clipped(info.x, info.y, info.width, info.height, size.rect());
            if !rect.is_empty() {
                found.push(Monitor { name, rect, primary: info.primary });
            }
        }
    }
    if found.is_empty() {
        found.push(Monitor { name: "screen".to_owned(), rect: size.rect(), primary: true });
    }
    Ok((size, found))
}

/// A rectangle as X has it, clipped to `bounds`.
pub(super) fn clipped(x: i16, y: i16, w: u16, h: u16, bounds: Rect) -> Rect {
    let side = |v: i32| v.clamp(0, i32::from(u16::MAX)) as u16;
    let (x, y) = (i32::from(x), i32::from(y));
    Rect::from_corners(side(x), side(y), side(x + i32::from(w)), side(y + i32::from(h))).intersect(&bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_off_the_screen_is_cut() {
        let bounds = Rect::new(0, 0, 100, 50);
        assert_eq!(clipped(-10, -5, 20, 10, bounds), Rect::new(0, 0, 10, 5));
        assert_eq!(clipped(90, 40, 65_535, 65_535, bounds), Rect::new(90, 40, 10, 10));
        assert!(clipped(100, 0, 5, 5, bounds).is_empty());
        assert!(clipped(i16::MIN, i16::MIN, 5, 5, bounds).is_empty());
    }
}
