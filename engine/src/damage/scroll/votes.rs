//! Votes for displacements: two samplings whose cost is a small part of a comparison.
//!
//! - Strips: up to 16 columns of one pixel run each; a run found in just one other row of its strip votes for that
//!   vertical distance, however large.
//! - Rows: the two richest of eight rows; runs chosen by their own hash, looked for in the old rows up to `REACH` above
//!   and below, vote for any horizontal distance. Skipped when the strips agree already.

use crate::damage::MirrorData;
use crate::geometry::Rect;
use crate::kernel::scroll_vote::{WINDOW, window_hashes};
use crate::tile::{CELL, CellMap};

/// Widest run of a strip, in pixels.
const RUN: usize = 64;

/// Rows above and below in which a moved row is looked for.
const REACH: i32 = 48;

/// Displacements handed to the exact comparison at most, from each sampling.
const BEST: usize = 3;

/// Votes a displacement needs.
const ENOUGH: u32 = 6;

/// From this many votes for one distance on the strips are believed alone.
const PLENTY: u32 = 64;

/// Displacements counted beside each other in the rows' vote.
const TALLY: usize = 128;

/// An entry of the table of runs.
#[derive(Clone, Copy, Default)]
struct Seen {
    hash: u32,
    place: u16,
    times: u16,
}

/// Buffers of the vote.
#[derive(Default)]
pub(super) struct Votes {
    table: Vec<Seen>,
    hashes: Vec<u32>,
    vertical: Vec<u32>,
    tally: Vec<((i32, i32), u32)>,
    best: Vec<(i32, i32)>,
}

impl Votes {
    /// The displacements with most votes, best first; never (0, 0).
    pub(super) fn count(&mut self, old: &[u32], data: &MirrorData, map: &CellMap, bounds: &Rect) -> &[(i32, i32)] {
        self.best.clear();
        if usize::from(bounds.w) >= WINDOW {
            let most = self.strips(old, data, map, bounds);
            if most < PLENTY {
                self.rows(old, data, bounds);
            }
        }
        &self.best
    }

    /// Votes for vertical distances; returns the most that one got.
    fn strips(&mut self, old: &[u32], data: &MirrorData, map: &CellMap, bounds: &Rect) -> u32 {
        let width = usize::from(data.size().w);
        let height = usize::from(bounds.h);
        self.vertical.clear();
        self.vertical.resize(2 * height + 1, 0);
        let step = (bounds.w / 16).clamp(WINDOW as u16, 256);
        // Runs as wide as the strips, within reason: text repeats itself in narrow ones.
        let run = usize::from(step).min(RUN);
        let mut x = bounds.x + (step - run as u16) / 2;
        while usize::from(x) + run <= bounds.right().into() {
            self.clear_table(height);
            for side in [old, &data.pixels] {
                // every old row has to be known, of the new ones some are enough
                let every = if std::ptr::eq(side, old) { 1 } else { usize::from(bounds.h / 512 + 1) };
                for y in (bounds.y..bounds.bottom()).step_by(every) {
                    if !map.contains(x / CELL, y / CELL) {
                        continue;
                    }
                    let at = usize::from(y) * width + usize::from(x);
                    let hash = run_hash(&side[at..at + run]);
                    if hash == 0 {
                        continue;
                    }
                    if std::ptr::eq(side, old) {
                        self.remember(hash, y);
                    } else if let Some(from) = self.once(hash) {
                        let index = height + usize::from(y) - usize::from(from);
                        self.vertical[index] += 1;
                    }
                }
            }
            let Some(next) = x.checked_add(step) else { break };
            x = next;
        }
        self.vertical[height] = 0;
        let mut most = 0;
        for _ in 0..BEST {
            let Some((i, &votes)) = self.vertical.iter().enumerate().max_by_key(|(_, v)| **v) else { break };
            if votes < ENOUGH {
                break;
            }
            most = most.max(votes);
            self.vertical[i] = 0;
            self.best.push((0, i as i32 - height as i32));
        }
        most
    }

    /// Votes for displacements in both directions.
    fn rows(&mut self, old: &[u32], data: &MirrorData, bounds: &Rect) {
        let size = data.size();
        let sample = |i: u16| bounds.y + (u32::from(bounds.h) * (2 * u32::from(i) + 1) / 16) as u16;
        let mut richest = [(0, 0); 8];
        for (i, rich) in richest.iter_mut().enumerate() {
            let y = sample(i as u16);
            window_hashes(data.row(bounds, y), &mut self.hashes);
            *rich = (self.hashes.iter().filter(|h| chosen(**h)).count(), y);
        }
        richest.sort_unstable();
        self.tally.clear();
        for &(anchors, y) in richest.iter().rev().take(2).filter(|(anchors, _)| *anchors > 0) {
            self.clear_table(anchors);
            window_hashes(data.row(bounds, y), &mut self.hashes);
            let hashes = std::mem::take(&mut self.hashes);
            for (i, &hash) in hashes.iter().enumerate().filter(|(_, h)| chosen(**h)) {
                self.remember(hash, i as u16);
            }
            self.hashes = hashes;
            for dy in -REACH..=REACH {
                let from = i32::from(y) - dy;
                if from < 0 || from >= size.h.into() {
                    continue;
                }
                let at = from as usize * usize::from(size.w) + usize::from(bounds.x);
                window_hashes(&old[at..at + usize::from(bounds.w)], &mut self.hashes);
                let hashes = std::mem::take(&mut self.hashes);
                for (i, &hash) in hashes.iter().enumerate().filter(|(_, h)| chosen(**h)) {
                    if let Some(to) = self.once(hash) {
                        self.tally((i32::from(to) - i as i32, dy));
                    }
                }
                self.hashes = hashes;
            }
        }
        self.tally.sort_unstable_by_key(|(_, votes)| std::cmp::Reverse(*votes));
        let voted = self.tally.iter().filter(|(moved, votes)| *votes >= ENOUGH && *moved != (0, 0));
        for (moved, _) in voted.take(BEST) {
            if !self.best.contains(moved) {
                self.best.push(*moved);
            }
        }
    }

    fn tally(&mut self, moved: (i32, i32)) {
        if let Some((_, votes)) = self.tally.iter_mut().find(|(m, _)| *m == moved) {
            *votes += 1;
        } else if self.tally.len() < TALLY {
            self.tally.push((moved, 1));
        }
    }

    fn clear_table(&mut self, entries: usize) {
        self.table.clear();
        self.table.resize((entries * 2 + 2).next_power_of_two(), Seen::default());
    }

    /// Where the hash is in the table, or the free entry for it.
    fn slot(&self, hash: u32) -> usize {
        let mask = self.table.len() - 1;
        let mut i = (hash.wrapping_mul(0x9e37_79b1) >> 8) as usize & mask;
        while self.table[i].times != 0 && self.table[i].hash != hash {
            i = (i + 1) & mask;
        }
        i
    }

    fn remember(&mut self, hash: u32, place: u16) {
        let slot = self.slot(hash);
        let seen = &mut self.table[slot];
        *seen = Seen { hash, place, times: seen.times.saturating_add(1) };
    }

    /// The place of a run that was seen just once.
    fn once(&self, hash: u32) -> Option<u16> {
        let seen = self.table[self.slot(hash)];
        (seen.times == 1).then_some(seen.place)
    }
}

/// Whether a run takes part in the rows' vote: about one in sixteen, the same ones wherever they are.
fn chosen(hash: u32) -> bool {
    hash != 0 && hash >> 28 == 0
}

/// One hash of a whole run; 0 when it is flat.
fn run_hash(run: &[u32]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    if run.windows(2).all(|p| p[0] == p[1]) {
        return 0;
    }
    let mix = |h: u64, v: u64| (h ^ v).wrapping_mul(FACTOR).rotate_left(29);
    let (mut a, mut b) = (1u64, 2u64);
    let mut quads = run.chunks_exact(4);
    for q in &mut quads {
        a = mix(a, u64::from(q[0]) | u64::from(q[1]) << 32);
        b = mix(b, u64::from(q[2]) | u64::from(q[3]) << 32);
    }
    for &v in quads.remainder() {
        a = mix(a, u64::from(v));
    }
    (mix(a, b) >> 32) as u32 | 1
}
