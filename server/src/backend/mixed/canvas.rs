//! Several layouts joined to one: where each part lies, and the ids and names its outputs have there.
//!
//! Pure: layouts in, a layout out. The ids of one part lie in a range of its own and stay for as long as the part lives; a name
//! that a part before has taken gets `@2` after it, and keeps it while its output is there.

use std::collections::BTreeMap;

use farpane_engine::geometry::{Point, Rect, Size};

use crate::backend::{Arrange, Layout, LayoutOutput, OutputId, ResizeAnswer};

/// How many bits of an id are the part's own: the number of the part lies above, and there are 16 of them at most.
const OWN_BITS: u32 = 28;
/// Ids that one part may use up.
const MOST_IDS: usize = 1 << OWN_BITS;

/// One of the desktops.
#[derive(Clone, Debug, Default)]
struct Part {
    /// Its outputs, by its own ids and on its own canvas.
    layout: Layout,
    /// Its own ids by the lower bits of those on the canvas.
    ids: Vec<OutputId>,
}

impl Part {
    /// What it takes of the canvas.
    fn size(&self) -> Size {
        if self.layout.outputs.is_empty() { Size::default() } else { self.layout.size }
    }
}

/// All parts as one desktop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// The canvas and what lies on it.
    pub layout: Layout,
    /// Where each part lies; empty where it does not.
    pub places: Vec<Rect>,
    /// Parts that did not fit.
    pub left_out: Vec<usize>,
}

/// Parts and their places.
#[derive(Clone, Debug)]
pub struct Canvas {
    arrange: Arrange,
    parts: Vec<Part>,
    /// By the id on the canvas: the name in its part, and the one on the canvas.
    names: BTreeMap<OutputId, (String, String)>,
}

/// Lays out parts of these sizes. Empty where a part has no size or would reach beyond what a canvas can be; the ones after it
/// then lie in its place.
pub fn places(arrange: Arrange, sizes: &[Size]) -> Vec<Rect> {
    let mut next = Point::default();
    let mut place = |size: &Size| {
        let (Some(right), Some(bottom)) = (next.x.checked_add(size.w), next.y.checked_add(size.h)) else {
            return Rect::default();
        };
        let place = Rect::from_corners(next.x, next.y, right, bottom);
        if place.is_empty() {
            return Rect::default();
        }
        match arrange {
            Arrange::Right => next.x = right,
            Arrange::Down => next.y = bottom,
        }
        place
    };
    sizes.iter().map(&mut place).collect()
}

/// What holds all of these.
fn bounds<'a>(rects: impl IntoIterator<Item = &'a Rect>) -> Size {
    let size = rects.into_iter().fold(Rect::default(), |all, rect| all.bounds_with(rect));
    Size::new(size.right(), size.bottom())
}

fn moved(rect: &Rect, to: Point) -> Rect {
    rect.translate(i32::from(to.x), i32::from(to.y))
}

impl Canvas {
    /// So many parts of which nothing is known yet.
    pub fn new(arrange: Arrange, parts: usize) -> Self {
        Self { arrange, parts: vec![Part::default(); parts], names: BTreeMap::new() }
    }

    /// The id on the canvas of a part's output; none when the part has used up its range.
    pub fn id(&mut self, part: usize, own: OutputId) -> Option<OutputId> {
        let high = u32::try_from(part).ok()?.checked_shl(OWN_BITS)?;
        let ids = &mut self.parts.get_mut(part)?.ids;
        let low = ids.iter().position(|id| *id == own).unwrap_or(ids.len());
        if low == MOST_IDS {
            return None;
        }
        if low == ids.len() {
            ids.push(own);
        }
        Some(OutputId(high | u32::try_from(low).ok()?))
    }

    /// The part that an id on the canvas belongs to, and its own id there.
    fn own(&self, id: OutputId) -> Option<(usize, OutputId)> {
        let part = usize::try_from(id.0 >> OWN_BITS).ok()?;
        let low = usize::try_from(id.0).ok()? & (MOST_IDS - 1);
        Some((part, *self.parts.get(part)?.ids.get(low)?))
    }

    /// A part has another layout. What would reach beyond its canvas, onto its neighbour's, is cut off.
    pub fn set(&mut self, part: usize, mut layout: Layout) {
        let canvas = layout.size.rect();
        layout.outputs.iter_mut().for_each(|output| output.rect = output.rect.intersect(&canvas));
        layout.outputs.retain(|output| !output.rect.is_empty());
        if let Some(part) = self.parts.get_mut(part) {
            part.layout = layout;
        }
    }

    /// All of them as they are now.
    pub fn join(&mut self) -> Joined {
        let sizes: Vec<Size> = self.parts.iter().map(Part::size).collect();
        let places = places(self.arrange, &sizes);
        let all: Vec<(usize, LayoutOutput)> = self
            .parts
            .iter()
            .enumerate()
            .flat_map(|(n, p)| p.layout.outputs.iter().map(move |o| (n, o.clone())))
            .collect();
        let mut outputs: Vec<LayoutOutput> = Vec::new();
        for (part, own) in all {
            let Some(place) = places.get(part).filter(|place| !place.is_empty()) else { continue };
            if let Some(id) = self.id(part, own.id) {
                outputs.push(LayoutOutput { id, name: own.name, rect: moved(&own.rect, place.origin()) });
            }
        }
        self.name(&mut outputs);
        let left_out = sizes.iter().zip(&places).enumerate();
        let left_out = left_out.filter(|(_, (size, place))| !size.rect().is_empty() && place.is_empty());
        let left_out = left_out.map(|(part, _)| part).collect();
        Joined { layout: Layout { size: bounds(&places), outputs }, places, left_out }
    }

    /// Gives outputs that have their part's name one of their own.
    fn name(&mut self, outputs: &mut [LayoutOutput]) {
        // what is there keeps its name
        self.names.retain(|id, (own, _)| outputs.iter().any(|o| o.id == *id && o.name == *own));
        for output in outputs {
            if !self.names.contains_key(&output.id) {
                let taken = |name: &String| self.names.values().any(|(_, used)| used == name);
                let more = (2_u32..).map(|n| format!("{}@{n}", output.name));
                let free = std::iter::once(output.name.clone()).chain(more).find(|name| !taken(name));
                let free = free.unwrap_or_else(|| output.name.clone());
                self.names.insert(output.id, (output.name.clone(), free));
            }
            if let Some((_, name)) = self.names.get(&output.id) {
                output.name.clone_from(name);
            }
        }
    }

    /// Whose wish it is that a client has for the whole canvas: the one part whose outputs it changes, and its new layout there. None
    /// when all is as it is wished already.
    ///
    /// # Errors
    /// When it changes more than one part, or what belongs to none.
    pub fn wish(&self, wish: &Layout) -> Result<Option<(usize, Layout)>, ResizeAnswer> {
        let sizes: Vec<Size> = self.parts.iter().map(Part::size).collect();
        let now = places(self.arrange, &sizes);
        let mut wished: Vec<Vec<(OutputId, Rect)>> = vec![Vec::new(); self.parts.len()];
        for output in &wish.outputs {
            let known = self.own(output.id);
            let known = known.filter(|(part, id)| self.current(*part).any(|(there, _)| there == *id));
            let (part, id) = known.ok_or(ResizeAnswer::Prohibited)?;
            wished.get_mut(part).ok_or(ResizeAnswer::Prohibited)?.push((id, output.rect));
        }
        wished.iter_mut().for_each(|outputs| outputs.sort_by_key(|(id, _)| *id));
        let lies = |part: usize, places: &[Rect]| {
            let Some(place) = places.get(part) else { return false };
            let mut there: Vec<_> = self.current(part).map(|(id, rect)| (id, moved(&rect, place.origin()))).collect();
            there.sort_by_key(|(id, _)| *id);
            place.is_empty() || wished.get(part) == Some(&there)
        };
        if (0..self.parts.len()).all(|part| lies(part, &now)) {
            return if wish.size == bounds(&now) { Ok(None) } else { Err(ResizeAnswer::Prohibited) };
        }
        for (part, outputs) in wished.iter().enumerate().filter(|(part, _)| !lies(*part, &now)) {
            let Some(layout) = self.own_layout(part, outputs, now.get(part)) else { continue };
            let resized = |(n, size): (usize, &Size)| if n == part { layout.size } else { *size };
            let after = places(self.arrange, &sizes.iter().enumerate().map(resized).collect::<Vec<_>>());
            // the others stay, or make room
            if (0..self.parts.len()).any(|other| other != part && !lies(other, &now) && !lies(other, &after)) {
                continue;
            }
            let fits = now.iter().zip(&after).all(|(now, after)| now.is_empty() || !after.is_empty());
            return if fits { Ok(Some((part, layout))) } else { Err(ResizeAnswer::OutOfResources) };
        }
        Err(ResizeAnswer::Prohibited)
    }

    /// A part's outputs, by its own ids and on its own canvas.
    fn current(&self, part: usize) -> impl Iterator<Item = (OutputId, Rect)> + '_ {
        let outputs = self.parts.get(part).map(|part| part.layout.outputs.iter());
        outputs.into_iter().flatten().map(|output| (output.id, output.rect))
    }

    /// Outputs wished on the whole canvas as a layout of the one part that they belong to; none when they do not lie in it.
    fn own_layout(&self, part: usize, outputs: &[(OutputId, Rect)], place: Option<&Rect>) -> Option<Layout> {
        let (names, place) = (&self.parts.get(part)?.layout.outputs, place?);
        let own = |(id, rect): &(OutputId, Rect)| {
            let (x, y) = (rect.x.checked_sub(place.x)?, rect.y.checked_sub(place.y)?);
            let name = names.iter().find(|o| o.id == *id)?.name.clone();
            Some(LayoutOutput { id: *id, name, rect: Rect::new(x, y, rect.w, rect.h) })
        };
        let outputs = outputs.iter().map(own).collect::<Option<Vec<_>>>().filter(|all| !all.is_empty())?;
        let size = bounds(outputs.iter().map(|o| &o.rect));
        Some(Layout { size, outputs })
    }
}

#[cfg(test)]
#[path = "canvas_tests.rs"]
mod tests;
