//! From a wish to settings of each output.

use farpane_engine::geometry::Rect;

use super::super::layout::{Span, along};
use super::super::places::Place;
use crate::backend::{Layout, ResizeAnswer};

/// The longest side of an output.
const MAX_SIDE: u16 = 16_384;
/// Scales are counted in parts of this size.
///
/// SOURCE: fractional-scale-v1.
const SCALE_PARTS: f64 = 120.0;

/// A mode of an output, in the hardware's pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    pub w: i32,
    pub h: i32,
    pub preferred: bool,
}

/// What output management tells of an output. sway 1.7 tells how it was before it was switched on, so that size, place and turn are
/// taken from elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    pub name: String,
    pub enabled: bool,
    pub modes: Vec<Mode>,
    /// Index of the mode that it is in.
    pub current: Option<usize>,
    pub scale: f64,
}

/// How an output's mode is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// To the mode of that index.
    Listed(usize),
    /// To a mode that the compositor makes.
    Custom(i32, i32),
}

/// What an output is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting {
    /// Off, as it is.
    Off,
    /// On, as it is: clients do not see it.
    Kept,
    On {
        size: Size,
        at: (i32, i32),
        transform: u32,
        scale: f64,
    },
}

/// Settings for the outputs, in their order, or why there are none; none at all when all is as wished. `places` are those of the screens
/// that clients know.
pub(super) fn plan(wish: &Layout, places: &[Place], heads: &[Facts]) -> Result<Option<Vec<Setting>>, ResizeAnswer> {
    let known = |id| places.iter().find(|p| p.id == id);
    let wished: Option<Vec<_>> = wish.outputs.iter().map(|o| Some((known(o.id)?, o.rect))).collect();
    let wished = wished.filter(|w| w.len() == places.len()).ok_or(ResizeAnswer::Prohibited)?;
    if wished.iter().any(|(place, _)| !heads.iter().any(|h| h.name == place.name)) {
        return Err(ResizeAnswer::Prohibited);
    }
    let scale = |place: &Place| {
        let told = heads.iter().find(|h| h.name == place.name && h.enabled).map(|h| h.scale).filter(|s| *s > 0.0);
        let seen = f64::from(place.rect.w) / f64::from(place.logical.w.max(1));
        told.unwrap_or((seen * SCALE_PARTS).round() / SCALE_PARTS)
    };
    let length = |px: u16, scale: f64| (f64::from(px) / scale).round() as i64;
    let span = |(start, end, px): (u16, u16, u16), scale| Span::new(start.into(), end.into(), length(px, scale));
    let across: Vec<Span> = wished.iter().map(|(p, r)| span((r.x, r.right(), r.w), scale(p))).collect();
    let down: Vec<Span> = wished.iter().map(|(p, r)| span((r.y, r.bottom(), r.h), scale(p))).collect();
    let left = places.iter().map(|p| p.logical.x).min().unwrap_or(0);
    let top = places.iter().map(|p| p.logical.y).min().unwrap_or(0);
    let offset = |start: i64, first: i32| i32::try_from(start).ok().and_then(|s| s.checked_add(first));
    let starts = along(&across).into_iter().zip(along(&down));
    let at: Option<Vec<_>> = starts.map(|(x, y)| offset(x, left).zip(offset(y, top))).collect();
    let at = at.ok_or(ResizeAnswer::InvalidLayout)?;

    let all: Vec<_> = wished.into_iter().zip(at).collect();
    let as_it_is = |((place, rect), at): &((&Place, Rect), (i32, i32))| {
        (rect.w, rect.h) == (place.rect.w, place.rect.h) && *at == (place.logical.x, place.logical.y)
    };
    if all.iter().all(as_it_is) {
        return Ok(None);
    }
    let setting = |head: &Facts| match all.iter().find(|((place, _), _)| place.name == head.name) {
        Some(((place, rect), at)) => Ok(Setting::On {
            size: size(head, unturned(place, rect.w, rect.h)?)?,
            at: *at,
            transform: place.transform,
            scale: scale(place),
        }),
        None if head.enabled => Ok(Setting::Kept),
        None => Ok(Setting::Off),
    };
    heads.iter().map(setting).collect::<Result<_, _>>().map(Some)
}

/// A mode as it is before it is turned.
fn unturned(place: &Place, w: u16, h: u16) -> Result<(i32, i32), ResizeAnswer> {
    if w > MAX_SIDE || h > MAX_SIDE {
        return Err(ResizeAnswer::OutOfResources);
    }
    // odd transforms are turned by a quarter
    let (w, h) = if place.transform & 1 == 1 { (h, w) } else { (w, h) };
    Ok((i32::from(w), i32::from(h)))
}

/// How an output comes to a mode of that size, before it is turned.
pub fn size(head: &Facts, (w, h): (i32, i32)) -> Result<Size, ResizeAnswer> {
    let is = |mode: &Mode| (mode.w, mode.h) == (w, h);
    if let Some(current) = head.current.filter(|i| head.modes.get(*i).is_some_and(is)) {
        return Ok(Size::Listed(current));
    }
    // monitors have a mode that they prefer, and mostly several
    let real = head.modes.len() > 1 || head.modes.iter().any(|m| m.preferred);
    if !real {
        return Ok(Size::Custom(w, h));
    }
    head.modes.iter().position(is).map(Size::Listed).ok_or(ResizeAnswer::Prohibited)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{LayoutOutput, OutputId};
    use farpane_engine::capture::wayland::Logical;
    use farpane_engine::geometry::Size as Canvas;

    fn head(name: &str, mode: (i32, i32)) -> Facts {
        let modes = vec![Mode { w: mode.0, h: mode.1, preferred: false }];
        Facts { name: name.into(), enabled: true, modes, current: Some(0), scale: 1.0 }
    }

    fn place(id: u32, name: &str, rect: [u16; 4], logical: [i32; 4]) -> Place {
        let ([x, y, w, h], [lx, ly, lw, lh]) = (rect, logical);
        let logical = Logical { x: lx, y: ly, w: lw, h: lh };
        Place { id: OutputId(id), name: name.into(), rect: Rect::new(x, y, w, h), logical, transform: 0 }
    }

    fn wish(rects: &[(u32, [u16; 4])]) -> Layout {
        let output = |(id, [x, y, w, h]): &(u32, [u16; 4])| LayoutOutput {
            id: OutputId(*id),
            name: String::new(),
            rect: Rect::new(*x, *y, *w, *h),
        };
        Layout { size: Canvas::new(4000, 4000), outputs: rects.iter().map(output).collect() }
    }

    fn on(size: Size, at: (i32, i32), transform: u32, scale: f64) -> Setting {
        Setting::On { size, at, transform, scale }
    }

    #[test]
    fn a_virtual_output_takes_any_size_turned_or_not() {
        let mut here = place(0, "v", [0, 0, 640, 480], [7, 9, 640, 480]);
        let small = wish(&[(0, [0, 0, 500, 400])]);
        let heads = [head("v", (640, 480))];
        let custom = |w, h, turn| Ok(Some(vec![on(Size::Custom(w, h), (7, 9), turn, 1.0)]));
        assert_eq!(plan(&small, std::slice::from_ref(&here), &heads), custom(500, 400, 0));
        here.transform = 1;
        assert_eq!(plan(&small, std::slice::from_ref(&here), &heads), custom(400, 500, 1));
        assert_eq!(plan(&wish(&[(0, [0, 0, 640, 480])]), &[here], &heads), Ok(None));
    }

    #[test]
    fn an_output_that_is_said_to_be_off_and_is_seen_is_on() {
        let here = place(0, "v", [0, 0, 640, 480], [0, 0, 427, 320]);
        let stale = Facts { enabled: false, modes: Vec::new(), current: None, ..head("v", (0, 0)) };
        let unseen = Facts { name: "w".into(), ..stale.clone() };
        let kept = head("mirror", (9, 9));
        let want = vec![on(Size::Custom(600, 400), (0, 0), 0, 1.5), Setting::Off, Setting::Kept];
        assert_eq!(plan(&wish(&[(0, [0, 0, 600, 400])]), &[here], &[stale, unseen, kept]), Ok(Some(want)));
    }

    #[test]
    fn a_monitor_takes_its_own_modes_alone() {
        let mut monitor = head("DP-1", (1920, 1080));
        monitor.modes[0].preferred = true;
        monitor.modes.push(Mode { w: 1280, h: 720, preferred: false });
        let here = [place(3, "DP-1", [0, 0, 1920, 1080], [0, 0, 1920, 1080])];
        let ask = |w, h| plan(&wish(&[(3, [0, 0, w, h])]), &here, std::slice::from_ref(&monitor));
        assert_eq!(ask(1280, 720), Ok(Some(vec![on(Size::Listed(1), (0, 0), 0, 1.0)])));
        assert_eq!(ask(1000, 700), Err(ResizeAnswer::Prohibited));
        assert_eq!(ask(20_000, 700), Err(ResizeAnswer::OutOfResources));
    }

    #[test]
    fn screens_that_are_not_there_are_not_made_and_none_is_left_out() {
        let places =
            [place(0, "a", [0, 0, 640, 480], [0, 0, 640, 480]), place(1, "b", [640, 0, 640, 480], [640, 0, 640, 480])];
        let heads = [head("a", (640, 480)), head("b", (640, 480))];
        let (one, two) = ([0, 0, 600, 480], [640, 0, 640, 480]);
        for bad in [wish(&[(0, one)]), wish(&[(0, one), (7, two)]), wish(&[(0, one), (1, two), (2, [0, 480, 9, 9])])] {
            assert_eq!(plan(&bad, &places, &heads), Err(ResizeAnswer::Prohibited));
        }
        let both = wish(&[(0, one), (1, two)]);
        assert_eq!(plan(&both, &places, &heads[..1]), Err(ResizeAnswer::Prohibited), "one cannot be managed");
    }

    #[test]
    fn neighbours_touch_still_in_the_compositors_coordinates() {
        let places = [
            place(0, "a", [0, 0, 1280, 960], [100, 0, 640, 480]),
            place(1, "b", [1280, 0, 640, 480], [740, 0, 640, 480]),
        ];
        let heads = [Facts { scale: 2.0, ..head("a", (1280, 960)) }, head("b", (640, 480))];
        let wider = wish(&[(0, [0, 0, 1600, 960]), (1, [1600, 0, 640, 480])]);
        let want = vec![on(Size::Custom(1600, 960), (100, 0), 0, 2.0), on(Size::Listed(0), (900, 0), 0, 1.0)];
        assert_eq!(plan(&wider, &places, &heads), Ok(Some(want)));
    }
}
