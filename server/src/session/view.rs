//! What one listener's clients see of the desktop: all monitors on one canvas, or one of them.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use farpane_engine::frame::CursorImage;
use farpane_engine::geometry::{Point, Size};
use farpane_engine::pipeline::View;

use crate::backend::{Layout, LayoutOutput};

/// Which monitors a client sees. As text: `all`, or a monitor's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ViewSpec {
    /// All of them, as the desktop lays them out.
    #[default]
    All,
    /// The one of this name, from its own top left corner.
    Output(String),
}

impl FromStr for ViewSpec {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "all" { Self::All } else { Self::Output(text.to_owned()) })
    }
}

impl fmt::Display for ViewSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Output(name) => name,
        })
    }
}

/// The part of a layout that a view shows, from the view's own origin; none when its monitor is not there.
pub(super) struct Part {
    /// The monitors on the view's canvas.
    pub layout: Layout,
    /// Where the view's origin lies on the desktop.
    pub origin: Point,
}

impl ViewSpec {
    /// Cuts the view out of the desktop's layout.
    pub(super) fn part_of(&self, layout: &Layout) -> Option<Part> {
        match self {
            Self::All => Some(Part { layout: layout.clone(), origin: Point::default() }),
            Self::Output(name) => {
                let output = layout.outputs.iter().find(|o| o.name == *name)?;
                let rect = output.rect.size().rect();
                let outputs = vec![LayoutOutput { rect, ..output.clone() }];
                Some(Part { layout: Layout { size: output.rect.size(), outputs }, origin: output.rect.origin() })
            }
        }
    }
}

/// The desktop as one client sees it.
pub struct Seen {
    /// Canvas and monitors, from the view's origin.
    pub layout: Layout,
    /// Their pipelines.
    pub view: View,
    /// Where the view's origin lies on the desktop.
    pub origin: Point,
    /// The pointer's shape, once known.
    pub cursor: Option<Arc<CursorImage>>,
    /// Where the pointer is; none when it is elsewhere on the desktop.
    pub pointer: Option<Point>,
    /// Lock keys.
    pub leds: u8,
    /// Why the desktop is gone, while it is.
    pub lost: Option<String>,
}

/// A desktop point in a view of `size` at `origin`; none when it lies outside.
pub(super) fn inside(at: Point, origin: Point, size: Size) -> Option<Point> {
    let x = at.x.checked_sub(origin.x).filter(|x| *x < size.w)?;
    let y = at.y.checked_sub(origin.y).filter(|y| *y < size.h)?;
    Some(Point::new(x, y))
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

    #[test]
    fn one_monitor_is_seen_from_its_own_corner() {
        let part = ViewSpec::Output("right".into()).part_of(&two()).expect("it is there");
        assert_eq!((part.layout.size, part.origin), (Size::new(200, 100), Point::new(100, 20)));
        assert_eq!(part.layout.outputs[0].rect, Rect::new(0, 0, 200, 100));
        assert_eq!(part.layout.outputs[0].id, OutputId(2));
        assert!(ViewSpec::Output("gone".into()).part_of(&two()).is_none());
    }

    #[test]
    fn points_outside_the_view_are_elsewhere() {
        let (origin, size) = (Point::new(100, 20), Size::new(200, 100));
        assert_eq!(inside(Point::new(100, 20), origin, size), Some(Point::new(0, 0)));
        assert_eq!(inside(Point::new(299, 119), origin, size), Some(Point::new(199, 99)));
        assert_eq!(inside(Point::new(300, 20), origin, size), None);
        assert_eq!(inside(Point::new(99, 50), origin, size), None);
    }

    #[test]
    fn text_and_back() {
        for text in ["all", "HDMI-1"] {
            assert_eq!(text.parse::<ViewSpec>().map(|v| v.to_string()), Ok(text.to_owned()));
        }
    }
}
