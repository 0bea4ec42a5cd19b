//! From pixels of the canvas to the compositor's own coordinates.
//!
//! The canvas shows every output pixel by pixel; the compositor counts in coordinates that scale divides. Both are types of their own
//! here: a canvas point becomes an [`Absolute`], a part of the box around all outputs, which is what absolute motion is told in.

use std::sync::{Mutex, PoisonError};

use farpane_engine::capture::wayland::{Logical, Monitor};
use farpane_engine::geometry::Rect;

use crate::backend::{Layout, OutputId};

/// Parts of one of the compositor's units.
const FINE: i64 = 256;

/// A place as absolute motion tells it: so many of so many parts of the box around all outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absolute {
    /// From the left edge.
    pub x: u32,
    /// From the top edge.
    pub y: u32,
    /// Parts from left to right.
    pub width: u32,
    /// Parts from top to bottom.
    pub height: u32,
}

/// One output, on the canvas and for the compositor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its id for clients.
    pub id: OutputId,
    /// Its name for the compositor.
    pub name: String,
    /// On the canvas.
    pub rect: Rect,
    /// In the compositor's coordinates.
    pub logical: Logical,
    /// As `wl_output.transform` says.
    pub transform: u32,
}

/// Where each output lies.
#[derive(Debug, Default)]
pub struct Places {
    all: Mutex<Vec<Place>>,
}

impl Places {
    /// The outputs are these, and lie so on the canvas.
    pub fn set(&self, monitors: &[Monitor], layout: &Layout) {
        let place = |m: &Monitor| {
            let shown = layout.outputs.iter().find(|o| o.name == m.name)?;
            let (rect, logical) = (shown.rect, m.logical);
            Some(Place { id: shown.id, name: m.name.clone(), rect, logical, transform: m.transform })
        };
        let all = monitors.iter().filter_map(place).collect();
        *self.all.lock().unwrap_or_else(PoisonError::into_inner) = all;
    }

    /// Every output.
    pub fn all(&self) -> Vec<Place> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The place of a canvas pixel's middle; between outputs that of the nearest pixel of one. None without outputs.
    pub fn find(&self, x: u16, y: u16) -> Option<Absolute> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let inside = |v: u16, from: u16, to: u16| v.clamp(from, to.saturating_sub(1).max(from));
        let nearest = |r: &Rect| (inside(x, r.x, r.right()), inside(y, r.y, r.bottom()));
        let away = |place: &&Place| {
            let (nx, ny) = nearest(&place.rect);
            u32::from(nx.abs_diff(x)) + u32::from(ny.abs_diff(y))
        };
        let Place { rect, logical, .. } = all.iter().filter(|p| !p.rect.is_empty()).min_by_key(away)?;
        let (x, y) = nearest(rect);
        let left = all.iter().map(|p| i64::from(p.logical.x)).min()?;
        let top = all.iter().map(|p| i64::from(p.logical.y)).min()?;
        let right = all.iter().map(|p| i64::from(p.logical.x) + i64::from(p.logical.w)).max()?;
        let bottom = all.iter().map(|p| i64::from(p.logical.y) + i64::from(p.logical.h)).max()?;
        let part = |at: u16, start: u16, px: u16, from: i32, length: i32, first: i64| {
            let middle = (2 * i64::from(at - start) + 1) * i64::from(length) * FINE / (2 * i64::from(px.max(1)));
            u32::try_from((i64::from(from) - first) * FINE + middle).ok()
        };
        Some(Absolute {
            x: part(x, rect.x, rect.w, logical.x, logical.w, left)?,
            y: part(y, rect.y, rect.h, logical.y, logical.h, top)?,
            width: u32::try_from((right - left) * FINE).ok()?,
            height: u32::try_from((bottom - top) * FINE).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{LayoutOutput, OutputId};
    use farpane_engine::geometry::Size;
    use proptest::prelude::*;

    fn places(list: &[(Rect, [i32; 4])]) -> Places {
        let name = |i: usize| format!("o{i}");
        let monitors = (0..).zip(list).map(|(i, (rect, [x, y, w, h]))| Monitor {
            id: i,
            name: name(i as usize),
            size: Size::new(rect.w, rect.h),
            transform: 0,
            logical: Logical { x: *x, y: *y, w: *w, h: *h },
        });
        let monitors: Vec<_> = monitors.collect();
        let outputs = list.iter().enumerate();
        let outputs = outputs.map(|(i, (rect, _))| LayoutOutput { id: OutputId(i as u32), name: name(i), rect: *rect });
        let layout = Layout { size: Size::new(4000, 4000), outputs: outputs.collect() };
        let places = Places::default();
        places.set(&monitors, &layout);
        places
    }

    /// In the compositor's coordinates, as it works them out.
    fn at(places: &Places, x: u16, y: u16, corner: (f64, f64)) -> (f64, f64) {
        let found = places.find(x, y).expect("a place");
        let units = |parts: u32| f64::from(parts) / FINE as f64;
        (corner.0 + units(found.x), corner.1 + units(found.y))
    }

    #[test]
    fn pixels_land_in_the_middle_of_their_place_whatever_the_scale() {
        let mixed = places(&[
            (Rect::new(0, 0, 1280, 960), [-640, 0, 640, 480]),
            (Rect::new(1280, 100, 600, 800), [0, 100, 600, 800]),
        ]);
        assert_eq!(at(&mixed, 0, 0, (-640.0, 0.0)), (-639.75, 0.25));
        assert_eq!(at(&mixed, 1279, 959, (-640.0, 0.0)), (-0.25, 479.75));
        assert_eq!(at(&mixed, 1280, 100, (-640.0, 0.0)), (0.5, 100.5));
        let found = mixed.find(5, 5).expect("a place");
        assert_eq!((found.width, found.height), (1240 * 256, 900 * 256));
    }

    #[test]
    fn between_outputs_the_nearest_pixel_is_meant_and_without_any_none() {
        let gap = places(&[(Rect::new(0, 0, 10, 10), [0, 0, 10, 10]), (Rect::new(50, 0, 10, 10), [50, 0, 10, 10])]);
        assert_eq!(at(&gap, 20, 40, (0.0, 0.0)), (9.5, 9.5));
        assert_eq!(at(&gap, 48, 3, (0.0, 0.0)), (50.5, 3.5));
        assert_eq!(Places::default().find(3, 3), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_point_lies_inside_the_box(
            list in prop::collection::vec((0..3000u16, 0..3000u16, 0..2000u16, 0..2000u16, -9000..9000i32, -9000..9000i32), 0..5),
            x in any::<u16>(), y in any::<u16>(),
        ) {
            let list: Vec<_> = list.iter()
                .map(|&(x, y, w, h, lx, ly)| (Rect::new(x, y, w, h), [lx, ly, i32::from(w / 2).max(1), i32::from(h / 2).max(1)]))
                .collect();
            if let Some(found) = places(&list).find(x, y) {
                prop_assert!(found.x < found.width && found.y < found.height, "{found:?}");
            }
        }
    }
}
