//! Results as a table, as CSV and as one HTML page.

mod csv;
mod html;
mod svg;
mod table;
mod verdict;

pub use csv::{csv, latencies_csv};
pub use html::html;
pub use table::table;
pub use verdict::{Verdict, losses, verdicts};

use crate::machine::Fact;
use crate::run::{Outcome, Row};
use crate::stats::median;
use std::collections::BTreeMap;

/// Which way a figure is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Good {
    /// The less the better.
    Low,
    /// The more the better.
    High,
    /// It explains others and is neither.
    Neither,
}

/// A figure that a turn may give.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in code and CSV.
    pub name: &'static str,
    /// Its name for people, with its unit.
    pub title: &'static str,
    /// Which way it is good.
    pub good: Good,
    /// Digits after the point.
    pub digits: usize,
}

const fn metric(name: &'static str, title: &'static str, good: Good, digits: usize) -> Metric {
    Metric { name, title, good, digits }
}

/// All figures, in the order of the tables.
pub const METRICS: &[Metric] = &[
    metric("ns_per_px", "CPU ns/px, server", Good::Low, 2),
    metric("ns_per_px_with_display", "CPU ns/px with X server", Good::Low, 2),
    metric("answer_mpx_per_s", "Mpx/s answered", Good::High, 1),
    metric("answers", "answers", Good::Neither, 0),
    metric("updates_per_answer", "updates an answer", Good::Neither, 1),
    metric("fresh_answers", "answers that were fresh", Good::Neither, 2),
    metric("frames_drawn_per_s", "frames/s drawn", Good::Neither, 1),
    metric("desktop_rate", "desktop's rate, of unwatched", Good::High, 2),
    metric("frames_seen_per_s", "frames/s seen whole", Good::High, 1),
    metric("updates_per_s", "updates/s", Good::Neither, 1),
    metric("latency_p50_ms", "latency p50 ms", Good::Low, 1),
    metric("latency_p95_ms", "p95 ms", Good::Low, 1),
    metric("latency_p99_ms", "p99 ms", Good::Low, 1),
    metric("from_drawn_p50_ms", "of it after drawing, p50 ms", Good::Low, 1),
    metric("idle_cpu_s_per_s", "CPU s/s, idle", Good::Low, 4),
    metric("cpu_s_per_s", "CPU s/s, with X server", Good::Neither, 3),
    metric("cpu_vnc_s_per_s", "CPU s/s, server", Good::Neither, 3),
    metric("extra_cpu_s_per_s", "extra CPU s/s", Good::Neither, 3),
    metric("extra_ms_per_mpx_shown", "extra ms per Mpx shown", Good::Low, 1),
    metric("extra_ms_per_mpx_sent", "extra ms per Mpx sent", Good::Neither, 1),
    metric("cpu_ms_per_event", "CPU ms per key", Good::Low, 2),
    metric("mpx_sent_per_s", "Mpx/s sent", Good::Neither, 1),
    metric("bytes_per_px", "bytes/px sent", Good::Neither, 3),
    metric("bytes_per_event", "bytes per key", Good::Low, 0),
    metric("bytes_per_px_shown", "bytes per px shown", Good::Low, 3),
    metric("mbit_per_s", "Mbit/s", Good::Neither, 2),
    metric("link_used", "link used", Good::High, 2),
    metric("keys_seen", "keys seen", Good::Neither, 0),
    metric("keys_unseen", "keys never seen", Good::Low, 0),
    metric("exact_at_once", "letters exact at once", Good::High, 2),
    metric("wakeups_per_s", "wake-ups/s", Good::Low, 1),
    metric("peak_mib", "peak MiB", Good::Low, 0),
    metric("peak_display_mib", "peak MiB, X server", Good::Neither, 0),
];

/// Everything that a report is made of.
#[derive(Clone, Debug)]
pub struct Report {
    /// The command that made it.
    pub command: String,
    /// The machine.
    pub machine: Vec<Fact>,
    /// The servers' versions.
    pub versions: Vec<Fact>,
    /// The servers' command lines.
    pub commands: Vec<Fact>,
    /// The results.
    pub rows: Vec<Row>,
}

/// Medians of a row's turns, by figure.
pub fn medians(row: &Row) -> BTreeMap<&'static str, f64> {
    let Outcome::Measured(samples) = &row.outcome else { return BTreeMap::new() };
    let mut out = BTreeMap::new();
    for m in METRICS {
        let values: Vec<f64> = samples.iter().filter_map(|s| s.values.get(m.name).copied()).collect();
        if let Some(value) = median(&values) {
            out.insert(m.name, value);
        }
    }
    out
}

/// Rows that were measured side by side: one workload, size and encoding.
pub fn groups(rows: &[Row]) -> Vec<(String, Vec<&Row>)> {
    let mut out: Vec<(String, Vec<&Row>)> = Vec::new();
    for row in rows {
        let title = format!("{}x{} {} {}", row.size.0, row.size.1, row.workload, row.encoding);
        match out.iter_mut().find(|(t, _)| *t == title) {
            Some((_, group)) => group.push(row),
            None => out.push((title, vec![row])),
        }
    }
    out
}

/// What stands for a row that has no figures.
pub fn words(row: &Row) -> Option<String> {
    match &row.outcome {
        Outcome::Measured(samples) if samples.is_empty() => Some("NOT MEASURED".to_owned()),
        Outcome::Measured(_) => None,
        Outcome::Lacks => Some("does not know this encoding".to_owned()),
        Outcome::Excluded(why) => Some(format!("EXCLUDED: {why}")),
        Outcome::Failed(why) => Some(format!("FAILED: {why}")),
    }
}

/// A row's picture in words.
pub fn picture(row: &Row) -> String {
    match &row.quality {
        None => "-".to_owned(),
        Some(q) if q.still_px > 0 => format!("{:.1} dB", q.still_db),
        Some(q) if q.first_px == 0 => "exact".to_owned(),
        Some(q) => format!("{:.1} dB, then exact", q.first_db),
    }
}
