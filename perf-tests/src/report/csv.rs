//! Raw results: one line a turn, and one line a latency.

use super::{METRICS, words};
use crate::run::{Outcome, Row};

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn key(row: &Row) -> String {
    format!("{},{}x{},{},{}", quoted(&row.workload), row.size.0, row.size.1, row.encoding, quoted(&row.server))
}

/// One line for each turn; rows without figures have one with the reason.
pub fn csv(rows: &[Row]) -> String {
    let mut out = "workload,size,encoding,server,turn,outcome,first_db,still_db".to_owned();
    for m in METRICS {
        out.push(',');
        out.push_str(m.name);
    }
    out.push('\n');
    for row in rows {
        let db = row.quality.map_or(",".to_owned(), |q| format!("{},{}", q.first_db, q.still_db));
        let Outcome::Measured(samples) = &row.outcome else {
            let why = words(row).unwrap_or_default();
            out.push_str(&format!("{},,{},{db}{}\n", key(row), quoted(&why), ",".repeat(METRICS.len())));
            continue;
        };
        for (turn, sample) in samples.iter().enumerate() {
            out.push_str(&format!("{},{},measured,{db}", key(row), turn + 1));
            for m in METRICS {
                out.push(',');
                if let Some(value) = sample.values.get(m.name) {
                    out.push_str(&value.to_string());
                }
            }
            out.push('\n');
        }
    }
    out
}

/// Every latency.
pub fn latencies_csv(rows: &[Row]) -> String {
    let mut out = "workload,size,encoding,server,turn,ms\n".to_owned();
    for row in rows {
        let Outcome::Measured(samples) = &row.outcome else { continue };
        for (turn, sample) in samples.iter().enumerate() {
            for ms in &sample.latencies_ms {
                out.push_str(&format!("{},{},{ms:.3}\n", key(row), turn + 1));
            }
        }
    }
    out
}
