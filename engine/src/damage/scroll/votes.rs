//! Votes for displacements: two samplings whose cost is a small part of a comparison, each on all cores.
//!
//! - Strips: 8 or, where these leave doubts, 16 columns of one pixel run each; a run found in just one other row of its strip votes for that
//!   vertical distance, however large.
//! - Rows: the richest of some rows in the upper, middle and lower part; runs of what changed, chosen by their own hash, looked
//!   for in the old rows up to `REACH` above and below, vote for any horizontal distance.

use rayon::prelude::*;

use super::scene::Scene;
use crate::damage::compare::PARALLEL_PX;
use crate::geometry::Rect;
use crate::kernel::CpuLevel;
use crate::kernel::scroll_vote::{WINDOW, window_hashes};

/// Widest run of a strip, in pixels.
const RUN: usize = 64;

/// Rows above and below in which a moved row is looked for.
const REACH: i32 = 64;

/// Parts of the height of which one row each is looked for, and rows looked at to find it.
const PARTS: usize = 3;
const PROBES: usize = 4;

/// From this many votes for one distance on half of the strips are enough.
const PLENTY: u32 = 64;

/// Displacements handed to the exact comparison at most, from each sampling.
const BEST: usize = 3;

/// Votes a displacement needs.
const ENOUGH: u32 = 6;

/// And at least one part in this many of the votes of the best.
const SHARE: u32 = 16;

/// Horizontal distances counted beside each other for one vertical one.
const TALLY: usize = 128;

/// Tasks that a sampling is dealt to.
const WORKERS: usize = 4;

/// An entry of the table of runs.
#[derive(Clone, Copy, Default)]
struct Seen {
    hash: u32,
    place: u16,
    times: u16,
}

/// Where runs were seen, by hash.
#[derive(Default)]
struct Table(Vec<Seen>);

impl Table {
    fn clear(&mut self, entries: usize) {
        self.0.clear();
        self.0.resize((entries * 2 + 2).next_power_of_two(), Seen::default());
    }

    /// Where the hash is in the table, or the free entry for it.
    fn slot(&self, hash: u32) -> usize {
        let mask = self.0.len() - 1;
        let mut i = (hash.wrapping_mul(0x9e37_79b1) >> 8) as usize & mask;
        while self.0[i].times != 0 && self.0[i].hash != hash {
            i = (i + 1) & mask;
        }
        i
    }

    fn remember(&mut self, hash: u32, place: u16) {
        let slot = self.slot(hash);
        let seen = &mut self.0[slot];
        *seen = Seen { hash, place, times: seen.times.saturating_add(1) };
    }

    /// The place of a run that was seen just once.
    fn once(&self, hash: u32) -> Option<u16> {
        let seen = self.0[self.slot(hash)];
        (seen.times == 1).then_some(seen.place)
    }
}

/// Buffers of one task.
#[derive(Default)]
struct Worker {
    table: Table,
    pixels: Vec<u32>,
    hashes: Vec<u32>,
    vertical: Vec<u32>,
    /// Horizontal distances and their votes, for the vertical one at hand.
    tally: Vec<(i32, u32)>,
    /// Displacements with votes enough.
    voted: Vec<((i32, i32), u32)>,
}

/// Buffers of the vote.
#[derive(Default)]
pub(super) struct Votes {
    workers: [Worker; WORKERS],
    tables: [Table; PARTS],
    best: Vec<(i32, i32)>,
}

/// Lets every worker do its part, on several cores when the area is large.
fn each(workers: &mut [Worker], bounds: &Rect, work: impl Fn((usize, &mut Worker)) + Sync + Send) {
    if bounds.area() >= PARALLEL_PX {
        workers.par_iter_mut().enumerate().for_each(work);
    } else {
        workers.iter_mut().enumerate().for_each(work);
    }
}

impl Votes {
    /// The vertical distances with most votes, best first.
    pub(super) fn strips(&mut self, scene: &Scene<'_>, bounds: &Rect) -> &[(i32, i32)] {
        self.best.clear();
        if usize::from(bounds.w) < WINDOW {
            return &self.best;
        }
        let height = usize::from(bounds.h);
        let step = usize::from(bounds.w / 16).clamp(WINDOW, 256);
        // Runs as wide as the strips, within reason: text repeats itself in narrow ones.
        let run = step.min(RUN);
        let first = usize::from(bounds.x) + (step - run) / 2;
        let strips = || (first..).step_by(step).take_while(|x| x + run <= bounds.right().into());
        self.workers.iter_mut().for_each(|worker| {
            worker.vertical.clear();
            worker.vertical.resize(2 * height + 1, 0);
        });
        // every other strip first: pictures without any run that was there before are not looked at more closely
        for half in 0..2 {
            each(&mut self.workers, bounds, |(i, worker)| {
                strips()
                    .skip(half)
                    .step_by(2)
                    .skip(i)
                    .step_by(WORKERS)
                    .for_each(|x| worker.strip(scene, bounds, x, run));
            });
            let [all, others @ ..] = &mut self.workers;
            for other in others {
                all.vertical.iter_mut().zip(&mut other.vertical).for_each(|(sum, votes)| *sum += std::mem::take(votes));
            }
            all.vertical[height] = 0;
            let most = all.vertical.iter().max().copied().unwrap_or(0);
            if most == 0 || most >= PLENTY {
                break;
            }
        }
        let all = &mut self.workers[0];
        let mut least = ENOUGH;
        for _ in 0..BEST {
            let Some((i, &votes)) = all.vertical.iter().enumerate().max_by_key(|(_, v)| **v) else { break };
            if votes < least {
                break;
            }
            least = least.max(votes / SHARE);
            all.vertical[i] = 0;
            self.best.push((0, i as i32 - height as i32));
        }
        &self.best
    }

    /// The displacements in both directions with most votes, best first; never (0, 0).
    pub(super) fn rows(&mut self, scene: &Scene<'_>, bounds: &Rect) -> &[(i32, i32)] {
        self.best.clear();
        if usize::from(bounds.w) < WINDOW {
            return &self.best;
        }
        let anchors: [_; PARTS] = std::array::from_fn(|part| self.anchors(scene, bounds, part));
        let tables = &self.tables;
        each(&mut self.workers, bounds, |(i, worker)| {
            worker.voted.clear();
            for dy in (-REACH..=REACH).skip(i).step_by(WORKERS) {
                worker.tally.clear();
                for (y, table) in anchors.iter().zip(tables) {
                    let from = y.map(|y| i32::from(y) - dy).filter(|y| (0..scene.picture().h.into()).contains(y));
                    if let Some(from) = from {
                        worker.row(scene, bounds, table, from as usize);
                    }
                }
                let enough = worker.tally.iter().filter(|(dx, votes)| *votes >= ENOUGH && (*dx, dy) != (0, 0));
                worker.voted.extend(enough.map(|&(dx, votes)| ((dx, dy), votes)));
            }
        });
        let [all, others @ ..] = &mut self.workers;
        others.iter().for_each(|other| all.voted.extend(&other.voted));
        all.voted.sort_unstable_by_key(|(moved, votes)| (std::cmp::Reverse(*votes), *moved));
        let least = all.voted.first().map_or(0, |(_, votes)| votes / SHARE);
        let voted = all.voted.iter().take_while(|(_, votes)| *votes >= least);
        self.best.extend(voted.take(BEST).map(|(moved, _)| moved));
        &self.best
    }

    /// Puts the chosen runs of the richest probed row of a part into its table; returns that row.
    fn anchors(&mut self, scene: &Scene<'_>, bounds: &Rect, part: usize) -> Option<u16> {
        let Worker { pixels, hashes, .. } = &mut self.workers[0];
        pixels.resize(bounds.w.into(), 0);
        let left = usize::from(bounds.x);
        let mut chosen = |y: u16, each: &mut dyn FnMut(u32, usize)| {
            scene.new.read(y.into(), left, pixels);
            window_hashes(CpuLevel::current(), pixels, hashes);
            let old = scene.old(y.into(), left, bounds.w.into());
            for (i, &hash) in hashes.iter().enumerate().filter(|(_, h)| is_chosen(**h)) {
                // the ground beside a window would vote that it stayed where it is
                if pixels[i..i + WINDOW] != old[i..i + WINDOW] {
                    each(hash, i);
                }
            }
        };
        let (mut most, mut richest) = (0, None);
        for probe in 0..PROBES {
            let of = (2 * PARTS * PROBES) as u32;
            let y = bounds.y + (u32::from(bounds.h) * (2 * (part * PROBES + probe) as u32 + 1) / of) as u16;
            let mut count = 0;
            chosen(y, &mut |_, _| count += 1);
            if count > most {
                (most, richest) = (count, Some(y));
            }
        }
        let table = &mut self.tables[part];
        table.clear(most);
        chosen(richest?, &mut |hash, i| table.remember(hash, i as u16));
        richest
    }
}

impl Worker {
    /// Counts the vertical distances of one strip.
    fn strip(&mut self, scene: &Scene<'_>, bounds: &Rect, x: usize, run: usize) {
        let height = usize::from(bounds.h);
        let rows = usize::from(bounds.y)..usize::from(bounds.bottom());
        let mut buffer = [0; RUN];
        self.table.clear(height);
        for y in rows.clone().filter(|&y| scene.in_changed_cell(x, y)) {
            let hash = run_hash(scene.old(y, x, run));
            if hash != 0 {
                self.table.remember(hash, y as u16);
            }
        }
        // every old row has to be known, of the new ones some are enough
        for y in rows.step_by(height / 512 + 1).filter(|&y| scene.in_changed_cell(x, y)) {
            scene.new.read(y, x, &mut buffer[..run]);
            let hash = run_hash(&buffer[..run]);
            if let (true, Some(from)) = (hash != 0, self.table.once(hash)) {
                self.vertical[height + y - usize::from(from)] += 1;
            }
        }
    }

    /// Looks for the anchors of a new row in the old row `from`.
    fn row(&mut self, scene: &Scene<'_>, bounds: &Rect, anchors: &Table, from: usize) {
        window_hashes(CpuLevel::current(), scene.old(from, bounds.x.into(), bounds.w.into()), &mut self.hashes);
        for (i, &hash) in self.hashes.iter().enumerate().filter(|(_, h)| is_chosen(**h)) {
            if let Some(to) = anchors.once(hash) {
                let dx = i32::from(to) - i as i32;
                if let Some((_, votes)) = self.tally.iter_mut().find(|(d, _)| *d == dx) {
                    *votes += 1;
                } else if self.tally.len() < TALLY {
                    self.tally.push((dx, 1));
                }
            }
        }
    }
}

/// Whether a run takes part in the rows' vote: about one in sixteen, the same ones wherever they are.
fn is_chosen(hash: u32) -> bool {
    hash != 0 && hash >> 28 == 0
}

/// One hash of a whole run; 0 when it is flat.
fn run_hash(run: &[u32]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let Some(&first) = run.first() else { return 0 };
    if run.iter().fold(0, |all, v| all | (v ^ first)) == 0 {
        return 0;
    }
    let mix = |h: u64, v: u64| (h ^ v).wrapping_mul(FACTOR).rotate_left(29);
    let mut lanes = [1u64, 2, 3, 4];
    let (groups, rest) = run.as_chunks::<8>();
    for group in groups {
        for (i, lane) in lanes.iter_mut().enumerate() {
            *lane = mix(*lane, u64::from(group[2 * i]) | u64::from(group[2 * i + 1]) << 32);
        }
    }
    for &v in rest {
        lanes[0] = mix(lanes[0], u64::from(v));
    }
    let [a, b, c, d] = lanes;
    (mix(mix(mix(a, b), c), d) >> 32) as u32 | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_seen_twice_says_nothing() {
        let mut table = Table::default();
        table.clear(3);
        for (hash, place) in [(7, 1), (8, 2), (7, 3)] {
            table.remember(hash, place);
        }
        assert_eq!((table.once(7), table.once(8), table.once(9)), (None, Some(2), None));
    }

    #[test]
    fn every_pixel_of_a_run_is_in_its_hash_and_flat_runs_have_none() {
        for len in 1..70 {
            assert_eq!(run_hash(&vec![5; len]), 0);
            let run: Vec<u32> = (0..len as u32).collect();
            for at in 0..len {
                let mut other = run.clone();
                other[at] ^= 0x0100;
                assert!(len == 1 || run_hash(&run) != run_hash(&other), "pixel {at} of {len}");
            }
        }
    }
}
