//! One page that needs nothing beside itself.

use super::svg::{Axis, Line, escaped, plot};
use super::table::shown;
use super::{METRICS, Report, groups, losses, medians, picture, verdicts, words};
use crate::report::verdict::OURS;
use crate::run::{Outcome, Row};
use std::fmt::Write;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1200px;margin:2em auto;padding:0 1em;color:#222}\
    table{border-collapse:collapse;font-size:13px;margin:.6em 0}td,th{border:1px solid #ccc;padding:3px 7px;text-align:right}\
    td:first-child,th:first-child,td:nth-child(2){text-align:left}tr.ours{background:#fff6e5;font-weight:600}\
    .lost{color:#a11;font-weight:600}.won{color:#176117}.bad{color:#a11;white-space:pre-wrap}\
    svg text{font:11px system-ui,sans-serif;fill:#333}.t{font-weight:600}.m{text-anchor:middle}.e{text-anchor:end}\
    .g{stroke:#e2e2e2}pre{background:#f4f4f4;padding:.6em;overflow:auto;font-size:12px}";

/// Share of latencies below a value, over the value.
fn latencies(group: &[&Row]) -> String {
    let lines: Vec<Line> = group
        .iter()
        .filter_map(|row| {
            let Outcome::Measured(samples) = &row.outcome else { return None };
            let mut all: Vec<f64> = samples.iter().flat_map(|s| s.latencies_ms.iter().copied()).collect();
            all.sort_by(f64::total_cmp);
            let count = all.len() as f64;
            let points = all.iter().enumerate().map(|(i, ms)| (ms.max(0.1), (i + 1) as f64 / count)).collect();
            (count > 0.0).then(|| Line { name: row.server.clone(), points })
        })
        .collect();
    let (x, y) = (Axis { title: "milliseconds", log: true }, Axis { title: "share at most", log: false });
    plot("Latency", &x, &y, &lines, true)
}

/// One point for each server, of two figures.
fn points(group: &[&Row], title: &str, x: (Axis, &str), y: (Axis, &str)) -> String {
    let lines: Vec<Line> = group
        .iter()
        .filter_map(|row| {
            let m = medians(row);
            Some(Line { name: row.server.clone(), points: vec![(*m.get(x.1)?, *m.get(y.1)?)] })
        })
        .collect();
    plot(title, &x.0, &y.0, &lines, false)
}

/// Bytes a pixel of the first picture against its quality, over all rows of a workload and size.
fn quality(rows: &[&Row]) -> String {
    let mut lines: Vec<Line> = Vec::new();
    for row in rows {
        let Some(q) = &row.quality else { continue };
        if words(row).is_some() || !q.first_bytes_per_px.is_finite() {
            continue;
        }
        // exact pictures stand at the right edge
        let db = if q.still_px > 0 { q.still_db } else { q.first_db };
        let point = (db.min(60.0), q.first_bytes_per_px);
        match lines.iter_mut().find(|l| l.name == row.server) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { name: row.server.clone(), points: vec![point] }),
        }
    }
    let (x, y) = (Axis { title: "dB (60: exact)", log: false }, Axis { title: "bytes/px", log: false });
    plot("Bytes of the first picture against its quality", &x, &y, &lines, false)
}

fn facts(out: &mut String, title: &str, facts: &[(String, String)]) {
    let _ = write!(out, "<h2>{title}</h2><table>");
    for (name, value) in facts {
        let _ = write!(out, "<tr><td>{}</td><td>{}</td></tr>", escaped(name), escaped(value));
    }
    out.push_str("</table>");
}

fn group_table(out: &mut String, group: &[&Row]) {
    let all: Vec<_> = group.iter().map(|r| medians(r)).collect();
    let used: Vec<_> = METRICS.iter().filter(|m| all.iter().any(|r| r.contains_key(m.name))).collect();
    out.push_str("<table><tr><th>server</th><th>picture</th>");
    for m in &used {
        let _ = write!(out, "<th>{}</th>", escaped(m.title));
    }
    out.push_str("</tr>");
    for (row, values) in group.iter().zip(&all) {
        let class = if row.server == OURS { " class=\"ours\"" } else { "" };
        let _ = write!(out, "<tr{class}><td>{}</td>", escaped(&row.server));
        if let Some(words) = words(row) {
            let _ = write!(out, "<td class=\"bad\" colspan=\"{}\">{}</td></tr>", used.len() + 1, escaped(&words));
            continue;
        }
        let _ = write!(out, "<td>{}</td>", escaped(&picture(row)));
        for m in &used {
            let value = values.get(m.name).map_or("-".to_owned(), |v| shown(*v, m.digits));
            let _ = write!(out, "<td>{value}</td>");
        }
        out.push_str("</tr>");
    }
    out.push_str("</table>");
}

/// The whole report as a page.
pub fn html(report: &Report) -> String {
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>VNC servers side by side</title>\
         <style>{STYLE}</style></head><body><h1>VNC servers side by side</h1><pre>{}</pre>",
        escaped(&report.command)
    );
    out.push_str("<h2>Where farpane loses</h2>");
    let lost = losses(&report.rows);
    if verdicts(&report.rows).is_empty() {
        out.push_str("<p>farpane and a peer were not measured side by side here.</p>");
    } else if lost.is_empty() {
        out.push_str("<p>Nowhere by more than a tenth, among what was measured here.</p>");
    }
    out.push_str("<ul>");
    for row in report.rows.iter().filter(|r| r.server == OURS) {
        if let Some(words) = words(row) {
            let title = format!("{}x{} {} {}", row.size.0, row.size.1, row.workload, row.encoding);
            let _ = write!(out, "<li class=\"bad\">{}: {}</li>", escaped(&title), escaped(&words));
        }
    }
    for v in &lost {
        let (ours, best) = (shown(v.ours, v.metric.digits), shown(v.best, v.metric.digits));
        let text = format!("{}: {} {ours}, {} has {best} ({:.2}x)", v.group, v.metric.title, v.peer, v.ratio);
        let _ = write!(out, "<li class=\"lost\">{}</li>", escaped(&text));
    }
    out.push_str("</ul>");
    let judged = verdicts(&report.rows);
    for (title, group) in groups(&report.rows) {
        let _ = write!(out, "<h2>{}</h2>", escaped(&title));
        group_table(&mut out, &group);
        out.push_str("<p>farpane by the best peer: ");
        for v in judged.iter().filter(|v| v.group == title) {
            let class = if v.loses { "lost" } else { "won" };
            let text = format!("{} {:.2}x {} ({})", v.metric.title, v.ratio, v.peer, v.mark());
            let _ = write!(out, "<span class=\"{class}\">{}</span>; ", escaped(&text));
        }
        out.push_str("</p>");
        out.push_str(&latencies(&group));
        let (shown_x, extra) =
            (Axis { title: "frames/s seen whole", log: false }, Axis { title: "extra CPU s/s", log: false });
        let title = "CPU against what was shown";
        out.push_str(&points(&group, title, (shown_x, "frames_seen_per_s"), (extra, "extra_cpu_s_per_s")));
        let (bytes, cpu) = (Axis { title: "bytes/px", log: false }, Axis { title: "CPU ns/px", log: true });
        let title = "CPU against bytes, whole screens";
        out.push_str(&points(&group, title, (bytes, "bytes_per_px_shown"), (cpu, "ns_per_px")));
    }
    let mut done: Vec<(&str, (u32, u32))> = Vec::new();
    for row in &report.rows {
        let key = (row.workload.as_str(), row.size);
        if done.contains(&key) {
            continue;
        }
        done.push(key);
        let like: Vec<&Row> = report.rows.iter().filter(|r| (r.workload.as_str(), r.size) == key).collect();
        let svg = quality(&like);
        if !svg.is_empty() {
            let _ = write!(out, "<h2>{} at {}x{}: quality</h2>{svg}", escaped(key.0), key.1.0, key.1.1);
        }
    }
    changed_pixels(&mut out, report);
    facts(&mut out, "Machine", &report.machine);
    facts(&mut out, "Versions", &report.versions);
    facts(&mut out, "Commands", &report.commands);
    let _ = write!(out, "<h2>Raw figures</h2><pre>{}</pre></body></html>", escaped(&super::csv(&report.rows)));
    out
}

/// CPU of every streamed workload over the pixels it changed on the screen.
fn changed_pixels(out: &mut String, report: &Report) {
    let mut lines: Vec<Line> = Vec::new();
    for row in &report.rows {
        let m = medians(row);
        let (Some(cpu), Some(shown), Some(per)) =
            (m.get("extra_cpu_s_per_s"), m.get("frames_seen_per_s"), m.get("extra_ms_per_mpx_shown"))
        else {
            continue;
        };
        if *per <= 0.0 || *shown <= 0.0 {
            continue;
        }
        let name = format!("{} {}", row.server, row.encoding);
        let point = (cpu * 1e3 / per, *cpu);
        match lines.iter_mut().find(|l| l.name == name) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { name, points: vec![point] }),
        }
    }
    let (x, y) = (Axis { title: "Mpx/s changed and shown", log: true }, Axis { title: "extra CPU s/s", log: false });
    let svg = plot("CPU against changed pixels, all workloads", &x, &y, &lines, false);
    if !svg.is_empty() {
        let _ = write!(out, "<h2>CPU against changed pixels</h2>{svg}");
    }
}
