//! Looks at one CRTC: which buffers it shows now, and whether they are others than before.

use std::io;

use super::buffers::Buffers;
use super::card::{Card, Plane, PlaneKind, PlaneState};
use super::picture::{Area, Buffer, BufferId, Layer, Picture, Pointer};
use super::turn::{canonical, swaps, upright};
use crate::geometry::{Rect, Size};

/// A number that has been the same for so many looks is looked behind all the same.
const TRUSTED: u32 = 60;

/// What a look has found.
#[derive(Debug, Default)]
pub struct Look {
    /// Buffers that are shown for the first time.
    pub fresh: Vec<(BufferId, Buffer)>,
    /// Buffers that will not be shown again under these numbers.
    pub forgotten: Vec<BufferId>,
    /// Another picture than before.
    pub picture: Option<Picture>,
    /// Another pointer than before, or another place; none in it while it is hidden.
    pub pointer: Option<Option<Pointer>>,
}

impl Look {
    /// Whether there is nothing new.
    pub fn is_empty(&self) -> bool {
        self.picture.is_none() && self.pointer.is_none()
    }
}

/// A plane as it was looked at, and the buffer it had.
struct Seen {
    state: PlaneState,
    buffer: BufferId,
    looks: u32,
}

/// Looks at a CRTC again and again.
pub struct Watch {
    crtc: u32,
    planes: Vec<(Plane, Option<Seen>)>,
    buffers: Buffers,
    told: Option<(Picture, Option<Pointer>)>,
    /// Shapes that the pointer has had.
    shapes: u32,
    /// Whether looks come at each vertical blank: then a number that is the same is the same buffer.
    steady: bool,
}

impl Watch {
    /// Looks at the CRTC of this index.
    ///
    /// # Errors
    /// When the card is gone, or has fewer of them.
    pub fn new(card: &dyn Card, index: u32) -> io::Result<Self> {
        let crtc = card.crtcs()?.get(index as usize).copied().ok_or(io::ErrorKind::NotFound)?;
        let planes = card.planes()?.into_iter().filter(|plane| plane.crtcs >> index & 1 != 0);
        let planes = planes.map(|plane| (plane, None)).collect();
        Ok(Self { crtc, planes, buffers: Buffers::default(), told: None, shapes: 0, steady: false })
    }

    /// Looks now. `missed` says that a vertical blank may have gone by without a look.
    ///
    /// # Errors
    /// When the card is gone, or what is shown cannot be had; what was found before stays known.
    pub fn look(&mut self, card: &dyn Card, missed: bool) -> io::Result<Look> {
        self.steady = !missed;
        let mut look = Look::default();
        let (mut primary, mut overlays, mut cursor) = (None, Vec::new(), None);
        let mut flipped = false;
        for i in 0..self.planes.len() {
            let Some((state, buffer, other)) = self.plane(card, i, &mut look)? else { continue };
            match self.planes[i].0.kind {
                PlaneKind::Primary => {
                    primary = Some((state, buffer));
                    flipped |= other;
                }
                PlaneKind::Overlay => {
                    overlays.push((state, buffer));
                    flipped |= other;
                }
                PlaneKind::Cursor => {
                    self.shapes = self.shapes.wrapping_add(other.into());
                    cursor = Some((state, buffer));
                }
            }
        }
        let dark = primary.is_none() || !card.crtc(self.crtc)?.active;
        let (picture, pointer) = match primary {
            Some((state, buffer)) if !dark => {
                let base = Base::new(&state);
                overlays.sort_by_key(|(state, _)| state.zpos);
                let mut layers = vec![base.layer(&state, buffer)];
                layers.extend(overlays.iter().map(|(state, buffer)| base.layer(state, *buffer)));
                let damage = damage(card, &state).filter(|_| flipped && self.steady);
                let pointer = cursor.map(|(state, buffer)| base.pointer(&state, buffer, self.shapes));
                (Picture { size: base.size, layers, damage }, pointer)
            }
            _ => (Picture { size: self.dark_size(card)?, ..Picture::default() }, None),
        };
        let same = |(told, _): &(Picture, _)| !flipped && (told.size, &told.layers) == (picture.size, &picture.layers);
        if !self.told.as_ref().is_some_and(same) {
            look.picture = Some(picture.clone());
        }
        if self.told.as_ref().is_none_or(|(_, told)| *told != pointer) {
            look.pointer = Some(pointer);
        }
        self.told = Some((picture, pointer));
        Ok(look)
    }

    /// A plane that shows something on this CRTC: its state, its buffer, and whether that is another than before.
    fn plane(
        &mut self,
        card: &dyn Card,
        i: usize,
        look: &mut Look,
    ) -> io::Result<Option<(PlaneState, BufferId, bool)>> {
        let (plane, seen) = &mut self.planes[i];
        let state = card.plane(plane.id)?;
        if state.crtc != self.crtc || state.framebuffer == 0 {
            *seen = None;
            return Ok(None);
        }
        if let Some(seen) = seen
            && self.steady
            && seen.state.framebuffer == state.framebuffer
            && seen.looks < TRUSTED
        {
            seen.looks += 1;
            // moved or cut elsewhere
            seen.state = state;
            return Ok(Some((state, seen.buffer, false)));
        }
        let found = self.buffers.find(card, state.framebuffer)?;
        look.fresh.extend(found.fresh.map(|fresh| (found.id, fresh)));
        look.forgotten.extend(found.forgotten);
        let other =
            seen.as_ref().is_none_or(|seen| seen.buffer != found.id || seen.state.framebuffer != state.framebuffer);
        *seen = Some(Seen { state, buffer: found.id, looks: 0 });
        Ok(Some((state, found.id, other)))
    }

    /// The size of a picture that is dark: as it was, or as the mode has it.
    fn dark_size(&self, card: &dyn Card) -> io::Result<Size> {
        match &self.told {
            Some((told, _)) => Ok(told.size),
            None => Ok(card.crtc(self.crtc)?.mode.map_or(Size::default(), |(w, h, _)| Size::new(w, h))),
        }
    }
}

/// The picture that a primary plane shows, and how the screen shows that.
struct Base {
    size: Size,
    rotation: u32,
    at: [i32; 2],
    /// Pixels of the CRTC that it covers.
    covers: [u32; 2],
}

/// Whole pixels of a length in 1/65536 pixels.
fn pixels(fixed: u32) -> u16 {
    (fixed >> 16) as u16
}

fn source(state: &PlaneState) -> Rect {
    let [x, y, w, h] = state.source.map(pixels);
    Rect { x, y, w, h }
}

impl Base {
    fn new(primary: &PlaneState) -> Self {
        let shown = source(primary);
        Self { size: shown.size(), rotation: canonical(primary.rotation), at: primary.at, covers: primary.size }
    }

    /// Where something on the CRTC lies on the picture.
    fn place(&self, at: [i32; 2], size: [u32; 2]) -> Area {
        let area = Area { x: at[0] - self.at[0], y: at[1] - self.at[1], w: size[0], h: size[1] };
        let [across, down] = if swaps(self.rotation) { [self.covers[1], self.covers[0]] } else { self.covers };
        let area = upright(area, across as i32, down as i32, self.rotation);
        let scale = |v: i64, to: u16, from: u32| if from == 0 { v } else { v * i64::from(to) / i64::from(from) };
        let (w, h) = (self.size.w, self.size.h);
        Area {
            x: scale(area.x.into(), w, across) as i32,
            y: scale(area.y.into(), h, down) as i32,
            w: scale(area.w.into(), w, across) as u32,
            h: scale(area.h.into(), h, down) as u32,
        }
    }

    fn layer(&self, state: &PlaneState, buffer: BufferId) -> Layer {
        let to = self.place(state.at, state.size);
        Layer { buffer, source: source(state), to, alpha: state.alpha, blend: state.blend }
    }

    fn pointer(&self, state: &PlaneState, buffer: BufferId, serial: u32) -> Pointer {
        // a plane that is turned as the picture is shows its shape upright there; one that is not was drawn turned
        let turned = if canonical(state.rotation) == self.rotation { canonical(0) } else { self.rotation };
        Pointer { layer: self.layer(state, buffer), hotspot: state.hotspot, turned, serial }
    }
}

/// What the desktop says has changed with a framebuffer.
fn damage(card: &dyn Card, state: &PlaneState) -> Option<Vec<Rect>> {
    if state.damage == 0 {
        return None;
    }
    let shown = source(state);
    let rects = card.damage(state.damage).ok()?;
    let side = |v: i32, least: u16, most: u16| v.clamp(least.into(), most.into()) as u16;
    let inside = rects.into_iter().map(|[left, top, right, bottom]| {
        let (x0, x1) = (side(left, shown.x, shown.right()), side(right, shown.x, shown.right()));
        let (y0, y1) = (side(top, shown.y, shown.bottom()), side(bottom, shown.y, shown.bottom()));
        Rect::from_corners(x0 - shown.x, y0 - shown.y, x1.max(x0) - shown.x, y1.max(y0) - shown.y)
    });
    Some(inside.collect())
}
