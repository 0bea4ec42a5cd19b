//! Where outputs lie on the canvas.
//!
//! Compositors place outputs in their own coordinates, which the scale of each output divides. The canvas is in physical pixels, so that
//! every output is shown pixel by pixel: outputs keep who is left of whom and who is above whom, and what touches touches
//! still. An output begins where those to its left end; so outputs that lie apart for the compositor lie apart here, whatever their scales.

use std::collections::HashMap;

use farpane_engine::capture::wayland::Monitor;
use farpane_engine::geometry::{Rect, Size};

use crate::backend::{Layout, LayoutOutput, OutputId};

/// Outputs of one canvas at most.
const MAX_OUTPUTS: usize = 64;

/// Gives each output's name an id that it keeps for as long as the backend lives.
#[derive(Debug, Default)]
pub struct Ids {
    known: HashMap<String, OutputId>,
}

impl Ids {
    fn of(&mut self, name: &str) -> OutputId {
        let free = |id: &OutputId| !self.known.values().any(|k| k == id);
        let id = (0..).map(OutputId).find(free).unwrap_or(OutputId(u32::MAX));
        *self.known.entry(name.to_owned()).or_insert(id)
    }

    /// The layout of the compositor's outputs. Those that lie beyond what a canvas may be, or bear another's name, are left out.
    pub fn layout(&mut self, monitors: &[Monitor]) -> Layout {
        let mut taken: Vec<&Monitor> = Vec::new();
        for monitor in monitors.iter().take(MAX_OUTPUTS) {
            if !taken.iter().any(|t| t.name == monitor.name) {
                taken.push(monitor);
            }
        }
        let mut shown: Vec<(&str, Rect)> = taken
            .iter()
            .zip(places(&taken))
            .filter_map(|(monitor, rect)| Some((monitor.name.as_str(), rect?)))
            .collect();
        // compositors tell of their outputs in any order: the leftmost gets the first number
        shown.sort_by_key(|(_, rect)| (rect.x, rect.y));
        let output = |(name, rect): (&str, Rect)| LayoutOutput { id: self.of(name), name: name.to_owned(), rect };
        let mut outputs: Vec<LayoutOutput> = shown.into_iter().map(output).collect();
        outputs.sort_by_key(|o| o.id);
        let size =
            outputs.iter().fold(Size::default(), |s, o| Size::new(s.w.max(o.rect.right()), s.h.max(o.rect.bottom())));
        Layout { size, outputs }
    }
}

/// One axis of an output: where it begins and ends for the compositor, and how many pixels it has.
#[derive(Clone, Copy)]
pub(super) struct Span {
    start: i64,
    end: i64,
    px: i64,
}

impl Span {
    /// From one place to another, to be so many pixels long.
    pub(super) fn new(start: i64, end: i64, px: i64) -> Self {
        Self { start, end, px }
    }

    /// Pixels of a distance in the compositor's coordinates, at this output's scale.
    fn scaled(&self, distance: i64) -> i64 {
        let length = (self.end - self.start).max(1);
        (distance * self.px + length / 2) / length
    }
}

/// Where each span begins on the canvas: behind every one that ends before it, and as far from the nearest of these as it is for the compositor. How far
/// it is from the others counts for nothing: what lies between them has scales of its own.
pub(super) fn along(spans: &[Span]) -> Vec<i64> {
    let first = spans.iter().map(|s| s.start).min().unwrap_or(0);
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by_key(|i| spans.get(*i).map(|s| s.start));
    let mut starts = vec![0i64; spans.len()];
    for (n, i) in order.iter().enumerate() {
        let Some(span) = spans.get(*i) else { continue };
        let before = order.iter().take(n).filter_map(|j| Some((spans.get(*j)?, *starts.get(*j)?)));
        let behind = || before.clone().filter(|(s, _)| s.end <= span.start);
        let nearest = behind().map(|(s, _)| s.end).max();
        let gap = |s: &Span| if Some(s.end) == nearest { span.scaled(span.start - s.end) } else { 0 };
        let at = behind().map(|(s, start)| start + s.px + gap(s)).max();
        if let Some(start) = starts.get_mut(*i) {
            *start = at.unwrap_or_else(|| span.scaled(span.start - first));
        }
    }
    starts
}

/// Each output's place on the canvas; none for those that do not fit any more.
fn places(monitors: &[&Monitor]) -> Vec<Option<Rect>> {
    let span = |start: i32, length: i32, px: u16| {
        let start = i64::from(start);
        Span { start, end: start + i64::from(length.max(1)), px: px.into() }
    };
    let across: Vec<Span> = monitors.iter().map(|m| span(m.logical.x, m.logical.w, m.size.w)).collect();
    let down: Vec<Span> = monitors.iter().map(|m| span(m.logical.y, m.logical.h, m.size.h)).collect();
    let mut placed: Vec<Option<Rect>> = Vec::new();
    for ((monitor, x), y) in monitors.iter().zip(along(&across)).zip(along(&down)) {
        let free = |rect: &Rect| !placed.iter().flatten().any(|p| p.overlaps(rect));
        let rect = fitting(x, y, monitor.size).filter(free);
        placed.push(rect);
    }
    // outputs that show the same part of the desktop are shown beside each other, and push none of the others away
    for (i, monitor) in monitors.iter().enumerate() {
        let right = placed.iter().flatten().map(Rect::right).max().unwrap_or(0);
        if let Some(place @ None) = placed.get_mut(i) {
            *place = fitting(right.into(), 0, monitor.size);
        }
    }
    placed
}

fn fitting(x: i64, y: i64, size: Size) -> Option<Rect> {
    let (x, y) = (u16::try_from(x).ok()?, u16::try_from(y).ok()?);
    let inside = x.checked_add(size.w).is_some() && y.checked_add(size.h).is_some();
    inside.then(|| Rect::new(x, y, size.w, size.h))
}

#[cfg(test)]
mod tests {
    use super::*;
    use farpane_engine::capture::wayland::Logical;
    use proptest::prelude::*;

    fn monitor(name: &str, logical: [i32; 4], size: (u16, u16)) -> Monitor {
        let [x, y, w, h] = logical;
        let size = Size::new(size.0, size.1);
        Monitor { id: 1, name: name.to_owned(), size, transform: 0, logical: Logical { x, y, w, h } }
    }

    fn rects(monitors: &[Monitor]) -> Vec<[u16; 4]> {
        let layout = Ids::default().layout(monitors);
        layout.outputs.iter().map(|o| [o.rect.x, o.rect.y, o.rect.w, o.rect.h]).collect()
    }

    #[test]
    fn without_scale_outputs_lie_where_the_compositor_has_them() {
        let row = [
            monitor("a", [-100, 20, 640, 480], (640, 480)),
            monitor("b", [540, 0, 800, 600], (800, 600)),
            monitor("c", [600, 700, 300, 200], (300, 200)),
        ];
        assert_eq!(rects(&row), [[0, 20, 640, 480], [640, 0, 800, 600], [700, 700, 300, 200]]);
        assert_eq!(Ids::default().layout(&row).size, Size::new(1440, 900));
    }

    #[test]
    fn scaled_outputs_keep_their_pixels_and_touch_still() {
        let row = [
            monitor("fine", [0, 0, 1920, 1080], (3840, 2160)),
            monitor("plain", [1920, 0, 1920, 1080], (1920, 1080)),
            monitor("below", [0, 1080, 1280, 720], (1920, 1080)),
        ];
        assert_eq!(rects(&row), [[0, 0, 3840, 2160], [0, 2160, 1920, 1080], [3840, 0, 1920, 1080]]);
    }

    #[test]
    fn outputs_in_a_row_touch_still_whatever_their_scales_and_a_gap_is_one_gap() {
        let row = [
            monitor("plain", [0, 0, 438, 396], (438, 396)),
            monitor("too", [438, 0, 390, 450], (390, 450)),
            monitor("fine", [828, 0, 159, 144], (318, 288)),
            monitor("apart", [1000, 0, 192, 498], (192, 498)),
        ];
        assert_eq!(rects(&row).iter().map(|r| r[0]).collect::<Vec<_>>(), [0, 438, 828, 828 + 318 + 13]);
    }

    #[test]
    fn outputs_that_show_the_same_lie_beside_each_other_and_what_does_not_fit_is_left_out() {
        let same = [monitor("a", [0, 0, 640, 480], (640, 480)), monitor("b", [0, 0, 640, 480], (640, 480))];
        assert_eq!(rects(&same), [[0, 0, 640, 480], [640, 0, 640, 480]]);
        let wide: Vec<_> = (0..5).map(|i| monitor(&format!("m{i}"), [i * 16_384, 0, 16_384, 9], (16_384, 9))).collect();
        assert_eq!(rects(&wide).len(), 3);
        assert_eq!(rects(&[same[0].clone(), same[0].clone()]).len(), 1, "a name is taken once");
    }

    #[test]
    fn outputs_that_show_the_same_push_no_others_away() {
        let row = [
            monitor("a", [0, 1300, 1800, 100], (1800, 100)),
            monitor("b", [700, 0, 2300, 2600], (2300, 2600)),
            monitor("c", [4100, 2700, 100, 100], (100, 100)),
            monitor("d", [3300, 400, 300, 100], (300, 100)),
        ];
        assert_eq!(
            rects(&row),
            [[0, 1300, 1800, 100], [3300, 400, 300, 100], [4100, 2700, 100, 100], [4200, 0, 2300, 2600]]
        );
    }

    #[test]
    fn an_output_keeps_its_id_when_it_comes_back() {
        let mut ids = Ids::default();
        let (a, b) = (monitor("a", [0, 0, 9, 9], (9, 9)), monitor("b", [9, 0, 9, 9], (9, 9)));
        assert_eq!(ids.layout(&[a.clone(), b.clone()]).outputs.len(), 2);
        let alone = ids.layout(std::slice::from_ref(&b));
        assert_eq!((alone.outputs[0].id, alone.outputs[0].rect.x), (OutputId(1), 0));
        assert_eq!(
            ids.layout(&[monitor("c", [0, 0, 9, 9], (9, 9)), a]).outputs.iter().map(|o| o.id.0).collect::<Vec<_>>(),
            [0, 2]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn no_two_outputs_overlap_and_all_lie_on_the_canvas(
            list in proptest::collection::vec((-5000..5000i32, -5000..5000i32, 1..3000u16, 1..3000u16, 1..4i32), 0..8)
        ) {
            let monitors: Vec<_> = list.iter().enumerate()
                .map(|(i, &(x, y, w, h, s))| monitor(&i.to_string(), [x, y, i32::from(w) / s, i32::from(h) / s], (w, h))).collect();
            let layout = Ids::default().layout(&monitors);
            for (i, a) in layout.outputs.iter().enumerate() {
                prop_assert!(layout.size.rect().contains(&a.rect));
                prop_assert!(layout.outputs[i + 1..].iter().all(|b| !b.rect.overlaps(&a.rect)));
                let logical = |name: &str| monitors.iter().find(|m| m.name == name).map(|m| m.logical);
                for b in &layout.outputs {
                    let (Some(la), Some(lb)) = (logical(&a.name), logical(&b.name)) else { continue };
                    let shared = monitors.iter().any(|m| m.name != a.name && meet(m.logical, la)) || monitors.iter().any(|m| m.name != b.name && meet(m.logical, lb));
                    prop_assert!(shared || la.x + la.w.max(1) > lb.x || a.rect.right() <= b.rect.x, "who is left of whom");
                }
            }
        }
    }

    fn meet(a: Logical, b: Logical) -> bool {
        let apart = |s: i32, l: i32, t: i32, m: i32| s + l.max(1) <= t || t + m.max(1) <= s;
        !apart(a.x, a.w, b.x, b.w) && !apart(a.y, a.h, b.y, b.h)
    }
}
