//! The table on the terminal, in Markdown.

use super::{METRICS, Report, groups, losses, medians, picture, verdicts, words};
use crate::report::verdict::OURS;
use std::fmt::Write;

/// A number with the digits of its figure.
pub(super) fn shown(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "-".to_owned() }
}

/// The whole report as text.
pub fn table(report: &Report) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    line(&format!("$ {}", report.command));
    for (name, value) in report.machine.iter().chain(&report.versions) {
        line(&format!("{name}: {value}"));
    }
    for (title, group) in groups(&report.rows) {
        line(&format!("\n### {title}\n"));
        let all: Vec<_> = group.iter().map(|r| medians(r)).collect();
        let used: Vec<_> = METRICS.iter().filter(|m| all.iter().any(|r| r.contains_key(m.name))).collect();
        let mut head = "| server | picture |".to_owned();
        let mut rule = "|---|---|".to_owned();
        for m in &used {
            let _ = write!(head, " {} |", m.title);
            rule.push_str("--:|");
        }
        if !used.is_empty() {
            line(&head);
            line(&rule);
        }
        for (row, values) in group.iter().zip(&all) {
            if words(row).is_some() {
                continue;
            }
            let mut text = format!("| {} | {} |", row.server, picture(row));
            for m in &used {
                let value = values.get(m.name).map_or("-".to_owned(), |v| shown(*v, m.digits));
                let _ = write!(text, " {value} |");
            }
            line(&text);
        }
        for row in &group {
            if let Some(words) = words(row) {
                line(&format!("\n{}: {words}", row.server));
            }
        }
        let judged: Vec<String> = verdicts(&report.rows)
            .iter()
            .filter(|v| v.group == title)
            .map(|v| format!("{} {:.2}x {} ({})", v.metric.title, v.ratio, v.peer, v.mark()))
            .collect();
        if !judged.is_empty() {
            line(&format!("\n{OURS} by the best peer: {}", judged.join("; ")));
        }
    }
    line("\n### Where farpane loses\n");
    let lost = losses(&report.rows);
    for row in report.rows.iter().filter(|r| r.server == OURS) {
        if let Some(words) = words(row) {
            line(&format!("- {}x{} {} {}: {words}", row.size.0, row.size.1, row.workload, row.encoding));
        }
    }
    for v in &lost {
        let (ours, best) = (shown(v.ours, v.metric.digits), shown(v.best, v.metric.digits));
        line(&format!("- {}: {} {ours}, {} has {best} ({:.2}x)", v.group, v.metric.title, v.peer, v.ratio));
    }
    if verdicts(&report.rows).is_empty() {
        line("farpane and a peer were not measured side by side here.");
    } else if lost.is_empty() {
        line("Nowhere by more than a tenth, among what was measured here.");
    }
    out
}
