//! farpane against the best of its peers, figure by figure.

use super::{Good, METRICS, Metric, groups, medians};
use crate::run::Row;
use crate::stats::ratio;

/// The server whose cases are judged.
pub const OURS: &str = "farpane";

/// One figure of ours beside the best peer's.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Size, workload and encoding.
    pub group: String,
    /// The figure.
    pub metric: Metric,
    /// Ours.
    pub ours: f64,
    /// The best peer's.
    pub best: f64,
    /// Which one that is.
    pub peer: String,
    /// Ours by the best peer's.
    pub ratio: f64,
    /// Whether we lose by more than a tenth.
    pub loses: bool,
}

impl Verdict {
    /// A mark for tables.
    pub fn mark(&self) -> &'static str {
        let better = if self.metric.good == Good::Low { self.ratio < 0.9 } else { self.ratio > 1.1 };
        match (self.loses, better) {
            (true, _) => "LOSES",
            (_, true) => "wins",
            _ => "even",
        }
    }
}

/// Every figure that is good in one direction and that ours and a peer have.
pub fn verdicts(rows: &[Row]) -> Vec<Verdict> {
    let mut out = Vec::new();
    for (title, group) in groups(rows) {
        let Some(ours) = group.iter().find(|r| r.server == OURS) else { continue };
        let own = medians(ours);
        for m in METRICS.iter().filter(|m| m.good != Good::Neither) {
            let Some(value) = own.get(m.name).copied() else { continue };
            let peers = group.iter().filter(|r| r.server != OURS);
            let best = peers
                .filter_map(|r| Some((medians(r).get(m.name).copied()?, &r.server)))
                .min_by(|a, b| if m.good == Good::Low { a.0.total_cmp(&b.0) } else { b.0.total_cmp(&a.0) });
            let Some((best, peer)) = best else { continue };
            // nothing against nothing is even
            let both_nothing = value.abs() < 5e-4 && best.abs() < 5e-4;
            let ratio = if both_nothing { 1.0 } else { ratio(value, best).unwrap_or(f64::INFINITY) };
            let loses = if m.good == Good::Low { ratio > 1.1 } else { ratio < 0.9 };
            out.push(Verdict { group: title.clone(), metric: *m, ours: value, best, peer: peer.clone(), ratio, loses });
        }
    }
    out
}

/// Where ours loses: the widest gaps first. A row of ours without figures is a loss too, and is named by `words`.
pub fn losses(rows: &[Row]) -> Vec<Verdict> {
    let mut all: Vec<Verdict> = verdicts(rows).into_iter().filter(|v| v.loses).collect();
    let gap = |v: &Verdict| if v.metric.good == Good::Low { v.ratio } else { 1.0 / v.ratio };
    all.sort_by(|a, b| gap(b).total_cmp(&gap(a)));
    all
}
