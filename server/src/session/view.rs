//! What one client sees of the desktop: all monitors on one canvas, or one of them, as large as they are or smaller.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use farpane_engine::frame::CursorImage;
use farpane_engine::geometry::{Point, Rect, Scale, Size};
use farpane_engine::pipeline::View;

use super::ScaleSpec;
use crate::backend::{Layout, LayoutOutput};

/// Which monitors a client sees. As text: `all`, `side-car`, or a monitor's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ViewSpec {
    /// All of them, as the desktop lays them out.
    #[default]
    All,
    /// The one of this name, from its own top left corner.
    Output(String),
    /// One that is made for it, and has no name yet.
    SideCar,
}

impl ViewSpec {
    /// Whether two clients see something in common: who wants the desktop alone wants what it sees of it.
    pub(super) fn has_common(&self, other: &Self) -> bool {
        *self == Self::All || *other == Self::All || self == other
    }
}

impl FromStr for ViewSpec {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "all" => Self::All,
            "side-car" => Self::SideCar,
            name => Self::Output(name.to_owned()),
        })
    }
}

impl fmt::Display for ViewSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Output(name) => name,
            Self::SideCar => "side-car",
        })
    }
}

/// The part of a layout that a view shows, from the view's own origin and at its scale; none when its monitor is not there.
pub(super) struct Part {
    /// The monitors on the view's canvas.
    pub layout: Layout,
    /// How much smaller it is than the desktop.
    pub scale: Scale,
    /// Where that is on the desktop.
    pub places: Places,
}

/// Where the monitors of a view lie on the desktop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The desktop's part as a whole, and the canvas.
    whole: Place,
    monitors: Vec<Place>,
}

/// A rectangle of the desktop and the one that it becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    desktop: Rect,
    view: Rect,
}

impl Place {
    /// The middle of what a pixel of the view shows.
    fn to_desktop(&self, at: Point) -> Point {
        let axis = |at: u16, view: (u16, u16), desktop: (u16, u16)| {
            let ((start, len), (from, of)) = (view, desktop);
            let middle = u64::from(at.saturating_sub(start)).saturating_mul(2).saturating_add(1);
            let along = middle.saturating_mul(u64::from(of)).checked_div(u64::from(len).saturating_mul(2)).unwrap_or(0);
            from.saturating_add(u16::try_from(along.min(u64::from(of.saturating_sub(1)))).unwrap_or(u16::MAX))
        };
        let (v, d) = (&self.view, &self.desktop);
        Point::new(axis(at.x, (v.x, v.w), (d.x, d.w)), axis(at.y, (v.y, v.h), (d.y, d.h)))
    }

    /// The pixel of the view that shows this one.
    fn to_view(&self, at: Point) -> Point {
        let axis = |at: u16, desktop: (u16, u16), view: (u16, u16)| {
            let ((start, len), (to, of)) = (desktop, view);
            let along = u64::from(at.saturating_sub(start)).saturating_mul(u64::from(of));
            let along = along.checked_div(u64::from(len)).unwrap_or(0).min(u64::from(of.saturating_sub(1)));
            to.saturating_add(u16::try_from(along).unwrap_or(u16::MAX))
        };
        let (v, d) = (&self.view, &self.desktop);
        Point::new(axis(at.x, (d.x, d.w), (v.x, v.w)), axis(at.y, (d.y, d.h), (v.y, v.h)))
    }
}

impl Places {
    /// The desktop point that a point of the canvas shows; of one between the monitors, the one that would lie there.
    pub fn to_desktop(&self, at: Point) -> Point {
        self.monitors.iter().find(|p| p.view.contains_point(at)).unwrap_or(&self.whole).to_desktop(at)
    }

    /// Where the canvas shows a desktop point; none when it is elsewhere.
    pub fn to_view(&self, at: Point) -> Option<Point> {
        let shown = || Some(&self.whole).filter(|whole| whole.desktop.contains_point(at));
        Some(self.monitors.iter().find(|p| p.desktop.contains_point(at)).or_else(shown)?.to_view(at))
    }
}

impl ViewSpec {
    /// The monitors of the desktop that the view shows, and the part of the desktop that its canvas stands for.
    fn cut<'a>(&self, layout: &'a Layout) -> Option<(&'a [LayoutOutput], Rect)> {
        match self {
            Self::All => Some((&layout.outputs, layout.size.rect())),
            Self::Output(name) => {
                let at = layout.outputs.iter().position(|o| o.name == *name)?;
                let output = layout.outputs.get(at..=at)?;
                Some((output, output.first()?.rect))
            }
            Self::SideCar => None,
        }
    }

    /// Cuts the view out of the desktop's layout.
    pub(super) fn part_of(&self, layout: &Layout, scale: ScaleSpec) -> Option<Part> {
        let (monitors, desktop) = self.cut(layout)?;
        let scale = scale.of(desktop.size());
        let place = |rect: &Rect| {
            let from_corner = rect.translate(-i32::from(desktop.x), -i32::from(desktop.y));
            Place { desktop: *rect, view: scale.rect(&from_corner) }
        };
        let places: Vec<Place> = monitors.iter().map(|o| place(&o.rect)).collect();
        let outputs = monitors.iter().zip(&places).map(|(o, p)| LayoutOutput { rect: p.view, ..o.clone() });
        let outputs: Vec<LayoutOutput> = outputs.collect();
        // a monitor that was made smaller than a pixel is one all the same
        let size = outputs.iter().fold(scale.size(desktop.size()), |size, o| {
            Size::new(size.w.max(o.rect.right()), size.h.max(o.rect.bottom()))
        });
        let whole = Place { desktop, view: size.rect() };
        Some(Part { layout: Layout { size, outputs }, scale, places: Places { whole, monitors: places } })
    }

    /// Whether its monitors are there.
    pub(super) fn is_there(&self, layout: &Layout) -> bool {
        self.cut(layout).is_some()
    }
}

/// The desktop as one client sees it.
pub struct Seen {
    /// Canvas and monitors, from the view's origin.
    pub layout: Layout,
    /// Their pipelines.
    pub view: View,
    /// Where its parts lie on the desktop.
    pub places: Places,
    /// The pointer's shape, once known.
    pub cursor: Option<Arc<CursorImage>>,
    /// Where the pointer is; none when it is elsewhere on the desktop.
    pub pointer: Option<Point>,
    /// Lock keys.
    pub leds: u8,
    /// Why the desktop is gone, while it is.
    pub lost: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::OutputId;
    use farpane_engine::geometry::Rect;

    fn two() -> Layout {
        let output = |id, name: &str, rect| LayoutOutput { id: OutputId(id), name: name.into(), rect };
        Layout {
            size: Size::new(300, 120),
            outputs: vec![
                output(1, "left", Rect::new(0, 0, 100, 80)),
                output(2, "right", Rect::new(100, 20, 200, 100)),
            ],
        }
    }

    const FULL: ScaleSpec = ScaleSpec::Percent(100);

    #[test]
    fn one_monitor_is_seen_from_its_own_corner() {
        let part = ViewSpec::Output("right".into()).part_of(&two(), FULL).expect("it is there");
        assert_eq!(part.layout.size, Size::new(200, 100));
        assert_eq!(part.layout.outputs[0].rect, Rect::new(0, 0, 200, 100));
        assert_eq!(part.layout.outputs[0].id, OutputId(2));
        assert!(ViewSpec::Output("gone".into()).part_of(&two(), FULL).is_none());
        let places = part.places;
        assert_eq!(places.to_view(Point::new(100, 20)), Some(Point::new(0, 0)));
        assert_eq!(places.to_view(Point::new(299, 119)), Some(Point::new(199, 99)));
        assert_eq!(places.to_view(Point::new(300, 20)), None);
        assert_eq!(places.to_view(Point::new(99, 50)), None);
        assert_eq!(places.to_desktop(Point::new(199, 0)), Point::new(299, 20));
    }

    #[test]
    fn what_is_not_scaled_is_where_it_is() {
        let part = ViewSpec::All.part_of(&two(), FULL).expect("all are there");
        assert_eq!(part.layout, two());
        for at in [Point::new(0, 0), Point::new(99, 79), Point::new(100, 20), Point::new(50, 100), Point::new(299, 119)]
        {
            assert_eq!((part.places.to_desktop(at), part.places.to_view(at)), (at, Some(at)));
        }
    }

    #[test]
    fn a_smaller_view_keeps_the_monitors_apart_and_each_point_on_its_own() {
        for scale in ["50%", "33%", "7%", "1%", "64x64", "1x1"] {
            let part = ViewSpec::All.part_of(&two(), scale.parse().expect("a scale")).expect("all are there");
            let canvas = part.layout.size.rect();
            for (i, (shown, whole)) in part.layout.outputs.iter().zip(&two().outputs).enumerate() {
                assert!(canvas.contains(&shown.rect), "{scale}: {:?} on {canvas:?}", shown.rect);
                assert_eq!(shown.rect.size(), part.scale.size(whole.rect.size()), "{scale}");
                for y in shown.rect.y..shown.rect.bottom() {
                    for x in shown.rect.x..shown.rect.right() {
                        let (at, first) = (Point::new(x, y), part.layout.outputs[0].rect);
                        // those of less than a pixel may lie on each other
                        if i == 0 || !first.contains_point(at) {
                            let there = part.places.to_desktop(at);
                            assert!(whole.rect.contains_point(there), "{scale}: {at:?} is {there:?}");
                            assert_eq!(part.places.to_view(there), Some(at), "{scale}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn all_has_something_in_common_with_everything_and_one_monitor_with_itself() {
        let [left, right] = ["left", "right"].map(|name| ViewSpec::Output(name.into()));
        assert!(left.has_common(&left) && left.has_common(&ViewSpec::All) && ViewSpec::All.has_common(&right));
        assert!(!left.has_common(&right));
    }

    #[test]
    fn text_and_back() {
        for text in ["all", "HDMI-1"] {
            assert_eq!(text.parse::<ViewSpec>().map(|v| v.to_string()), Ok(text.to_owned()));
        }
    }
}
