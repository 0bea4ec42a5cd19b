//! Where an output's picture moves like a film: from the history of its cells, with hysteresis. Pure, time is an argument.

mod group;

use std::time::{Duration, Instant};

use group::Group;

use crate::damage::MirrorData;
use crate::encode::{Content, content_of};
use crate::geometry::{Rect, Region};
use crate::tile::{CELL, Grid};

/// History is kept in slots of this length, 16 of them.
const SLOT: Duration = Duration::from_micros(62_500);

/// A cell moves when it changed in so many slots of the last 8 or 16, and in so many of ten slots that had a frame.
const MOVES: u32 = 4;
const OF_TEN: u32 = 6;

/// What is smaller is no film: a spinner, a caret.
const MIN_SIDE: u16 = 128;
const MIN_AREA: u64 = 160 * 120;

/// Of four parts of a box so many must move.
const FILLED_OF_FOUR: u64 = 2;

/// Regions at a time; the largest are kept.
const MOST_REGIONS: usize = 6;

/// Slots that a box must stand before it is a region.
const STANDS: u64 = 2;
/// Slots after which a region grows, shrinks, and ends.
const GROWS: u64 = 4;
/// Where less than half is left, and where less than four fifths.
const SHRINKS: [u64; 2] = [16, 64];
const ENDS: u64 = 8;
/// Slots after which a region is cut to what moves, by less than a cell on each side: what happened before may have been wider. Twice as
/// many each time that it grew again, up to the other.
const TIGHTENS: u64 = 20;
const MOST_TIGHTENS: u64 = 640;

/// How often text is looked for, in a region and in a cell that moves, in slots.
const LOOKS: u64 = 8;

/// Two boxes are the same when no side differs by more.
const SAME: u16 = 24;

/// What a film looks like, in hundredths of its area: at least so much photograph, at most so much text.
struct Looks {
    photo: u64,
    text: u64,
}

const BEGINS: Looks = Looks { photo: 33, text: 25 };
/// A film has scenes of a single colour, and titles.
const STAYS: Looks = Looks { photo: 0, text: 50 };

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    /// A bit for each slot, the newest lowest: something changed.
    hits: u16,
    /// The slot of the lowest bit.
    slot: u64,
    /// Boxes of what changed in this and the last half of the history.
    extents: [Rect; 2],
    half: u64,
    /// Whether what changes in it could be of a film when it was looked at, in this slot.
    filmic: Option<(bool, u64)>,
}

impl Cell {
    fn age(&mut self, slot: u64) {
        self.hits = shifted(self.hits, slot - self.slot);
        self.slot = slot;
        let half = slot / 8;
        if half != self.half {
            let last = if half == self.half + 1 { self.extents[0] } else { Rect::default() };
            self.extents = [Rect::default(), last];
            self.half = half;
        }
    }

    fn extent(&self) -> Rect {
        self.extents[0].bounds_with(&self.extents[1])
    }
}

fn shifted(bits: u16, by: u64) -> u16 {
    if by < 16 { bits << by } else { 0 }
}

/// A part of the picture that moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::pipeline) struct Moving {
    /// Counts up: another rectangle is another region.
    pub id: u64,
    /// Its place on the output.
    pub rect: Rect,
    /// Text inside it: sent exactly, on top.
    pub exact: Region,
}

#[derive(Debug)]
struct Known {
    moving: Moving,
    /// The slot in which something moved in it last.
    moved: u64,
    /// Since when another box would fit better.
    grows: Option<u64>,
    shrinks: Option<u64>,
    /// Slots after which it is cut to what moves.
    tightens: u64,
    looked: u64,
}

/// Finds what moves on one output.
#[derive(Debug)]
pub(in crate::pipeline) struct Finder {
    grid: Grid,
    cells: Vec<Cell>,
    /// As [`Cell::hits`]: there was a frame that changed something.
    frames: u16,
    slot: u64,
    start: Instant,
    known: Vec<Known>,
    /// Boxes that move and the slot since which they stand.
    waiting: Vec<(Rect, u64)>,
    next_id: u64,
}

impl Finder {
    pub fn new(grid: Grid, now: Instant) -> Self {
        Self {
            grid,
            cells: vec![Cell::default(); grid.len()],
            frames: 0,
            slot: 0,
            start: now,
            known: Vec::new(),
            waiting: Vec::new(),
            next_id: 0,
        }
    }

    /// Takes in what changed, in boxes that lie in one cell each. Returns whether the regions should be looked for: once a slot.
    pub fn record(&mut self, changed: &[Rect], now: Instant) -> bool {
        let slot = (now.saturating_duration_since(self.start).as_micros() / SLOT.as_micros()) as u64;
        let later = slot > self.slot;
        if later {
            self.frames = shifted(self.frames, slot - self.slot);
            self.slot = slot;
        }
        self.frames |= 1;
        for part in changed {
            let at = self.grid.index(part.x / CELL, part.y / CELL);
            let Some(cell) = self.cells.get_mut(at) else { continue };
            cell.age(self.slot);
            cell.hits |= 1;
            cell.extents[0] = cell.extents[0].bounds_with(part);
        }
        later
    }

    /// Looks for what moves. Returns whether the regions are others than before.
    pub fn look(&mut self, mirror: &MirrorData) -> bool {
        let before: Vec<u64> = self.known.iter().map(|k| k.moving.id).collect();
        let boxes = self.boxes(mirror);
        let mut changed = false;
        let mut known = std::mem::take(&mut self.known);
        known.retain_mut(|k| self.follow(k, &boxes, mirror, &mut changed));
        self.known = known;
        let waiting = std::mem::take(&mut self.waiting);
        for rect in boxes {
            if self.known.iter().any(|k| k.moving.rect.overlaps(&rect)) {
                continue;
            }
            let since =
                waiting.iter().find(|(was, _)| is_within(was, &rect, SAME)).map_or(self.slot, |(_, since)| *since);
            let stands = self.slot - since >= STANDS && self.known.len() < MOST_REGIONS;
            match stands.then(|| text_in(mirror, &rect, &BEGINS)).flatten() {
                Some(exact) => {
                    self.known.push(Known {
                        moving: Moving { id: 0, rect, exact },
                        moved: self.slot,
                        grows: None,
                        shrinks: None,
                        tightens: TIGHTENS,
                        looked: self.slot,
                    });
                    self.next_id += 1;
                    if let Some(k) = self.known.last_mut() {
                        k.moving.id = self.next_id;
                    }
                }
                None => self.waiting.push((rect, since)),
            }
        }
        changed || before != self.known.iter().map(|k| k.moving.id).collect::<Vec<_>>()
    }

    /// What moves now.
    pub fn regions(&self) -> impl Iterator<Item = &Moving> {
        self.known.iter().map(|k| &k.moving)
    }

    /// Keeps a region up with what moves in its place; false when it has ended.
    fn follow(&mut self, k: &mut Known, boxes: &[Rect], mirror: &MirrorData, changed: &mut bool) -> bool {
        let here = boxes.iter().filter(|b| b.overlaps(&k.moving.rect));
        let whole = here.fold(Rect::default(), |all, b| all.bounds_with(b));
        if whole.is_empty() {
            return self.slot - k.moved < ENDS;
        }
        k.moved = self.slot;
        let rect = k.moving.rect;
        let beyond = !rect.contains(&whole);
        let shrinks = if whole.area() * 2 < rect.area() {
            Some(SHRINKS[0])
        } else if whole.area() * 5 < rect.area() * 4 {
            Some(SHRINKS[1])
        } else {
            (whole != rect && is_within(&rect, &whole, CELL)).then_some(k.tightens)
        };
        let within = !beyond && shrinks.is_some();
        k.grows = if beyond { k.grows.or(Some(self.slot)) } else { None };
        k.shrinks = if within { k.shrinks.or(Some(self.slot)) } else { None };
        let long = |since: Option<u64>, slots| since.is_some_and(|s| self.slot - s >= slots);
        if long(k.grows, GROWS) || shrinks.is_some_and(|slots| long(k.shrinks, slots)) {
            if beyond {
                k.tightens = (k.tightens * 2).min(MOST_TIGHTENS);
            }
            // a window that was moved leaves its old place; one that has dark edges keeps them
            let stays = rect.intersect(&whole).area() * 4 >= rect.area() * 3 && beyond;
            let rect = if stays { rect.bounds_with(&whole) } else { whole };
            let Some(exact) = text_in(mirror, &rect, &STAYS) else { return false };
            self.next_id += 1;
            k.moving = Moving { id: self.next_id, rect, exact };
            (k.grows, k.shrinks, k.looked) = (None, None, self.slot);
        } else if self.slot - k.looked >= LOOKS {
            k.looked = self.slot;
            let Some(exact) = text_in(mirror, &rect, &STAYS) else { return false };
            *changed |= exact != k.moving.exact;
            k.moving.exact = exact;
        }
        true
    }

    fn moves(&self, cell: &Cell) -> bool {
        let by = self.slot - cell.slot;
        let hits = shifted(cell.hits, by);
        [0xff, 0xffff].iter().any(|window| {
            let (hits, frames) = ((hits & window).count_ones(), (self.frames & window).count_ones());
            hits >= MOVES && hits * 10 >= frames * OF_TEN
        })
    }

    /// The boxes of groups of neighbours that move and are no text, as far as they are large and filled; none overlaps another.
    fn boxes(&mut self, mirror: &MirrorData) -> Vec<Rect> {
        let (cols, rows) = (self.grid.cols(), self.grid.rows());
        let mut moving: Vec<bool> = self.cells.iter().map(|c| self.moves(c)).collect();
        for (cell, moves) in self.cells.iter_mut().zip(&mut moving).filter(|(_, moves)| **moves) {
            let seen = cell.filmic.filter(|(_, at)| self.slot - at < LOOKS);
            let (filmic, at) = seen.unwrap_or_else(|| (is_filmic(mirror, &cell.extent()), self.slot));
            cell.filmic = Some((filmic, at));
            *moves = filmic;
        }
        let mut found: Vec<(Rect, u64)> = Vec::new();
        let mut group = Group::new(&self.grid);
        let mut stack = Vec::new();
        for row in 0..rows {
            for col in 0..cols {
                stack.push((col, row));
                while let Some((col, row)) = stack.pop() {
                    let at = self.grid.index(col, row);
                    if !std::mem::take(&mut moving[at]) {
                        continue;
                    }
                    group.add(col, row, &self.cells[at].extent());
                    for y in row.saturating_sub(1)..(row + 2).min(rows) {
                        stack.extend((col.saturating_sub(1)..(col + 2).min(cols)).map(|x| (x, y)));
                    }
                }
                found.extend(group.take());
            }
        }
        found.retain(|(b, filled)| {
            b.w.min(b.h) >= MIN_SIDE && b.area() >= MIN_AREA && filled * 4 >= b.area() * FILLED_OF_FOUR
        });
        found.sort_by_key(|(b, _)| std::cmp::Reverse(b.area()));
        let mut boxes: Vec<Rect> = Vec::new();
        for (b, _) in found {
            if !boxes.iter().any(|other| other.overlaps(&b)) {
                boxes.push(b);
            }
        }
        boxes
    }
}

/// Whether what changes in a cell can be of a film: plain areas are, from one side of the cell to the other, and carets are not.
fn is_filmic(mirror: &MirrorData, changes: &Rect) -> bool {
    match content_of(mirror, changes) {
        Some(Content::Photo) => true,
        Some(Content::Flat) => changes.w.max(changes.h) == CELL,
        Some(Content::Text) | None => false,
    }
}

/// Whether no side of one lies further than `most` from the same side of the other.
fn is_within(a: &Rect, b: &Rect, most: u16) -> bool {
    let near = |a: u16, b: u16| a.abs_diff(b) <= most;
    near(a.x, b.x) && near(a.y, b.y) && near(a.right(), b.right()) && near(a.bottom(), b.bottom())
}

/// The cells of `rect` that hold text, clipped to it; none where that is more than a film can have, or no film is seen.
fn text_in(mirror: &MirrorData, rect: &Rect, looks: &Looks) -> Option<Region> {
    let mut exact = Region::new();
    let (mut photo, mut text) = (0, 0);
    let (cols, rows) = mirror.grid.cells(rect);
    for row in rows {
        for col in cols.clone() {
            let part = mirror.grid.rect(col, row).intersect(rect);
            match content_of(mirror, &part)? {
                Content::Photo => photo += part.area(),
                Content::Text => {
                    text += part.area();
                    exact.add(&part);
                }
                Content::Flat => {}
            }
        }
    }
    let share = |area: u64| area * 100 / rect.area().max(1);
    (share(photo) >= looks.photo && share(text) <= looks.text).then_some(exact)
}

#[cfg(test)]
mod tests;
